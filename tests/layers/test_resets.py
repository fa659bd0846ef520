"""A row with resets is as many rows of their own, for every engine and every nesting of layers."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab import registry
from seqlab.cells.base import map_state
from seqlab.heads.states import leaves
from seqlab.layers import segments
from seqlab.testing.sample import weighted_sum
from torch import nn

STEPS = 9
LAYERS = {
    "rnn": lambda **o: seqlab.RNN(3, 4, **o),
    "lstm": lambda **o: seqlab.LSTM(3, 4, **o),
    "gru": lambda **o: seqlab.GRU(3, 4, **o),
    "carry": lambda **o: seqlab.GRU(3, 4, masked_output="carry", **o),
    "bidirectional": lambda **o: seqlab.Bidirectional(seqlab.LSTM(3, 4, **o), "sum"),
    "pair": lambda **o: seqlab.Bidirectional(seqlab.LSTM(3, 4, **o)),
    "stacked": lambda **o: seqlab.Stacked([seqlab.GRU(3, 4, **o), seqlab.LSTM(4, 5, **o)]),
    "residual": lambda **o: seqlab.Residual(seqlab.GRU(3, 3, **o)),
    "deep": lambda **o: seqlab.Stacked(
        [seqlab.Bidirectional(seqlab.GRU(3, 2, **o)), seqlab.Bidirectional(seqlab.LSTM(4, 2, **o))],
        residual=True,
    ),
}


def by_steps(layer, x, state, mask, reset, *, reverse):
    """The definition: a state that is the initial one before each step with a reset."""
    begin = layer.initial_state(len(x))
    state, outputs = begin if state is None else state, {}

    def where(choice, new, old):
        return map_state(lambda n, o: torch.where(choice.unsqueeze(1), n, o), new, old)

    for t in reversed(range(STEPS)) if reverse else range(STEPS):
        if not reverse:
            state = where(reset[:, t], begin, state)
        elif t + 1 < STEPS:  # before the step that runs after the one with a reset
            state = where(reset[:, t + 1], begin, state)
        output, after = layer.cell.step(layer.cell.project(x[:, t : t + 1])[:, 0], state)
        state = where(mask[:, t], after, state)
        outputs[t] = output.masked_fill(~mask[:, t].unsqueeze(1), 0.0)
    return torch.stack([outputs[t] for t in range(STEPS)], 1), state


def some_rows():
    torch.manual_seed(4)
    x = torch.randn(5, STEPS, 3, dtype=torch.float64, requires_grad=True)
    mask, reset = torch.rand(5, STEPS) > 0.3, torch.rand(5, STEPS) > 0.6
    mask[0], mask[1], reset[0], reset[2] = True, False, False, True
    mask[3] = torch.arange(STEPS) < 1
    return x, mask, reset


def gradients(layer, x, output, final):
    total = weighted_sum([output, *leaves(final)])
    return torch.autograd.grad(total, [x, *layer.parameters()], allow_unused=True)


@pytest.mark.parametrize("initial", ["zeros", "trained"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("engine", ["loop", "fused", "compiled", "auto"])
def test_a_reset_is_the_initial_state_before_its_step(engine, name, reverse, initial, asymmetric):
    if registry.get("engine", engine)().unavailable() if engine != "auto" else None:
        pytest.skip("the engine does not work here")
    layer = asymmetric(LAYERS[name](engine=engine, reverse=reverse, initial_state=initial))
    layer = layer.double()
    x, mask, reset = some_rows()
    state = map_state(torch.randn_like, layer.initial_state(5))
    output, final = layer(x, state, mask=mask, reset=reset)
    expected, last = by_steps(layer, x, state, mask, reset, reverse=reverse)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(tuple(final), tuple(last))
    found = gradients(layer, x, output, final), gradients(layer, x, expected, last)
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("most", [4, 0])  # all segments at once, and those of like length
@pytest.mark.parametrize("described", ["mask", "lengths", "nothing"])
@pytest.mark.parametrize("name", LAYERS)
def test_rows_with_resets_equal_separate_rows(name, described, most, monkeypatch, asymmetric):
    monkeypatch.setattr(segments, "MOST_PADDED", most)
    layer = asymmetric(LAYERS[name]()).double()
    x, mask, reset = some_rows()
    if described == "lengths":
        lengths = torch.tensor([STEPS, 0, 4, 1, 6])
        mask, given = torch.arange(STEPS) < lengths.unsqueeze(1), {"lengths": lengths}
    elif described == "nothing":
        mask, given = torch.ones_like(mask), {}
    else:
        given = {"mask": mask}
    output, _ = layer(x, **given, reset=reset)
    rows = []
    for row in range(len(x)):
        ends = [*(t for t in range(1, STEPS) if reset[row, t]), STEPS]
        parts = [
            layer(x[row : row + 1, a:b], mask=mask[row : row + 1, a:b])[0]
            for a, b in zip([0, *ends], ends, strict=False)
        ]
        rows.append(torch.cat(parts, 1))
    torch.testing.assert_close(output, torch.cat(rows))
    ours, theirs = (
        torch.autograd.grad(weighted_sum([part]), [x, *layer.parameters()])
        for part in (output, torch.cat(rows))
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["min_gru", "lru", "sru", "rg_lru", "mgu"])
def test_linear_recurrences_and_plugins_cells_have_resets(name, asymmetric):
    if name not in registry.available("cell"):
        pytest.skip("the plugin is not installed")
    layer = asymmetric(seqlab.Recurrent(registry.get("cell", name)(3, 4))).double()
    x, mask, reset = some_rows()
    output, _ = layer(x, mask=mask, reset=reset)
    for row in range(len(x)):
        ends = [*(t for t in range(1, STEPS) if reset[row, t]), STEPS]
        for a, b in zip([0, *ends], ends, strict=False):
            part, _ = layer(x[row : row + 1, a:b], mask=mask[row : row + 1, a:b])
            torch.testing.assert_close(output[row : row + 1, a:b], part)


def test_rows_without_steps_and_a_wrong_reset():
    layer = seqlab.GRU(3, 4)
    output, _ = layer(torch.zeros(2, 0, 3), reset=torch.zeros(2, 0, dtype=torch.bool))
    assert output.shape == (2, 0, 4)
    with pytest.raises(seqlab.ShapeError, match=r"reset must be \(2, 5\) bool, got \(2, 4\)"):
        layer(torch.zeros(2, 5, 3), reset=torch.zeros(2, 4, dtype=torch.bool))
    with pytest.raises(seqlab.ShapeError, match=r"bool, got \(2, 5\) torch.int64"):
        layer(torch.zeros(2, 5, 3), reset=torch.zeros(2, 5, dtype=torch.int64))


def test_many_short_segments_beside_a_long_one_need_little_memory():
    reset = torch.zeros(1, 4000, dtype=torch.bool)
    reset[0, 2000:] = True
    parts = segments.find_segments(reset)
    padded = sum(
        len(group) * int(parts.length[group].max()) for group in parts.groups(*reset.shape)
    )
    assert padded <= segments.MOST_PADDED * reset.numel()


def test_a_layer_that_knows_no_resets_works_without_them():
    class Plain(seqlab.GRU):
        def forward(self, x_BTD, state=None, lengths=None, mask=None):
            return super().forward(x_BTD, state, lengths, mask)

    x = torch.randn(2, 5, 3)
    stack = seqlab.Stacked([Plain(3, 4), seqlab.GRU(4, 4)])
    assert stack(x)[0].shape == (2, 5, 4)
    with pytest.raises(TypeError):
        stack(x, reset=torch.ones(2, 5, dtype=torch.bool))


def test_a_graph_with_resets_is_refused():
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = seqlab.GRU(3, 4).eval()

        def forward(self, x, reset):
            return self.layer(x, reset=reset)[0]

    with pytest.raises(seqlab.EngineError, match="reset cannot be exported"):
        torch.export.export(Whole(), (torch.zeros(2, 5, 3), torch.zeros(2, 5, dtype=torch.bool)))
