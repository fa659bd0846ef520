"""How engines estimate what a call takes.

An engine's own numbers stand in its folder. Those for CPUs were measured on two cores
(docs/benchmarks.md), those for GPUs on one (docs/benchmarks_cuda.md); where nothing was measured
launches of kernels are counted, and the offer says so. They need not be exact: they decide between
engines that give the same results.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.engines.base import Offer

#: Seconds to launch a kernel on a GPU, and a rate that a small one reaches there.
LAUNCH_SECONDS, GPU_RATE = 1e-5, 1e13


class OnGpu(NamedTuple):
    """Of a call on a GPU, as measured on an H200: seconds of it, of a step, operations a second."""

    call: float
    step: float
    rate: float


class Forward(NamedTuple):
    """Of a call without gradients on a CPU: seconds of a step, operations a second, of the call."""

    step: float
    rate: float
    call: float = 0.0


class Cost(NamedTuple):
    """Of a call, forward and backward.

    Attributes:
        step: seconds of one time step of its own.
        rate: floating-point operations a second.
        call: seconds of a call, whatever its length.
        launches: kernels that one step launches on a GPU, where nothing was measured.
        gpu: what was measured there.
        forward: what was measured without gradients; None where that is a share of the whole that
            is much the same for all engines.
        stepping: what was measured of a stream's steps, one by one, without gradients: ``call`` is
            of one of them.
    """

    step: float
    rate: float
    call: float = 0.0
    launches: float = 0.0
    gpu: OnGpu | None = None
    forward: Forward | None = None
    stepping: Forward | None = None

    def of_steps(self) -> Cost:
        """The same for steps that are taken one by one, so far as that was measured."""
        return self if self.stepping is None else self._replace(forward=self.stepping)

    def seconds(self, cell: Cell, x_BTD: Tensor) -> float:
        """The time of a call with this input."""
        steps, work = x_BTD.shape[1], operations(cell, x_BTD)
        if x_BTD.device.type == "cpu" and self.forward and not torch.is_grad_enabled():
            step, rate, call = self.forward
            return call + steps * step + work / 3 / rate
        if x_BTD.device.type == "cpu":
            return self.call + steps * self.step + work / self.rate
        if self.gpu is not None:
            return self.gpu.call + steps * self.gpu.step + work / self.gpu.rate
        return steps * self.launches * LAUNCH_SECONDS + work / GPU_RATE

    def with_steps_of(self, seconds: float) -> Cost:
        """The same, each step so much dearer, forward and backward; a third of it forward alone."""
        forward = self.forward
        forward = forward and forward._replace(step=forward.step + seconds / 3)
        return self._replace(step=self.step + seconds, forward=forward)

    def offer(self, cell: Cell, x_BTD: Tensor, why: str, **setup: float) -> Offer:
        """An offer at this cost; ``setup``: ``setup_seconds`` and ``kept_seconds``."""
        if x_BTD.device.type != "cpu" and self.gpu is None:
            why += f" (on {x_BTD.device.type} estimated by launches, not measured)"
        seconds = self.seconds(cell, x_BTD)
        return Offer(setup.get("setup_seconds", 0.0), seconds, why, setup.get("kept_seconds"))


def operations(cell: Cell, x_BTD: Tensor) -> float:
    """Floating-point operations of the matrix products, forward and backward."""
    batch, steps, features = x_BTD.shape
    gates = getattr(cell, "gates", "x")
    inputs = len(getattr(cell, "input_gates", gates))
    recurrent = len(getattr(cell, "recurrent_gates", gates))
    blocks = getattr(cell, "heads", 1) if hasattr(cell, "recurrent_gates") else 1
    width = inputs * features + recurrent * cell.hidden_size / blocks
    return 6.0 * batch * steps * cell.hidden_size * width
