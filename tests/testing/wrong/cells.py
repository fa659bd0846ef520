"""Cells with one bug each. Do not use them; the conformance kit must find them."""

# ruff: noqa: ARG002  # the signatures are the contract's; many a bug is an argument that is ignored

from __future__ import annotations

import random
from collections import namedtuple
from typing import NamedTuple

import torch
import torch.nn.functional as F
from seqlab.cells.base import Cell, HiddenState, VendorKernel
from seqlab.cells.gated import GatedCell
from seqlab.cells.gru import GRUCell
from seqlab.cells.lstm import LSTMCell, LSTMState
from torch import Tensor, nn


class Right(GatedCell):
    """A leaky gated cell without a bug: ``z`` keeps, ``n`` is new. The others differ in a line."""

    gates = ("update", "candidate")
    State = HiddenState

    def update(self, x, h, state):
        z = self.recurrent_activation(x.update + h.update)
        n = self.activation(x.candidate + h.candidate)
        hidden = z * state.hidden + (1 - z) * n
        return hidden, HiddenState(hidden)


class VectorCalledBias(Right):
    """A cell without a bug: a declared vector may be called a bias, and is none of the options'."""

    vectors = {"gate_bias": "ones"}  # noqa: RUF012  # as the base class declares it

    def update(self, x, h, state):
        return super().update(x._replace(update=x.update + self.gate_bias), h, state)


class NoBiasByDefault(Right):
    """A cell without a bug: without biases, and with an attribute set after the base's."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        use_bias: bool = False,
        leak: float = 0.9,
        **options,
    ):
        super().__init__(input_size, hidden_size, use_bias=use_bias, **options)
        self.leak = leak

    def update(self, x, h, state):
        return super().update(x, h, HiddenState(self.leak * state.hidden))


class SwappedGates(LSTMCell):
    """Its equations take the forget gate for the input gate, and it claims the vendor's kernel."""

    def update(self, x, h, state):
        if self.coupled:
            return super().update(x, h, state)
        swapped = (part._replace(input=part.forget, forget=part.input) for part in (x, h))
        return super().update(*swapped, state)

    def vendor_kernel(self):
        return VendorKernel("lstm")


class MissingGradient(Right):
    """Its recurrent matrix is cut off from the gradient."""

    def step(self, projected_t, state, noise=None):
        weight = self.weight_hh
        del self._parameters["weight_hh"]
        self.weight_hh = weight.detach()
        try:
            return super().step(projected_t, state, noise)
        finally:
            del self.weight_hh
            self.weight_hh = weight


class CutThroughTime(Right):
    """The gradient stops at the old state."""

    def update(self, x, h, state):
        return super().update(x, h, HiddenState(state.hidden.detach()))


