"""Memories that are matrices, and linear recurrences: their papers' equations on plain matrices."""

from __future__ import annotations

import pytest
import torch
from by_hand import ROWS, STEPS, UNITS, check, made, sequence


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
