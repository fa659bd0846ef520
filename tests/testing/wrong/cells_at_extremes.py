"""Cells that are wrong at some sizes, types or values alone."""

# ruff: noqa: ARG002  # the signatures are the contract's; many a bug is an argument that is ignored

from __future__ import annotations

import random

import torch
from seqlab.cells.base import HiddenState
from torch import nn
from wrong.cells import Right, WrongBackward


class FewRowsOnly(Right):
    """Its rows beyond the sixteenth are all treated as the sixteenth."""

    def update(self, x, h, state):
        hidden, _ = super().update(x, h, state)
        rows = torch.arange(hidden.shape[0]).clamp(max=15)
        return hidden[rows], HiddenState(hidden[rows])


class ShortProjection(Right):
    """It projects long sequences with the digits of float16."""

    def project(self, x_BTD, noise=None):
        projected = super().project(x_BTD, noise)
        return projected.half().to(projected) if x_BTD.shape[1] > 64 else projected


class NarrowOnly(Right):
    """Its units beyond the 64th stay at 0."""

    def update(self, x, h, state):
        hidden, _ = super().update(x, h, state)
        hidden = hidden * (torch.arange(hidden.shape[-1], device=hidden.device) < 64)
        return hidden, HiddenState(hidden)


class _SingleBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.tanh(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        y = torch.tanh(x)
        return gradient * (1 - (y.abs() if x.dtype == torch.float32 else y * y))


class WrongBackwardInSingle(WrongBackward):
    """Its tanh has a wrong derivative in float32 alone."""

    def step(self, projected_t, state, noise=None):
        hidden = _SingleBackward.apply(self.input(projected_t) + self.recurrent(state.hidden))
        hidden = hidden.to(state.hidden.dtype)
        return hidden, HiddenState(hidden)


class StateOfAutocast(WrongBackward):
    """Under autocast its state is what the products are: bfloat16."""

    def step(self, projected_t, state, noise=None):
        hidden = torch.tanh(self.input(projected_t) + self.recurrent(state.hidden))
        return hidden, HiddenState(hidden)


class InPlaceForOneRow(Right):
    """It works in place on the tenth row of the state it is given."""

    def step(self, projected_t, state, noise=None):
        output, new = super().step(projected_t, state, noise)
        with torch.no_grad():
            state.hidden[9:10] *= 0.5
        return output, new


class OverflowsFarFromZero(Right):
    """Its gate is a quotient of exponentials of the state, which overflow."""

    def update(self, x, h, state):
        hidden, _ = super().update(x, h, state)
        grown = torch.exp(state.hidden * state.hidden)
        hidden = hidden * (1 + grown) / (2 + grown)
        return hidden, HiddenState(hidden)


class SeldomRandom(Right):
    """Once in many calls it adds a random number, by Python's generator."""

    def step(self, projected_t, state, noise=None):
        output, new = super().step(projected_t, state, noise)
        if random.random() < 1e-12:  # noqa: S311  # that is the bug
            output = output + random.random()  # noqa: S311
        return output, new


class CopiesShareWeights(Right):
    """A deep copy of it has parameters of its own in the memory of the first."""

    def __deepcopy__(self, memo):
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(self.__dict__)
        twin._parameters = {
            name: None if p is None else nn.Parameter(p.detach())
            for name, p in self._parameters.items()
        }
        return twin


class CountsCalls(Right):
    """Its equations count how often they are asked."""

    calls = 0

    def update(self, x, h, state):
        self.calls += 1
        return super().update(x, h, state)


class SqueezesOneRow(Right):
    """With one row the batch dimension is lost."""

    def update(self, x, h, state):
        hidden, _ = super().update(x, h, state)
        hidden = hidden.squeeze()
        return hidden, HiddenState(hidden)


class FixedDtype(Right):
    """Its initial state is float32, always."""

    def initial_state(self, batch_size, *, device=None, dtype=None):
        return HiddenState(torch.zeros(batch_size, self.hidden_size, device=device))


class SinglePrecisionInside(Right):
    """In float64 it computes with float32's digits."""

    def update(self, x, h, state):
        x, h = (type(part)(*(gate.float() for gate in part)) for part in (x, h))
        hidden, _ = super().update(x, h, HiddenState(state.hidden.float()))
        hidden = hidden.to(state.hidden.dtype)
        return hidden, HiddenState(hidden)


class ConstantOnCpu(Right):
    """It makes a constant on the CPU, wherever its parameters are."""

    def update(self, x, h, state):
        hidden, _ = super().update(x, h, state)
        hidden = hidden * torch.linspace(0.9, 1.0, hidden.shape[-1], dtype=hidden.dtype)
        return hidden, HiddenState(hidden)
