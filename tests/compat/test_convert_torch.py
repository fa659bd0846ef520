"""Weights from torch's modules and back: nothing is lost, and the outputs are equal."""

from __future__ import annotations

import itertools

import pytest
import seqlab
import torch
from seqlab.compat.convert import read_layers, write_layers
from seqlab.compat.torch import (
    form_of,
    from_torch,
    load_torch_state,
    to_torch,
    torch_form,
    torch_state,
)
from seqlab.errors import DataError, OptionError, ShapeError
from torch import nn

FORMS = [
    (kind, layers, both, bias, proj)
    for kind, layers, both, bias, proj in itertools.product(
        ("LSTM", "GRU", "RNN", "RELU"), (1, 3), (False, True), (False, True), (0, 2)
    )
    if kind == "LSTM" or not proj
]


def module(kind, layers=1, both=False, bias=True, proj=0):
    options = {"nonlinearity": "relu"} if kind == "RELU" else {}
    options |= {"proj_size": proj} if proj else {}
    cls = getattr(nn, "RNN" if kind == "RELU" else kind)
    return cls(3, 4, num_layers=layers, bidirectional=both, bias=bias, batch_first=True, **options)


@pytest.mark.parametrize("form", FORMS)
def test_there_and_back(form, asymmetric):
    kind, _, _, bias, _ = form
    theirs = asymmetric(module(*form).double())
    nonlinearity = "relu" if kind == "RELU" else "tanh"
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    for layer in (from_torch(theirs), from_torch(theirs.state_dict(), nonlinearity)):
        assert torch_form(layer) == form_of(theirs)
        expected, final = theirs(x)
        output, state = layer(x)
        torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
        hidden = final[0] if kind == "LSTM" else final
        found = [s[0] for s in flat_states(state)]
        torch.testing.assert_close(torch.stack(found), hidden, rtol=1e-12, atol=1e-12)
        back = to_torch(layer)
        torch.testing.assert_close(back(x)[0], expected, rtol=1e-12, atol=1e-12)
        assert set(back.state_dict()) == set(theirs.state_dict())
        if kind == "GRU" or not bias:
            for name, value in back.state_dict().items():
                assert torch.equal(value, theirs.state_dict()[name])


def flat_states(state):
    if isinstance(state[0], torch.Tensor):
        return [state]
    return [found for part in state for found in flat_states(part)]


def test_one_bias_is_the_sum_and_comes_back_with_zeros(asymmetric):
    theirs = asymmetric(nn.LSTM(3, 4))
    state = torch_state(from_torch(theirs))
    assert torch.equal(state["bias_ih_l0"], theirs.bias_ih_l0 + theirs.bias_hh_l0)
    assert (state["bias_hh_l0"] == 0).all()


def test_what_torch_does_not_have_is_refused_by_name():
    cases = [
        (seqlab.LSTM(3, 4, peepholes=True), "no peepholes"),
        (seqlab.GRU(3, 4, reset_after=False), "reset_after=True only"),
        (seqlab.LSTM(3, 4, layer_norm=True), "no layer_norm"),
        (seqlab.LSTM(3, 4, recurrent_dropout=0.1), "no recurrent_dropout"),
        (seqlab.GRU(3, 4, reverse=True), "run forward, or in both"),
        (seqlab.Bidirectional(seqlab.GRU(3, 4), "sum"), "merge by concat only"),
        (seqlab.Stacked([seqlab.GRU(3, 4), seqlab.LSTM(4, 4)]), "the same cell"),
        (seqlab.Stacked([seqlab.GRU(4, 4), seqlab.GRU(4, 4)], residual=True), "no residual"),
    ]
    for layer, message in cases:
        with pytest.raises(OptionError, match=message):
            to_torch(layer)


def test_wrong_shapes_are_named():
    state = nn.LSTM(3, 4).state_dict()
    layer = from_torch(state)
    state["weight_hh_l0"] = torch.zeros(16, 5)
    with pytest.raises(ShapeError, match=r"weight_hh_l0 must be \(16, 4\), got \(16, 5\)"):
        load_torch_state(layer, state)
    with pytest.raises(ShapeError, match="not 1, 3 or 4 gates"):
        form_of({"weight_ih_l0": torch.zeros(10, 3), "weight_hh_l0": torch.zeros(10, 4)})
    with pytest.raises(ShapeError, match="bias_hh_l0"):
        from_torch({k: v for k, v in nn.GRU(3, 4).state_dict().items() if k != "bias_hh_l0"})
    with pytest.raises(ShapeError, match="not the state dict of a recurrent torch module: weight"):
        from_torch(nn.Linear(2, 3).state_dict())


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 3)
        self.encoder = nn.ModuleDict({"rnn": nn.GRU(3, 4, bidirectional=True, num_layers=2)})
        self.decoder = nn.LSTM(3, 5)
        self.out = nn.Linear(8, 2)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_checkpoints_with_several_modules(tmp_path, suffix):
    from safetensors.torch import save_file

    state = Tagger().state_dict()
    source = tmp_path / f"model{suffix}"
    if suffix == ".pt":
        torch.save({"epoch": 3, "state_dict": state}, source)
    else:
        save_file({k: v.contiguous() for k, v in state.items()}, source)
    layers, others = read_layers(source)
    assert {part.name for part in layers} == {"encoder.rnn", "decoder"}
    assert others == ["embedding.weight", "out.bias", "out.weight"]
    gru, lstm = sorted(layers, key=lambda part: part.name, reverse=True)
    assert gru.weights == lstm.weights == 0
    assert gru.outputs < 1e-14
    assert 1e-10 < lstm.outputs < 1e-7  # the sum of its two biases is rounded to float32
    target = tmp_path / "back.pt"
    assert write_layers(target, layers) == 0
    back = torch.load(target, weights_only=True)
    for key in state:
        if key.startswith("encoder"):
            assert torch.equal(back[key], state[key])


class Trap:
    def __reduce__(self):
        return (open, ("trapped", "w"))


def test_a_file_never_runs_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight_ih_l0": Trap()}, "evil.pt")
    with pytest.raises(DataError, match=r"evil.pt: holds more than tensors"):
        read_layers("evil.pt")
    assert not (tmp_path / "trapped").exists()


def test_bad_files_are_named(tmp_path):
    cases = {
        "none.pt": (None, "no such file"),
        "half.pt": (b"PK\x03\x04 half", "not a file of tensors"),
        "half.safetensors": (b"\x08\x00\x00\x00", "not a file of tensors"),
        "half.keras": (b"PK", "not a .keras file"),
        "half.weights.h5": (b"\x89HDF", "not an HDF5 weights file"),
        "text.csv": (b"a,b", "unknown kind of file"),
    }
    for name, (content, message) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            read_layers(tmp_path / name)
        assert name in str(caught.value)
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(DataError, match="no recurrent layer found"):
        read_layers(tmp_path / "linear.pt")
