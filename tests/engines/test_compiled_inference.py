"""Runs without gradients, which project the input as they go, equal the loop."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import seqlab
import torch
from seqlab.engines.compiled.kept_matrices import KeptMatrices
from seqlab.engines.compiled.plain_run import PlainRun
from seqlab.engines.compiled.recurrence import CompiledRun
from seqlab.engines.compiled.streaming import Steps

#: B, T, D, H: whole vectors and rests, one row of many times, more rows than are projected at once;
#: the last two are one step, whose matrices nobody packs.
SIZES = ((1, 130, 37, 33), (3, 30, 5, 16), (70, 3, 33, 64), (5, 1, 1, 1), (2, 9, 16, 40),
         (1, 1, 37, 41), (2, 1, 70, 33))  # fmt: skip
MASKS = ("none", "padded", "holes")


@pytest.fixture(name="projected")
def _projected(monkeypatch):
    """The inputs that runs projected themselves."""
    seen = []
    once, plain = CompiledRun.project, PlainRun.run
    monkeypatch.setattr(CompiledRun, "project", lambda *a: (seen.append(a), once(*a))[1])
    monkeypatch.setattr(PlainRun, "run", lambda *a: (seen.append(a), plain(*a))[1])
    return seen


@pytest.fixture(name="stepped")
def _stepped(monkeypatch):
    """The steps that packed matrices made."""
    seen = []
    once = Steps.step
    monkeypatch.setattr(Steps, "step", lambda *a: (seen.append(a), once(*a))[1])
    return seen


def mask_of(kind, batch, steps):
    if kind == "none":
        return None
    lengths = torch.arange(batch) % (steps + 1)
    mask = torch.arange(steps) < lengths.unsqueeze(1)
    if kind == "holes":
        mask |= torch.arange(steps) % 3 == 2
    return mask


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn reversed", "mgu reversed"])
def test_equals_loop(cell, size, kind, asymmetric, projected):
    batch, steps, features, hidden = size
    name, _, reverse = cell.partition(" ")
    made = seqlab.get("cell", name)(features, hidden)
    layer = asymmetric(seqlab.Recurrent(made, engine="compiled", reverse=bool(reverse))).double()
    x = torch.randn(batch, steps, features, dtype=torch.float64)
    mask = mask_of(kind, batch, steps)
    reference = copy.deepcopy(layer)
    reference.engine = "loop"
    before = torch.get_num_threads()
    expected = reference(x, mask=mask)
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with torch.no_grad():
                output, state = layer(x, mask=mask)
            torch.testing.assert_close(output, expected[0].detach())
            torch.testing.assert_close(tuple(state), tuple(s.detach() for s in expected[1]))
    finally:
        torch.set_num_threads(before)
    assert len(projected) == 2


@pytest.mark.parametrize(
    "options",
    [{"use_bias": False}, {"proj_size": 3}, {"reset_after": False},
     *(pytest.param(options, marks=pytest.mark.slow)
       for options in ({"layer_norm": True}, {"zoneout": 0.2},
                       {"dropout": 0.3, "recurrent_dropout": 0.2}))],
    ids=str,
)  # fmt: skip
def test_options(options, asymmetric, projected):
    cell = seqlab.get("cell", "gru" if "reset_after" in options else "lstm")(6, 24, **options)
    layer = asymmetric(seqlab.Recurrent(cell, engine="compiled")).double().eval()
    x = torch.randn(4, 7, 6, dtype=torch.float64)
    with torch.no_grad():
        output, state = layer(x)
        layer.engine = "loop"
        expected = layer(x)
    torch.testing.assert_close(output, expected[0])
    torch.testing.assert_close(tuple(state), tuple(expected[1]))
    assert len(projected) == ("layer_norm" not in options)


def test_another_layout_and_a_batch_of_parts(projected):
    layer = seqlab.LSTM(6, 24, engine="compiled")
    whole = torch.randn(9, 8, 12)
    for x in (whole.transpose(0, 1)[..., :6], whole[::2, :, 3:9], whole[..., ::2]):
        with torch.no_grad():
            output, _ = layer(x)
        expected, _ = layer(x.contiguous().requires_grad_())
        torch.testing.assert_close(output, expected.detach())
    assert len(projected) == 3


def test_threads_that_each_have_units_of_all_rows(projected):
    layer = seqlab.LSTM(20, 256, engine="compiled")
    x = torch.randn(4, 6, 20)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.no_grad():
            output, _ = layer(x)
    finally:
        torch.set_num_threads(before)
    expected, _ = layer(x.requires_grad_())
    torch.testing.assert_close(output, expected.detach(), rtol=1e-4, atol=1e-5)
    assert projected


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "mgu", "gru before", "lstm narrow"])
def test_steps_one_by_one_equal_the_loop(name, batch, asymmetric, stepped):
    name, _, option = name.partition(" ")
    options = {"before": {"reset_after": False}, "narrow": {"proj_size": 5}, "": {}}[option]
    layer = asymmetric(seqlab.Recurrent(seqlab.get("cell", name)(6, 37, **options))).double()
    layer.engine = "compiled"
    x = torch.randn(batch, 7, 6, dtype=torch.float64)
    with torch.no_grad():
        running = seqlab.stream(layer)
        outputs = torch.stack([running.step(x[:, t])[0] for t in range(7)], 1)
        layer.engine = "loop"
        expected, state = layer(x)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(tuple(running.state), tuple(state))
    assert len(stepped) == 7


def test_steps_see_new_weights_and_new_batches(stepped):
    layer = seqlab.LSTM(4, 40, engine="compiled")
    x = torch.randn(3, 4)
    for change in (
        lambda: layer.cell.weight_hh.mul_(0.5),
        lambda: layer.load_state_dict(seqlab.LSTM(4, 40).state_dict()),
        lambda: setattr(layer.cell.bias, "data", torch.randn(160)),
        lambda: torch.optim.SGD(layer.parameters(), 0.1).step(),
    ):
        with torch.no_grad():
            change()
            for rows in (x, x[:2]):
                state = layer.initial_state(len(rows))
                output, _ = layer.step(rows, state)
                expected, _ = layer(rows.unsqueeze(1))
                torch.testing.assert_close(output, expected[:, 0])
    assert len(stepped) == 8


def test_steps_with_gradients_are_the_cell_s(stepped):
    layer = seqlab.GRU(3, 20, engine="compiled")
    x = torch.randn(2, 3, requires_grad=True)
    output, _ = layer.step(x, layer.initial_state(2))
    output.sum().backward()
    assert x.grad.abs().sum() > 0
    assert not stepped


def test_threads_that_stream_one_layer_do_not_meet(asymmetric):
    layer = asymmetric(seqlab.LSTM(6, 200, engine="compiled"))
    inputs = [torch.randn(1, 150, 6) for _ in range(4)]

    def run(x):
        with torch.no_grad():
            running = seqlab.stream(layer)
            return torch.stack([running.step(x[:, t])[0] for t in range(x.shape[1])], 1)

    alone = [run(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, inputs))
    for mine, expected in zip(together, alone, strict=True):
        assert torch.equal(mine, expected)


@pytest.fixture(name="packed_before")
def _packed_before(monkeypatch):
    """The runs that were given matrices of runs before them."""
    seen = []
    once = KeptMatrices.forward
    monkeypatch.setattr(KeptMatrices, "forward", lambda *a: (seen.append(a), once(*a))[1])
    return seen


@pytest.mark.parametrize(
    ("name", "options"),
    [("lstm", {}), ("gru", {"reset_after": False}), ("lstm", {"proj_size": 5}),
     ("gru", {"layer_norm": True}), ("ind_rnn", {})],
    ids=str,
)  # fmt: skip
def test_packed_matrices_follow_the_weights(name, options, asymmetric, packed_before):
    layer = asymmetric(seqlab.Recurrent(seqlab.get("cell", name)(6, 21, **options))).double().eval()
    layer.engine = "compiled"
    reference = copy.deepcopy(layer)
    reference.engine = "loop"
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    changed = [p for p in layer.parameters() if p.numel()]

    def last_number(parameter):
        parameter.data.view(-1)[-1] += 0.5  # of which torch's own count of changes knows nothing

    for change in (None, *[last_number] * len(changed)):
        if change is not None:
            change(changed.pop())
            reference.load_state_dict(layer.state_dict())
        for rows in (x, x, x[:1], x[:, :2]):
            with torch.no_grad():
                torch.testing.assert_close(layer(rows), reference(rows))
    assert packed_before


def test_threads_that_run_one_layer_do_not_meet(asymmetric, packed_before):
    layer = asymmetric(seqlab.LSTM(6, 70, engine="compiled"))
    inputs = [torch.randn(1 + i, 40, 6) for i in range(4)]

    def run(x):
        with torch.no_grad():
            return [layer(x)[0] for _ in range(20)]

    alone = [run(x)[0] for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, inputs))
    for mine, expected in zip(together, alone, strict=True):
        assert all(torch.equal(output, expected) for output in mine)
    assert packed_before


def test_dropout_without_gradients_packs_for_itself(asymmetric, packed_before):
    layer = asymmetric(seqlab.LSTM(6, 20, recurrent_dropout=0.5, engine="compiled"))
    reference = copy.deepcopy(layer)
    reference.engine = "loop"
    x = torch.randn(3, 5, 6)
    for _ in range(2):
        outputs = []
        for each in (layer, reference):
            torch.manual_seed(3)
            with torch.no_grad():
                outputs.append(each(x)[0])
        torch.testing.assert_close(*outputs)
    assert not packed_before


@pytest.mark.parametrize("name", ["gru", "mgu"])
def test_code_that_is_made_for_predictions_has_gradients(name, asymmetric):
    layer = asymmetric(seqlab.Recurrent(seqlab.get("cell", name)(3, 5), engine="compiled"))
    x = torch.randn(2, 4, 3, requires_grad=True)
    with torch.inference_mode():
        layer(x)
    found = torch.autograd.grad(layer(x)[0].square().sum(), [x, *layer.parameters()])
    layer.engine = "loop"
    expected = torch.autograd.grad(layer(x)[0].square().sum(), [x, *layer.parameters()])
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
