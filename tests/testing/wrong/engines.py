"""Engines with one bug each, and one without. Do not use them."""

# ruff: noqa: ARG002  # the signatures are the contract's; many a bug is an argument that is ignored

from __future__ import annotations

import torch
from seqlab.engines.base import Engine
from seqlab.engines.loop import LoopEngine


class IgnoresMask(LoopEngine):
    """It runs over masked steps."""

    name = "ignores-mask"

    def run(self, cell, run):
        return super().run(cell, run._replace(mask=None))


class LosesPlace(LoopEngine):
    """A reversed run comes out in the order of running."""

    name = "loses-place"

    def run(self, cell, run):
        output, final = super().run(cell, run)
        return (output.flip(1) if run.reverse else output), final


class NoStateGradient(LoopEngine):
    """The initial state gets no gradient."""

    name = "no-state-gradient"

    def run(self, cell, run):
        state = type(run.state)(*(part.detach() for part in run.state))
        return super().run(cell, run._replace(state=state))


class DetachedOutput(LoopEngine):
    """It works without gradients and does not say so."""

    name = "detached-output"

    def run(self, cell, run):
        with torch.no_grad():
            return super().run(cell, run)


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

    def run(self, cell, run):
        return super().run(cell, run._replace(noise=None))


class SaysTrue(LoopEngine):
    """Its refusals are True and False, without words."""

    name = "says-true"

    def offer(self, cell, run):
        return len(cell.state_sizes) > 1


class Haggles(LoopEngine):
    """Its price is another one each time."""

    name = "haggles"
    asked = 0

    def offer(self, cell, run):
        Haggles.asked += 1
        return super().offer(cell, run)._replace(call_seconds=float(Haggles.asked))


class NoArguments(Engine):
    """It needs an argument to be built."""

    name = "needs-chunk"

    def __init__(self, chunk):
        self.chunk = chunk

    def offer(self, cell, run):
        return "never runs"

    def run(self, cell, run):
        raise RuntimeError("never runs")
