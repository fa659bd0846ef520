"""Modifiers with one bug each. Do not use them."""

# ruff: noqa: ARG002  # the signatures are the contract's; many a bug is an argument that is ignored

from __future__ import annotations

import torch
from seqlab import Modifier, with_gates
from torch import nn


class AddsUp(Modifier):
    """One sum in the place of the pair."""

    def modify(self, x, h, state):
        return x


class ReadsTooEarly(Modifier):
    """It asks for gates that the first product has not made."""

    def modify(self, x, h, state):
        return with_gates(x, {"add": x.add * h.add}), h


class Passes(Modifier):
    """It changes nothing."""

    def modify(self, x, h, state):
        return x, h


class MeanOverUnits(Modifier):
    """A mean over the units."""

    def modify(self, x, h, state):
        return x, with_gates(h, {g: p - p.mean(-1, keepdim=True) for g, p in h._asdict().items()})


class Noisy(Modifier):
    """Random numbers in training."""

    def modify(self, x, h, state):
        scale = torch.rand(()).double() if self.training else 0.5
        return x, with_gates(h, {gate: scale * part for gate, part in h._asdict().items()})


class UnreadVector(Modifier):
    """A vector without a part in the result."""

    def __init__(self, gates):
        super().__init__(gates)
        self.make_vectors(gain=1.0, shift=0.0)

    def modify(self, x, h, state):
        shared = [gate for gate in h._fields if gate in self.gates.shared]
        return x, with_gates(h, {g: self.vector("gain", g) * getattr(h, g) for g in shared})


class NeverDrawn(Modifier):
    """Parameters that stay as they are."""

    def __init__(self, gates):
        super().__init__(gates)
        self.gain = nn.Parameter(torch.ones(gates.hidden_size))

    def modify(self, x, h, state):
        return x, with_gates(h, {gate: self.gain * part for gate, part in h._asdict().items()})
