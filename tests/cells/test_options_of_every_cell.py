"""Dropout of the input and zoneout, for cells that are not gated: every engine, streams, masks."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab import registry
from seqlab.cells.matrix import MatrixState
from seqlab.construct import accepted_options
from seqlab.errors import OptionError
from seqlab.layers.joined import draws_noise
from torch import nn

NAMES = [
    name
    for name in registry.available("cell")
    if not issubclass(registry.get("cell", name), seqlab.GatedCell)
]
LINEAR = [n for n in NAMES if issubclass(registry.get("cell", n), seqlab.LinearRecurrentCell)]
MATRIX = [n for n in NAMES if issubclass(registry.get("cell", n), seqlab.MatrixStateCell)]
OPTIONS = [{"dropout": 0.4}, {"zoneout": 0.3}, {"dropout": 0.4, "zoneout": 0.3}]
B, T, D, H = 4, 23, 6, 6


class Closed(seqlab.Cell):
    """A cell whose author knows of no options, noise or ``**options``."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.of_input = nn.Linear(input_size, hidden_size)
        self.of_state = nn.Linear(hidden_size, hidden_size)

    def project(self, x_BTD):
        return self.of_input(x_BTD)

    def step(self, projected_t, state):
        hidden = torch.tanh(projected_t + self.of_state(state.hidden))
        return hidden, seqlab.HiddenState(hidden)


