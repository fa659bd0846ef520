"""Cells without an oracle in torchrecurrent: their papers' equations on plain matrices."""

from __future__ import annotations

import math

import pytest
import seqlab
import torch
from by_hand import INPUTS, ROWS, STEPS, UNITS, check, made, sequence, timed


@pytest.fixture(params=["loop", pytest.param("compiled", marks=pytest.mark.slow)])
def engine(request):
    return request.param


def slstm(cell, x):
    """With gates exp(i) and sigmoid(f) as they are, and no stabiliser."""
    c = n = h = x.new_zeros(ROWS, UNITS)
    found = []
    for x_t in x.unbind(1):
        whole = x_t @ cell.weight_ih.T + h @ cell.recurrent_matrix().T + cell.bias
        i, f, g, o = whole.chunk(4, -1)
        c = f.sigmoid() * c + i.exp() * g.tanh()
        n = f.sigmoid() * n + i.exp()
        h = o.sigmoid() * c / n
        found.append(h)
    return torch.stack(found, 1)


@pytest.mark.parametrize("heads", [1, 3])
def test_slstm(heads, engine):
    check(made("slstm", heads=heads), sequence(), slstm, engine)


def test_slstm_stays_finite_where_exponentials_do_not():
    cell = made("slstm")
    output, _ = seqlab.Recurrent(cell)(800 * sequence())
    assert output.isfinite().all()
    gradients = torch.autograd.grad(output.sum(), list(cell.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


def rhn(cell, x):
    h = x.new_zeros(ROWS, UNITS)
    found = []
    for x_t in x.unbind(1):
        for k in range(cell.depth):
            rows = slice(2 * UNITS * k, 2 * UNITS * (k + 1))
            whole = h @ cell.weight_hh[rows].T + cell.recurrent_bias[rows]
            if k == 0:
                whole = whole + x_t @ cell.weight_ih.T + cell.bias
            g, t = whole.chunk(2, -1)
            h = t.sigmoid() * g.tanh() + (1 - t.sigmoid()) * h
        found.append(h)
    return torch.stack(found, 1)


@pytest.mark.parametrize("depth", [1, 3])
def test_recurrent_highway(depth, engine):
    check(made("rhn", depth=depth), sequence(), rhn, engine)


def test_a_deeper_highway_runs_in_the_loop_and_says_why():
    layer = seqlab.Recurrent(made("rhn", depth=5), engine="auto")
    torch.testing.assert_close(layer(sequence())[0], rhn(layer.cell, sequence()))
    with pytest.raises(seqlab.errors.EngineError, match="more than 4 recurrent products"):
        seqlab.Recurrent(layer.cell, engine="compiled")(sequence())


def time_lstm(cell, x):
    h = c = x.new_zeros(ROWS, UNITS)
    found = []
    for x_t in x.unbind(1):
        gap = x_t[:, -1:]
        whole = x_t[:, :-1] @ cell.weight_ih.T + cell.bias
        inner = h @ cell.weight_hh[: 4 * UNITS].T + cell.recurrent_bias[: 4 * UNITS]
        i, f, g, o = (whole + inner).chunk(4, -1)
        short = torch.tanh(c @ cell.weight_hh[4 * UNITS :].T + cell.recurrent_bias[4 * UNITS :])
        known = c - short + short / torch.log(math.e + gap)
        c = f.sigmoid() * known + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        found.append(h)
    return torch.stack(found, 1)


def test_time_aware_lstm(engine):
    check(made("time_lstm"), timed(), time_lstm, engine)


def phased_lstm(cell, x):
    h = c = x.new_zeros(ROWS, UNITS)
    found = []
    for x_t in x.unbind(1):
        period = torch.exp(cell.log_period)
        phi = torch.remainder(x_t[:, -1:] - cell.phase * period, period) / period
        half = cell.open / 2
        k = torch.where(
            phi < half, phi / half, torch.where(phi < cell.open, 2 - phi / half, cell.leak * phi)
        )
        whole = x_t[:, :-1] @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias
        i, f, g, o = whole.chunk(4, -1)
        proposed = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = k * (o.sigmoid() * proposed.tanh()) + (1 - k) * h
        c = k * proposed + (1 - k) * c
        found.append(h)
    return torch.stack(found, 1)


def test_phased_lstm(engine):
    check(made("phased_lstm", open=0.6), timed(), phased_lstm, engine)


def cfc(cell, x):
    h = x.new_zeros(ROWS, UNITS)
    found = []
    for x_t in x.unbind(1):
        inner = x_t[:, :-1] @ cell.weight_ih.T + cell.bias
        inner = inner + h @ cell.weight_hh[:UNITS].T + cell.recurrent_bias[:UNITS]
        layer = 1.7159 * torch.tanh(0.666 * inner)
        rest = layer @ cell.weight_hh[UNITS:].T + cell.recurrent_bias[UNITS:]
        first, second, speed, start = rest.chunk(4, -1)
        k = torch.sigmoid(speed * x_t[:, -1:] + start)
        h = first.tanh() * (1 - k) + k * second.tanh()
        found.append(h)
    return torch.stack(found, 1)


def test_closed_form_continuous_time(engine):
    check(made("cfc"), timed(), cfc, engine)


def gru_d(cell, x):
    h, last, found = x.new_zeros(ROWS, UNITS), x.new_zeros(ROWS, cell.values), []
    for x_t in x.unbind(1):
        given, seen, gap = x_t.chunk(3, -1)
        kept = torch.exp(-torch.clamp(cell.value_rate * gap + cell.value_bias, min=0))
        value = torch.where(seen > 0, given, kept * last)
        last = torch.where(seen > 0, given, last)
        h = torch.exp(-torch.clamp(gap @ cell.fade.weight.T + cell.fade.bias, min=0)) * h
        inner = torch.cat([value, seen], -1) @ cell.from_input.weight.T + cell.from_input.bias
        z, r, g = inner.chunk(3, -1)
        more = (h @ cell.gates_from_state.weight.T).chunk(2, -1)
        z, r = (z + more[0]).sigmoid(), (r + more[1]).sigmoid()
        h = (1 - z) * h + z * torch.tanh(g + (r * h) @ cell.candidate_from_state.weight.T)
        found.append(h)
    return torch.stack(found, 1)


def test_gru_with_missing_values():
    x = sequence(6)
    x = torch.cat([x[..., :2], (x[..., 2:4] > 0).double(), x[..., 4:].abs()], -1)
    check(made("gru_d", inputs=6), x, gru_d, "loop")
    with pytest.raises(seqlab.errors.OptionError, match="multiple of 3, got 4"):
        seqlab.get("cell", "gru_d")(4, 5)


def test_a_value_that_is_missing_does_not_matter():
    cell = made("gru_d", inputs=3)
    x = torch.tensor([[[1.0, 1, 0], [5.0, 0, 1]]]).double()
    other = x.clone()
    other[0, 1, 0] = -7
    torch.testing.assert_close(seqlab.Recurrent(cell)(x)[0], seqlab.Recurrent(cell)(other)[0])


def test_options_of_cells_that_are_not_gated():
    plain, kept = (made("lmu", zoneout=rate).eval() for rate in (0.0, 0.25))
    x = sequence()
    start = [torch.ones(ROWS, size).double() for size in plain.state_sizes]
    new = seqlab.Recurrent(plain)(x[:, :1], start)[1]
    mixed = seqlab.Recurrent(kept)(x[:, :1], start)[1]
    for ours, made_of in zip(mixed, new, strict=True):
        torch.testing.assert_close(ours, 0.75 * made_of + 0.25)
    layer = seqlab.Recurrent(made("lmu", dropout=0.5)).train()
    torch.manual_seed(1)
    first = layer(x)[0]
    torch.manual_seed(2)
    assert not torch.equal(first, layer(x)[0])
    torch.testing.assert_close(layer.eval()(x)[0], seqlab.Recurrent(plain)(x)[0])


def test_the_gap_reaches_every_layer_of_a_stack():
    from seqlab.wrappers.base import LayerFactory

    wrappers = (
        seqlab.get("wrapper", "dense")(last=1),
        seqlab.get("wrapper", "stacked")(num_layers=2),
    )
    layer = LayerFactory({"name": "cfc", "hidden_size": UNITS}, wrappers)(INPUTS)
    output, _ = layer(timed().float())
    assert output.shape == (ROWS, STEPS, UNITS + 1)
    torch.testing.assert_close(output[..., -1], timed().float()[..., -1])
    assert layer.cells()[1].input_size == UNITS + 1
