"""Engines with one bug each, and one without. Do not use them."""

# ruff: noqa: ARG002  # the signatures are the contract's; many a bug is an argument that is ignored

from __future__ import annotations

import torch
from seqlab.engines.base import Engine
from seqlab.engines.loop import LoopEngine


class IgnoresMask(LoopEngine):
    """It runs over masked steps."""

    name = "ignores-mask"

    def run(self, cell, x_BTD, state, mask, *, reverse, noise):
        return super().run(cell, x_BTD, state, None, reverse=reverse, noise=noise)


class LosesPlace(LoopEngine):
    """A reversed run comes out in the order of running."""

    name = "loses-place"

    def run(self, cell, x_BTD, state, mask, *, reverse, noise):
        output, final = super().run(cell, x_BTD, state, mask, reverse=reverse, noise=noise)
        return (output.flip(1) if reverse else output), final


class NoStateGradient(LoopEngine):
    """The initial state gets no gradient."""

    name = "no-state-gradient"

    def run(self, cell, x_BTD, state, mask, *, reverse, noise):
        state = type(state)(*(part.detach() for part in state))
        return super().run(cell, x_BTD, state, mask, reverse=reverse, noise=noise)


class DetachedOutput(LoopEngine):
    """It works without gradients and does not say so."""

    name = "detached-output"

    def run(self, cell, x_BTD, state, mask, *, reverse, noise):
        with torch.no_grad():
            return super().run(cell, x_BTD, state, mask, reverse=reverse, noise=noise)


class InferenceOnly(DetachedOutput):
    """It works without gradients, as it says: nothing is wrong with it."""

    name = "inference-only"
    differentiable = False


class SaysMaybe(LoopEngine):
    """It gives its word on gradients as a word."""

    name = "says-maybe"
    differentiable = "mostly"


class ForgetsNoise(LoopEngine):
    """It drops the dropout masks."""

    name = "forgets-noise"

    def run(self, cell, x_BTD, state, mask, *, reverse, noise):
        return super().run(cell, x_BTD, state, mask, reverse=reverse, noise=None)


class SaysTrue(LoopEngine):
    """Its refusals are True and False, without words."""

    name = "says-true"

    def refusal(self, cell, x_BTD, noise):
        return len(cell.state_sizes) > 1


class NoArguments(Engine):
    """It needs an argument to be built."""

    name = "needs-chunk"

    def __init__(self, chunk):
        self.chunk = chunk

    def refusal(self, cell, x_BTD, noise):
        return "never runs"

    def run(self, cell, x_BTD, state, mask, *, reverse, noise):
        raise RuntimeError("never runs")
