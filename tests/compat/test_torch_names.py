"""Torch's modules to layers and back, and torch's names where a layer reads a state dict."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.errors import OptionError, ShapeError
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")

CASES = [
    (nn.LSTM, {}),
    (nn.GRU, {}),
    (nn.RNN, {"nonlinearity": "relu"}),
    (nn.LSTM, {"num_layers": 3, "bidirectional": True}),
    (nn.GRU, {"num_layers": 2, "bias": False}),
    (nn.RNN, {"bidirectional": True}),
    (nn.LSTM, {"proj_size": 3}),
]


def layer_like(module):
    return getattr(seqlab, type(module).__name__).from_torch(module)


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_a_layer_of_a_module_computes_the_same_and_goes_back(kind, options):
    torch.manual_seed(3)
    module = kind(5, 7, batch_first=True, dtype=torch.float64, **options)
    layer = layer_like(module)
    x = torch.randn(3, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x)[0], module(x)[0])
    back = layer.to_torch()
    assert type(back) is kind
    torch.testing.assert_close(back(x)[0], module(x)[0])


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_a_model_reads_the_state_dict_it_had_with_torchs_module(kind, options):
    torch.manual_seed(4)
    theirs = nn.ModuleDict({"table": nn.Embedding(9, 5), "rnn": kind(5, 7, **options)})
    mine = nn.ModuleDict({"table": nn.Embedding(9, 5), "rnn": layer_like(kind(5, 7, **options))})
    state = theirs.state_dict()
    names = set(state)
    assert not any(mine.load_state_dict(state))
    assert set(state) == names
    x = theirs["table"](torch.randint(0, 9, (4, 6)))
    expected = theirs["rnn"](x.transpose(0, 1))[0].transpose(0, 1)
    torch.testing.assert_close(mine["rnn"](x)[0], expected, rtol=1e-4, atol=1e-6)
    own = {name: value.clone() for name, value in mine.state_dict().items()}
    mine.load_state_dict(own)  # and its own names


def test_options_of_training_are_free():
    layer = seqlab.LSTM(5, 7, recurrent_dropout=0.3, engine="loop")
    module = nn.LSTM(5, 7)
    layer.load_state_dict(module.state_dict())
    torch.testing.assert_close(layer.cell.weight_hh, module.weight_hh_l0)
    kept = seqlab.LSTM.from_torch(module, engine="loop")
    assert isinstance(kept, seqlab.LSTM)
    assert kept.engine == "loop"


WRONG = [
    (lambda: seqlab.LSTM(5, 6), nn.LSTM(5, 7), r"is \(28, 5\), the layer has \(24, 5\)"),
    (lambda: seqlab.LSTM(5, 7), nn.LSTM(5, 7, num_layers=2), "_l1 has no place"),
    (lambda: seqlab.LSTM(5, 7), nn.LSTM(5, 7, bias=False), "differ in biases"),
    (lambda: seqlab.LSTM(5, 7), nn.GRU(5, 7), r"weight_ih_l0 is \(21, 5\)"),
    (lambda: seqlab.Stacked([seqlab.GRU(5, 7), seqlab.GRU(7, 7)]), nn.GRU(5, 7), "l1 is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "module", "message"), WRONG)
def test_another_form_is_one_line(make, module, message):
    with pytest.raises(ShapeError, match=message):
        make().load_state_dict(module.state_dict())


def test_another_kind_is_told():
    with pytest.raises(OptionError, match=r"expected torch\.nn\.LSTM, got torch\.nn\.GRU"):
        seqlab.LSTM.from_torch(nn.GRU(2, 3))
    with pytest.raises(OptionError, match="engine: the module has several layers"):
        seqlab.GRU.from_torch(nn.GRU(2, 3, num_layers=2), engine="loop")
