"""A loop over steps in memory of its own, for CUDA graphs of both ways."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn

from seqlab.engines.triton.graphs import Replayed, bytes_of
from seqlab.engines.triton.precision import product_settings
from seqlab.engines.triton.step_launches import Back
from seqlab.engines.triton.step_loop import Read, StepLoop


class KeptSteps:
    """A loop that calls of one form may have in turn.

    Args:
        loop: it reads what ``own`` gave.
    """

    def __init__(self, loop: StepLoop) -> None:
        self.loop = loop
        self._device = loop.read.x.device
        self._forward = Replayed(loop.run, self._device)
        self._ways: dict[bool, tuple[Back, Replayed]] = {}
        self._back = loop.back(None, [None] * len(loop.history)) if loop.form.keep else None
        owners = [loop, loop.launches, *([] if self._back is None else [self._back])]
        self.bytes = bytes_of(*owners)

    @property
    def failed(self) -> bool:
        """Whether there can be no graph of it."""
        return self._forward.failed or any(run.failed for _, run in self._ways.values())

    def forward(self, read: Read, states: Sequence[Tensor]) -> None:
        """All steps from what a call gives."""
        for mine, given in zip(self.loop.read.parts(), read.parts(), strict=True):
            if mine is not None and given is not None and not _stays(given):
                mine.copy_(given)
        self.loop.start(states)
        self._forward()

    def backward(self, d_output: Tensor | None, d_finals: Sequence[Tensor | None]) -> Back:
        """All steps back; the gradients lie in the loop's memory."""
        shown = d_output is not None
        if shown not in self._ways:
            assert self._back is not None  # noqa: S101  # there is a way back
            like = None if d_output is None else torch.empty_like(d_output)
            back = dataclasses.replace(self._back, d_output=like)
            run_back = functools.partial(self.loop.run_back, back)
            self._ways[shown] = back, Replayed(run_back, self._device)
        back, run = self._ways[shown]
        back.start(d_output, d_finals)
        run()
        return back


def own(read: Read) -> Read:
    """What a kept loop reads: parameters where they lie, else memory of its own."""
    parts = read.parts()
    return read.with_parts([t if t is None or _stays(t) else torch.empty_like(t) for t in parts])


def form_of(read: Read) -> Hashable:
    """All that a graph depends on of what is read, but for the addresses of parameters."""
    zone = read.masks.narrowed
    return (
        tuple([
            None if t is None else (t.shape, t.dtype, _stays(t), _stays(t) and t.stride())
            for t in read.parts()
        ]),
        None if isinstance(zone, Tensor) else zone, len(read.own), product_settings(),
    )  # fmt: skip


def addresses_of(read: Read) -> list[int]:
    """Where the parameters lie that are read in place."""
    return [t.data_ptr() for t in read.parts() if t is not None and _stays(t)]


def _stays(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter)
