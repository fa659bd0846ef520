"""Cells without an oracle in torchrecurrent: their papers' equations on plain matrices."""

from __future__ import annotations

import math

import pytest
import seqlab
import torch

INPUTS, UNITS, STEPS, ROWS = 4, 6, 7, 3


def made(name, inputs=INPUTS, **options):
    cell = seqlab.get("cell", name)(inputs, UNITS, **options).double()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(7)
        for parameter in cell.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise / 2)
    return cell


def sequence(width=INPUTS):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(ROWS, STEPS, width, generator=generator, dtype=torch.float64)


def timed(width=INPUTS):
    """A sequence whose last column is a time that grows, or a gap that is not negative."""
    x = sequence(width)
    return torch.cat([x[..., :-1], x[..., -1:].abs() + 0.1], -1)


def run(cell, x, engine):
    layer = seqlab.Recurrent(cell, engine=engine)
    output, _ = layer(x)
    gradients = torch.autograd.grad(output.square().sum(), list(cell.parameters()))
    return [output.detach(), *gradients]


@pytest.fixture(params=["loop", pytest.param("compiled", marks=pytest.mark.slow)])
def engine(request):
    return request.param


def check(cell, x, by_hand, engine):
    """An engine equals plain equations, with the gradients of all parameters."""
    expected = by_hand(cell, x)
    gradients = torch.autograd.grad(expected.square().sum(), list(cell.parameters()))
    for mine, wanted in zip(run(cell, x, engine), [expected, *gradients], strict=True):
        torch.testing.assert_close(mine, wanted.detach(), rtol=1e-10, atol=1e-10)


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


def parts(cell, x):
    """What a matrix memory makes of the input, by name: ``[B, T, N, width]``."""
    made = [cell.part(x, name)[0] for name in cell.parts]
    return dict(zip(cell.parts, made, strict=True))


def outer(left, right):
    return left.unsqueeze(-1) * right.unsqueeze(-2)


def read(memory, vector):
    return (memory * vector.unsqueeze(-1)).sum(-2)