class ClosedLinear(seqlab.LinearRecurrentCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.gate = nn.Linear(input_size, 2 * hidden_size)

    def coefficients(self, x_BTD):
        a, b = self.gate(x_BTD).chunk(2, -1)
        return torch.sigmoid(a), b


def made(kind, engine="auto", reverse=False, **options):
    torch.manual_seed(3)
    cell = (registry.get("cell", kind) if isinstance(kind, str) else kind)(D, H, **options)
    layer = seqlab.Recurrent(cell.double(), engine=engine, reverse=reverse)
    with torch.no_grad():
        for part in layer.parameters():
            part.add_(0.1 * torch.randn_like(part))
    return layer


def data():
    torch.manual_seed(4)
    x = torch.randn(B, T, D, dtype=torch.float64)
    mask = torch.ones(B, T, dtype=torch.bool)
    mask[0] = False
    mask[1, 1:] = False
    mask[2, 5:9] = False
    return x, mask


def ran(layer, x, mask):
    """Outputs, final states and gradients of one run under a seed."""
    x = x.clone().requires_grad_()
    torch.manual_seed(5)
    output, state = layer(x, mask=mask)
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    (output * weights).sum().backward()
    gradients = [x.grad, *(p.grad for p in layer.parameters())]
    return [output.detach(), *(part.detach() for part in state), *gradients]


@pytest.mark.parametrize("kind", [*NAMES, Closed, ClosedLinear])
def test_every_cell_takes_both_options_and_says_so(kind):
    part = registry.get("cell", kind) if isinstance(kind, str) else kind
    assert {"dropout", "zoneout"} <= set(accepted_options(part))
    layer = made(kind, dropout=0.4, zoneout=0.3)
    assert draws_noise(layer.cell)
    assert not draws_noise(layer.eval().cell)
    assert not draws_noise(made(kind).cell)
    with pytest.raises(OptionError, match=r"dropout: .*got 1"):
        made(kind, dropout=1)
    with pytest.raises(OptionError, match="zoneout"):
        made(kind, zoneout={"nothing": 0.1})
    with pytest.raises((TypeError, OptionError)):
        made(kind, nothing=1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", [*LINEAR, ClosedLinear])
def test_the_scan_gives_the_loop_s_numbers(kind, options, reverse, training):
    x, mask = data()
    found = [
        ran(made(kind, engine, reverse, **options).train(training), x, mask)
        for engine in ("loop", "scan")
    ]
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-10)


def test_long_sequences_in_parts_take_the_masks_of_their_steps(monkeypatch):
    monkeypatch.setattr("seqlab.engines.scan.engine.MOST_AT_ONCE", 0)
    monkeypatch.setattr("seqlab.engines.scan.engine.PART", 0)
    monkeypatch.setattr("seqlab.engines.scan.engine.SHORTEST_PART", 5)
    x, mask = data()
    for reverse in (True, False):
        options = {"dropout": 0.4, "zoneout": 0.3}
        found = [ran(made("min_gru", e, reverse, **options), x, mask) for e in ("loop", "scan")]
        for ours, expected in zip(*found, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", MATRIX)
def test_chunks_of_matrices_take_dropout_and_refuse_zoneout(kind, training):
    x, mask = data()
    found = [
        ran(made(kind, engine, dropout=0.4).train(training), x, mask) for engine in ("loop", "scan")
    ]
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-9)
    plan = made(kind, zoneout=0.3).train(training).explain(x)
    assert plan.engine.name == "loop"
    assert "a chunk of steps decays as a whole" in str(plan)


@pytest.mark.parametrize("kind", [*NAMES, Closed, ClosedLinear])
def test_steps_with_the_masks_of_a_sequence_are_its_run(kind):
    x, _ = data()
    for training in (True, False):
        layer = made(kind, dropout=0.4, zoneout=0.3).train(training)
        torch.manual_seed(5)
        whole, final = layer(x)
        torch.manual_seed(5)
        noise = layer.sample_noise(B, T, device=x.device, dtype=x.dtype)
        state, outputs = layer.initial_state(B), []
        for t in range(T):
            output, state = layer.step(x[:, t], state, noise and noise.at(t))
            outputs.append(output)
        torch.testing.assert_close(torch.stack(outputs, 1), whole, rtol=1e-9, atol=1e-10)
        for ours, expected in zip(state, final, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", ["min_gru", "lru", "gla", "mlstm", "delta_net", Closed])
def test_a_unit_keeps_its_old_state_where_its_mask_is_zero_and_the_mean_of_both_at_inference(kind):
    x, _ = data()
    cell, plain = made(kind, zoneout=0.3).cell, made(kind).cell
    before = plain.step(first(plain.project(x[:, :1])), plain.initial_state(B))[1]
    noise = cell.sample_noise(B, 1, device=x.device, dtype=x.dtype)
    alone = noise.at(0)
    _, new = plain.step(first(plain.project(x[:, 1:2])), before)
    _, zoned = cell.step(first(cell.project(x[:, 1:2], alone)), before, alone)
    _, mean = cell.step(first(cell.project(x[:, 1:2])), before)
    old, new, zoned, mean = (memory(state) for state in (before, new, zoned, mean))
    (mask,) = alone.zoneout
    if kind == "lru":
        mask = torch.cat([mask, mask], -1)
    assert 0 < mask.mean() < 1
    torch.testing.assert_close(zoned, torch.where(mask > 0, new, old))
    torch.testing.assert_close(mean, 0.3 * old + 0.7 * new)


def first(projected):
    if isinstance(projected, torch.Tensor):
        return projected[:, 0]
    return type(projected)(*(part[:, 0] for part in projected))


def memory(state):
    if not hasattr(state, "memory"):
        return state[0]
    scale = torch.zeros(B, state.memory.shape[1]) if isinstance(state, MatrixState) else state[2]
    return state.memory * torch.exp(scale.double()).view(B, -1, 1, 1)


def test_an_exponential_memory_stays_finite_over_long_sequences_with_zoneout():
    torch.manual_seed(0)
    layer = seqlab.Recurrent(registry.get("cell", "mlstm")(D, H, heads=2, zoneout=0.1))
    x = 3 * torch.randn(2, 2000, D)
    for training in (True, False):
        output, state = layer.train(training)(x)
        assert torch.isfinite(output).all()
        assert all(torch.isfinite(part).all() for part in state)


def test_masks_are_drawn_once_a_sequence_with_their_rates():
    cell = registry.get("cell", "lru")(50, 60, dropout=0.2, zoneout=0.3)
    noise = cell.sample_noise(200, 5, device=torch.device("cpu"), dtype=torch.float32)
    assert noise.input_mask.shape == (200, 1, 50)
    torch.testing.assert_close(noise.input_mask.unique(), torch.tensor([0, 1.25]))
    assert [z.shape for z in noise.zoneout] == [(5, 200, 60)]
    assert noise.zoneout[0].mean() == pytest.approx(0.7, abs=0.01)
    assert noise.at(3).input_mask is noise.input_mask


class OwnMasks(Closed):
    """A cell with masks of its own beside those of the options."""

    class Masks:
        def __init__(self, values):
            self.values = values

        def at(self, t):
            return type(self)(self.values[t : t + 1])

    def sample_noise(self, batch_size, steps, *, device, dtype):
        assert super().sample_noise(batch_size, steps, device=device, dtype=dtype) is None
        return self.Masks(torch.rand(steps, batch_size, 1, device=device, dtype=dtype))

    def project(self, x_BTD, noise=None):
        assert noise is None or isinstance(noise, self.Masks)
        return super().project(x_BTD)

    def step(self, projected_t, state, noise=None):
        if noise is not None:
            projected_t = projected_t * noise.values[0]
        return super().step(projected_t, state)


def test_masks_of_a_cell_s_own_stand_beside_those_of_the_options():
    x, _ = data()
    layer = made(OwnMasks, dropout=0.4, zoneout=0.3)
    torch.manual_seed(5)
    output, _ = layer(x)
    torch.manual_seed(5)
    cell = layer.cell
    noise = cell.sample_noise(B, T, device=x.device, dtype=x.dtype)
    hidden = torch.zeros(B, H, dtype=x.dtype)
    for t in range(T):
        given = cell.of_input(x[:, t] * noise.input_mask[:, 0]) * noise.own.values[t]
        new = torch.tanh(given + cell.of_state(hidden))
        hidden = torch.where(noise.zoneout[0][t] > 0, new, hidden)
        torch.testing.assert_close(output[:, t], hidden)


def test_zoneout_is_refused_where_it_would_do_nothing():
    class Counts(Closed):
        def initial_state(self, batch_size, **_):
            return seqlab.HiddenState(torch.zeros(batch_size, self.hidden_size, dtype=torch.long))

    class Hurries(Closed):
        def stepper(self):
            return self.step

    with pytest.raises(OptionError, match=r"the field hidden of the state .* no real numbers"):
        Counts(3, 4, zoneout=0.1)
    with pytest.raises(OptionError, match="a stepper of its own"):
        Hurries(3, 4, zoneout=0.1)
    assert Hurries(3, 4, dropout=0.1).option_rates.dropout == 0.1
