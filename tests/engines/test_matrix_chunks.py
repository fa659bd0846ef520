"""Matrix memories by chunks equal their equations, step by step: outputs, states, gradients."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.cells.matrix import MatrixStateCell, Writes
from seqlab.engines.scan import matrix_chunks, matrix_rows
from torch import nn


class Memory(MatrixStateCell):
    """Decays by head, from one matrix."""

    def __init__(self, input_size, hidden_size, *, heads=2):
        super().__init__(input_size, hidden_size, heads=heads)
        self.made = nn.Linear(input_size, 4 * hidden_size + 3 * heads)

    def reset_parameters(self):
        nn.init.normal_(self.made.weight, std=0.7)
        nn.init.zeros_(self.made.bias)

    def parts(self, x_BTD):
        units, heads = self.hidden_size, self.heads
        made = self.made(x_BTD).split([units] * 4 + [heads] * 3, -1)
        wide = [part.unflatten(-1, (heads, -1)) for part in made[:4]]
        return [*wide, *made[4:]]

    def writes(self, x_BTD):
        query, key, value, _, decay, _, _ = self.parts(x_BTD)
        return Writes(query, key, value, nn.functional.logsigmoid(decay).unsqueeze(-1))


class ByRow(Memory):
    def writes(self, x_BTD):
        query, key, value, decay, *_ = self.parts(x_BTD)
        return Writes(query, key, value, nn.functional.logsigmoid(decay))


class Kept(Memory):
    def writes(self, x_BTD):
        return Writes(*self.parts(x_BTD)[:3])


class Delta(Memory):
    delta = True

    def writes(self, x_BTD):
        query, key, value, _, decay, rate, _ = self.parts(x_BTD)
        key = nn.functional.normalize(key, dim=-1)
        log_decay = nn.functional.logsigmoid(decay).unsqueeze(-1)
        return Writes(query, key, value, log_decay, rate=torch.sigmoid(rate))


class DeltaByRow(Delta):
    def writes(self, x_BTD):
        decay = nn.functional.logsigmoid(self.parts(x_BTD)[3])
        return super().writes(x_BTD)._replace(log_decay=decay)


class Exponential(Memory):
    exponential = True
    extra_values = 1

    def writes(self, x_BTD):
        query, key, value, _, decay, _, log_input = self.parts(x_BTD)
        value = torch.cat([value, torch.ones_like(value[..., :1])], -1)
        log_decay = nn.functional.logsigmoid(decay).unsqueeze(-1)
        return Writes(query, key, value, log_decay, 3 * log_input)

    def readout(self, x_BTD, y_BTNV, stabiliser_BTN):
        del x_BTD
        least = torch.exp(-stabiliser_BTN).unsqueeze(-1)
        return (y_BTNV[..., :-1] / torch.maximum(y_BTNV[..., -1:].abs(), least)).flatten(-2)


CELLS = (Memory, ByRow, Kept, Delta, DeltaByRow, Exponential)


def results(layer, x, state, mask):
    output, final = layer(x, state, mask=mask)
    weight = torch.linspace(-1, 2, output.numel(), dtype=x.dtype).view_as(output)
    loss = (output * weight).sum() + sum(part.sin().sum() for part in final)
    inputs = [x, *state, *layer.parameters()]
    return [output, *final, *torch.autograd.grad(loss, inputs, allow_unused=True)]


@pytest.mark.parametrize("steps", [1, 11])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_chunks_equal_steps(cell, reverse, steps, monkeypatch):
    monkeypatch.setattr(matrix_chunks, "STEPS", 4)
    monkeypatch.setattr(matrix_chunks, "STEPS_BY_ROW", 4)
    torch.manual_seed(1)
    loop, scan = (
        seqlab.Recurrent(cell(3, 6), engine=engine, reverse=reverse).double()
        for engine in ("loop", "scan")
    )
    scan.load_state_dict(loop.state_dict())
    x = torch.randn(4, steps, 3, dtype=torch.float64, requires_grad=True)
    state = [torch.randn_like(part).requires_grad_() for part in loop.initial_state(4)]
    holes = torch.rand(4, steps) > 0.4
    holes[0], holes[1] = True, False
    for mask in (None, holes):
        found, expected = results(scan, x, state, mask), results(loop, x, state, mask)
        for ours, reference in zip(found, expected, strict=True):
            zero = None if ours is None else torch.zeros_like(ours)
            torch.testing.assert_close(ours, zero if reference is None else reference)


def decays(kind, steps, dtype):
    """Logarithms of decays of three rows, and of their neighbours where they are mixed."""
    made = -torch.rand(2, 2, steps, 3, dtype=dtype)
    if kind == "strong":
        return 50 * made
    if kind == "mixed":  # most rows keep nearly all, some steps wipe out nearly all
        return torch.where(torch.rand_like(made) < 0.2, -50.0 - made, made / 100)
    return made if kind == "weak" else torch.full_like(made, -torch.inf)


def by_steps(query, key, value, log_decay, memory):
    found = []
    for t in range(query.shape[2]):
        memory = log_decay[:, :, t].exp().unsqueeze(-1) * memory
        memory = memory + key[:, :, t].unsqueeze(-1) * value[:, :, t].unsqueeze(-2)
        found.append((query[:, :, t].unsqueeze(-2) @ memory).squeeze(-2))
    return torch.stack(found, 2), memory


def slopes(found, given):
    """What was found, and gradients of all that was given."""
    loss = found[0].sin().sum() + found[1].sin().sum()
    return [*found, *torch.autograd.grad(loss, given)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", ["weak", "strong", "mixed", "all"])
def test_rows_with_decays_of_any_strength_equal_steps(kind, dtype):
    bound = {torch.float64: 1e-10, torch.float32: 1e-4}[dtype]
    for steps in (1, 2, 15, 16, 37):
        torch.manual_seed(steps)
        query, key, value = torch.randn(3, 2, 2, steps, 3, dtype=dtype)
        memory = torch.randn(2, 2, 3, 3, dtype=dtype)
        given = (query, key, value, decays(kind, steps, dtype), memory)
        for part in given:
            part.requires_grad_()
        found = matrix_rows.run_rows(given[:4], memory, 16)
        exact = [part.detach().double().requires_grad_() for part in given]
        wanted = by_steps(*exact)
        for ours, reference in zip(slopes(found, given), slopes(wanted, exact), strict=True):
            torch.testing.assert_close(ours.double(), reference, rtol=bound, atol=bound)


def test_one_step_by_hand():
    torch.manual_seed(1)
    cell = Delta(3, 4, heads=1).double()
    x, memory = torch.randn(1, 1, 3).double(), torch.randn(1, 1, 4, 4).double()
    output, state = seqlab.Recurrent(cell, engine="loop")(x, (torch.zeros(1, 4).double(), memory))
    query, key, value, log_decay, rate = (
        part[0, 0, 0] for part in cell.writes(x) if part is not None
    )
    kept = log_decay.exp() * memory[0, 0]
    new = kept + rate * torch.outer(key, value - kept.T @ key)
    torch.testing.assert_close(state.memory[0, 0], new)
    torch.testing.assert_close(output[0, 0], new.T @ query)
    torch.testing.assert_close(state.hidden, output[:, 0])


def test_it_is_chosen_for_long_sequences_and_stays_finite_in_float32():
    torch.manual_seed(1)
    layer = seqlab.Recurrent(Exponential(3, 6))
    x = 20 * torch.randn(2, 300, 3)
    assert layer.explain(x).engine.name == "scan"
    output, state = layer(x)
    output.sum().backward()
    assert output.isfinite().all()
    assert all(part.isfinite().all() for part in state)
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    again = seqlab.Recurrent(layer.cell, engine="loop")(x)[0]
    torch.testing.assert_close(output, again, rtol=1e-3, atol=1e-3)


def test_heads_must_divide_the_units():
    with pytest.raises(seqlab.errors.OptionError, match="heads: 4 does not divide hidden_size 6"):
        Memory(3, 6, heads=4)


@pytest.mark.parametrize("engine", ["loop", "scan", "auto"])
def test_an_exponential_cell_has_one_decay_a_head(engine):
    class ByRowToo(Exponential):
        def writes(self, x_BTD):
            decay = nn.functional.logsigmoid(self.parts(x_BTD)[3])
            return super().writes(x_BTD)._replace(log_decay=decay)

    message = (
        r"ByRowToo is exponential, and its log_decay must be one number for each head, "
        r"\(2, 5, 2, 1\), not one for each row of the matrix: got \(2, 5, 2, 3\)$"
    )
    with pytest.raises(seqlab.errors.ShapeError, match=message):
        seqlab.Recurrent(ByRowToo(3, 6), engine=engine)(torch.zeros(2, 5, 3))
    layer = seqlab.Recurrent(ByRowToo(3, 6, heads=6), engine=engine)  # each has one row
    assert layer(torch.zeros(2, 5, 3))[0].isfinite().all()