class _DoubledBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.tanh(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (1 - torch.tanh(x))


class WrongBackward(Cell):
    """Its tanh has the derivative ``1 - tanh`` in place of ``1 - tanh ** 2``."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, hidden_size)
        self.recurrent = nn.Linear(hidden_size, hidden_size)

    def reset_parameters(self):
        self.input.reset_parameters()
        self.recurrent.reset_parameters()

    def step(self, projected_t, state, noise=None):
        hidden = _DoubledBackward.apply(self.input(projected_t) + self.recurrent(state.hidden))
        hidden = hidden.to(state.hidden.dtype)
        return hidden, HiddenState(hidden)


class InPlaceState(LSTMCell):
    """It updates the memory in place."""

    def update(self, x, h, state):
        f = self.recurrent_activation(x.forget + h.forget)
        i = self.recurrent_activation(x.input + h.input)
        cell = state.cell.mul_(f).add_(i * self.activation(x.candidate + h.candidate))
        hidden = self.recurrent_activation(x.output + h.output) * self.activation(cell)
        return hidden, LSTMState(hidden, cell)


class StateOnModule(Right):
    """It adds the hidden state of the last call, which it keeps."""

    last: Tensor | None = None

    def update(self, x, h, state):
        hidden, new = super().update(x, h, state)
        if self.last is not None and self.last.shape == hidden.shape:
            hidden = hidden + 0.1 * self.last
        self.last = new.hidden.detach()
        return hidden, HiddenState(hidden)


class LeakAcrossRows(Right):
    """It centres the candidate over the batch."""

    def update(self, x, h, state):
        centred = x.candidate - x.candidate.mean(0, keepdim=True)
        return super().update(x._replace(candidate=centred), h, state)


class MixedUnits(Right):
    """It normalises the new state over the units, inside ``update``."""

    def update(self, x, h, state):
        hidden, _ = super().update(x, h, state)
        hidden = hidden / (1 + hidden.square().mean(-1, keepdim=True))
        return hidden, HiddenState(hidden)


class DropoutAtInference(Right):
    """It drops units always."""

    def update(self, x, h, state):
        hidden, _ = super().update(x, h, state)
        hidden = F.dropout(hidden, 0.3)
        return hidden, HiddenState(hidden)


class DropoutInStep(Right):
    """It drops units inside the step, where no engine can repeat the mask."""

    def update(self, x, h, state):
        hidden, _ = super().update(x, h, state)
        hidden = F.dropout(hidden, 0.3, self.training)
        return hidden, HiddenState(hidden)


class HiddenParameter(Right):
    """A weight that learns nothing and is not saved: it stands in a list."""

    def __init__(self, input_size, hidden_size, **options):
        super().__init__(input_size, hidden_size, **options)
        self.scales = [torch.ones(hidden_size, requires_grad=True)]

    def update(self, x, h, state):
        hidden, _ = super().update(x, h, state)
        hidden = hidden * self.scales[0].to(hidden)
        return hidden, HiddenState(hidden)


class MissingFromStateDict(Right):
    """A random number that matters, in a buffer that is not saved."""

    def __init__(self, input_size, hidden_size, **options):
        super().__init__(input_size, hidden_size, **options)
        self.register_buffer("scale", 1 + 0.1 * torch.rand(input_size), persistent=False)

    def project(self, x_BTD, noise=None):
        return super().project(x_BTD * self.scale.to(x_BTD.dtype), noise)


class MixesTime(Right):
    """``project`` takes the mean over the sequence away: the step differs from the sequence."""

    def project(self, x_BTD, noise=None):
        return super().project(x_BTD - x_BTD.mean(1, keepdim=True), noise)


class LyingOutputSize(Right):
    """It states twice the width that it gives."""

    @property
    def output_size(self):
        return 2 * self.hidden_size


class BranchesOnValues(Right):
    """A Python ``if`` on a value, which no exported graph can hold."""

    def update(self, x, h, state):
        hidden, _ = super().update(x, h, state)
        if float(hidden.detach().abs().max()) > 100.0:
            hidden = hidden.clamp(-100.0, 100.0)
        return hidden, HiddenState(hidden)


class UnseededWeights(Right):
    """Its bias comes from Python's random numbers, which torch's seed does not rule."""

    def reset_parameters(self):
        super().reset_parameters()
        if self.bias is not None:
            with torch.no_grad():
                self.bias.add_(random.random())  # noqa: S311  # that is the bug


class ForgetsToReset(Cell):
    """A cell with weights and without ``reset_parameters``: both directions start as twins."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.both = nn.Parameter(torch.randn(hidden_size, input_size + hidden_size) * 0.3)

    def step(self, projected_t, state, noise=None):
        both = torch.cat([projected_t, state.hidden], -1)
        hidden = torch.tanh(F.linear(both, self.both)).to(state.hidden.dtype)
        return hidden, HiddenState(hidden)


class HardCodedSigmoid(Right):
    """Its gate is torch's sigmoid, whatever ``recurrent_activation`` says."""

    def update(self, x, h, state):
        z = torch.sigmoid(x.update + h.update)
        n = self.activation(x.candidate + h.candidate)
        hidden = z * state.hidden + (1 - z) * n
        return hidden, HiddenState(hidden)


class DropsRegularizer(Right):
    """It forgets its base's penalties."""

    def regularization_loss(self):
        return self.weight_ih.new_zeros(())


class SwallowsOptions(Right):
    """It takes every option and drops those it does not know."""

    def __init__(self, input_size, hidden_size, activation="tanh", **options):
        del options
        super().__init__(input_size, hidden_size, activation=activation)


class UnusedGate(GatedCell):
    """It declares three gates and computes with two."""

    gates = ("update", "reset", "candidate")
    State = HiddenState

    def update(self, x, h, state):
        z = self.recurrent_activation(x.update + h.update)
        hidden = z * state.hidden + (1 - z) * self.activation(x.candidate + h.candidate)
        return hidden, HiddenState(hidden)


class _Two(NamedTuple):
    hidden: Tensor
    memory: Tensor


class IgnoresState(Right):
    """It is no recurrence: the state before the step has no part in it."""

    def step(self, projected_t, state, noise=None):
        zeros = HiddenState(torch.zeros_like(state.hidden))
        return super().step(projected_t, zeros, noise)


class StateChangesForm(GatedCell):
    """It takes a state of two tensors and gives one of one."""

    gates = ("candidate",)
    State = _Two

    def update(self, x, h, state):
        hidden = self.activation(x.candidate + h.candidate) + 0.5 * state.memory
        return hidden, HiddenState(hidden)


class TypeMadeAtRunTime(Right):
    """It keeps a type that no other process can find by its name."""

    def __init__(self, input_size, hidden_size, **options):
        super().__init__(input_size, hidden_size, **options)
        self.pair = namedtuple("Pair", ("update", "candidate"))  # noqa: PYI024  # that is the bug

    def update(self, x, h, state):
        h = self.pair(h.update, h.candidate)
        return super().update(x, h, state)


class UnusedFlag(GRUCell):
    """A flag that is stored and never read."""

    def __init__(self, input_size, hidden_size, *, fancy: bool = False, **options):
        super().__init__(input_size, hidden_size, **options)
        self.fancy = fancy


class Undocumented(Right):
    pass


Undocumented.__doc__ = None