def of_size_one(y, gain):
    size = (y.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    return (y / size).flatten(-2) * gain


def mlstm(cell, x):
    """With gates exp(i) and sigmoid(f) as they are, and no stabiliser."""
    p, width = parts(cell, x), cell.head_size
    memory = x.new_zeros(ROWS, cell.heads, width, width)
    normaliser = x.new_zeros(ROWS, cell.heads, width)
    found = []
    for t in range(STEPS):
        q, k, v = p["query"][:, t], p["key"][:, t] / width**0.5, p["value"][:, t]
        f, i = p["forget"][:, t].sigmoid(), p["input"][:, t].exp()
        memory = f.unsqueeze(-1) * memory + i.unsqueeze(-1) * outer(k, v)
        normaliser = f * normaliser + i * k
        least = (normaliser * q).sum(-1, keepdim=True).abs().clamp(min=1.0)
        found.append((p["output"][:, t].sigmoid() * read(memory, q) / least).flatten(-2))
    return torch.stack(found, 1)


def gla(cell, x):
    p, width = parts(cell, x), cell.head_size
    memory = x.new_zeros(ROWS, cell.heads, width, width)
    found = []
    for t in range(STEPS):
        decay = p["decay"][:, t].sigmoid() ** (1 / 16)
        memory = decay.unsqueeze(-1) * memory + outer(p["key"][:, t], p["value"][:, t])
        y = read(memory, p["query"][:, t] / width**0.5)
        gate = p["output"][:, t].flatten(-2)
        found.append(gate * gate.sigmoid() * of_size_one(y, cell.gain))
    return torch.stack(found, 1)


def delta_net(cell, x):
    p = parts(cell, x)
    memory = x.new_zeros(ROWS, cell.heads, cell.head_size, cell.head_size)
    found = []
    for t in range(STEPS):
        q, k, v = (p[name][:, t] * p[name][:, t].sigmoid() for name in ("query", "key", "value"))
        q, k = (part / (part.square().sum(-1, keepdim=True) + 1e-6).sqrt() for part in (q, k))
        if "decay" in p:
            speed = cell.log_speed.exp().unsqueeze(-1)
            size = torch.exp(-speed * torch.log(1 + p["decay"][:, t].exp()))
            memory = size.unsqueeze(-1) * memory
        wrong = v - read(memory, k)
        memory = memory + p["rate"][:, t].sigmoid().unsqueeze(-1) * outer(k, wrong)
        found.append(of_size_one(read(memory, q), cell.gain))
    return torch.stack(found, 1)


MEMORIES = {"mlstm": mlstm, "gla": gla, "delta_net": delta_net, "gated_delta_net": delta_net}


@pytest.mark.parametrize("way", ["loop", "scan"])
@pytest.mark.parametrize("name", MEMORIES)
def test_matrix_memories(name, way):
    check(made(name, heads=3), sequence(), MEMORIES[name], way)


def hgrn(cell, x):
    candidate, forget, output = (x @ cell.weight.T + cell.bias).chunk(3, -1)
    floor, h, found = cell.floor.sigmoid(), x.new_zeros(ROWS, UNITS), []
    for t in range(STEPS):
        f = floor + (1 - floor) * forget[:, t].sigmoid()
        h = f * h + (1 - f) * candidate[:, t] * candidate[:, t].sigmoid()
        found.append(h * output[:, t].sigmoid())
    return torch.stack(found, 1)


def gate_loop(cell, x):
    """The complex numbers as pairs of real ones."""
    decay, phase, key, value, query, output = (x @ cell.weight.T + cell.bias).chunk(6, -1)
    re, im = x.new_zeros(ROWS, UNITS), x.new_zeros(ROWS, UNITS)
    found = []
    for t in range(STEPS):
        size, turn = decay[:, t].sigmoid(), phase[:, t]
        a, b = size * turn.cos(), size * turn.sin()
        re, im = a * re - b * im + key[:, t] * value[:, t], a * im + b * re
        found.append(re * query[:, t] * output[:, t] * output[:, t].sigmoid())
    return torch.stack(found, 1)


def s5(cell, x):
    """The differential equation, held over each step, as the exponential of a larger matrix."""
    states = []
    for unit in range(UNITS):
        a, w = -cell.rate[unit].exp(), cell.turn[unit]
        zero = torch.zeros_like(a)
        rows = [torch.stack([a, -w, zero + 1, zero]), torch.stack([w, a, zero, zero + 1]),
                torch.stack([zero] * 4), torch.stack([zero] * 4)]  # fmt: skip
        held = torch.matrix_exp(torch.stack(rows) * cell.log_step[unit].exp())
        into = torch.stack([x @ cell.into[0, unit], x @ cell.into[1, unit]], -1)
        state, found = x.new_zeros(ROWS, 2), []
        for t in range(STEPS):
            state = state @ held[:2, :2].T + into[:, t] @ held[:2, 2:].T
            found.append(state)
        states.append(torch.stack(found, 1))
    re, im = torch.stack(states, -2).unbind(-1)
    return re @ cell.out_of[0].T - im @ cell.out_of[1].T + x @ cell.skip.T


LINEAR = {"hgrn": hgrn, "gate_loop": gate_loop, "s5": s5}


@pytest.mark.parametrize("way", ["loop", "scan"])
@pytest.mark.parametrize("name", LINEAR)
def test_linear_recurrences(name, way):
    check(made(name), sequence(), LINEAR[name], way)


def test_legendre_memory_holds_the_last_steps():
    """A sine of the window's length is read back from the memory by Legendre's polynomials."""
    from seqlab_zoo.lmu import legendre

    order, theta = 12, 40.0
    kept, written = (part.double() for part in legendre(order, theta))
    signal = torch.sin(torch.arange(120).double() * 0.15)
    memory = torch.zeros(order, dtype=torch.float64)
    for value in signal:
        memory = kept @ memory + written * value
    for back in (5, 20, 35):
        place = 2 * (back + 0.5) / theta - 1  # in the middle of the step in which it was held
        polynomials = [torch.special.legendre_polynomial_p(torch.tensor(place), n)
                       for n in range(order)]  # fmt: skip
        found = sum(float(p) * float(m) for p, m in zip(polynomials, memory, strict=True))
        assert found == pytest.approx(float(signal[-1 - back]), abs=0.05)


@pytest.mark.parametrize(("order", "theta"), [(1, 3.0), (6, 10.0), (16, 64.0)])
def test_legendre_matrices_are_those_of_scipy(order, theta):
    """The paper's equation 2, held over a step of length 1 by scipy."""
    signal = pytest.importorskip("scipy.signal")
    from seqlab_zoo.lmu import legendre

    change = torch.empty(order, order, dtype=torch.float64)
    into = torch.empty(order, 1, dtype=torch.float64)
    for i in range(order):
        into[i] = (2 * i + 1) / theta * (-1) ** i
        for j in range(order):
            change[i, j] = (2 * i + 1) / theta * (-1 if i < j else (-1) ** (i - j + 1))
    nothing = (torch.zeros(1, order).numpy(), torch.zeros(1, 1).numpy())
    kept, written, *_ = signal.cont2discrete(
        (change.numpy(), into.numpy(), *nothing), 1.0, method="zoh"
    )
    for ours, theirs in zip(legendre(order, theta), (kept, written[:, 0]), strict=True):
        torch.testing.assert_close(ours, torch.from_numpy(theirs).float(), rtol=1e-6, atol=1e-7)


def lmu(cell, x):
    h, m = x.new_zeros(ROWS, UNITS), x.new_zeros(ROWS, cell.order)
    found = []
    for x_t in x.unbind(1):
        wide = x_t @ cell.from_input.weight.T + cell.from_input.bias + h @ cell.from_hidden.weight.T
        u = wide[:, UNITS:] + m @ cell.encoder.weight.T
        m = m @ cell.kept.T + u * cell.written
        h = torch.tanh(wide[:, :UNITS] + m @ cell.from_memory.weight.T)
        found.append(h)
    return torch.stack(found, 1)


def test_legendre_memory_unit():
    check(made("lmu", order=4, theta=6.0), sequence(), lmu, "loop")


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
