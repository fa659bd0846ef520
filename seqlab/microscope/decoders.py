"""The recurrent layers of a head, as a decoder's, while the loss of a batch is computed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.layers.base import Layer
from seqlab.layers.recurrent import Recurrent
from seqlab.microscope.gradients import Reading
from seqlab.microscope.recording import CellTrace

_BY_STEPS = "its layers are called one step at a time, so what the loss takes of each is not seen"


class HeadLayer:
    """A layer of a head, with its cells.

    Attributes:
        path: inside the model.
        calls: the output ``[B, U, E]`` of each call for a whole sequence.
        traces: of its cells, from the input to the output.
    """

    def __init__(self, path: str, layer: Layer) -> None:
        self.path, self.layer = path, layer
        self.calls: list[Tensor] = []
        self.traces: list[CellTrace] = []

    def outputs(self) -> list[Tensor]:
        """What the loss reads: the one call's output ``[B, U, E]``, or those of single steps.

        A layer that is called one step at a time gives its steps ``[B, E]``, if it is one cell.
        """
        if len(self.calls) == 1:
            return self.calls
        if not self.calls and isinstance(self.layer, Recurrent):
            return [step.output for step in self.traces[0].steps]
        return []

    def reading(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> Reading | str:
        """The reading of the loss from ``outputs()`` and the gradients by them; or why not."""
        if not outputs:
            return _BY_STEPS
        if self.calls:
            return Reading(outputs[0], gradients[0], [])
        return Reading(torch.stack(list(outputs), 1), torch.stack(list(gradients), 1), [])


def outputs_of(parts: Sequence[HeadLayer]) -> list[Tensor]:
    """The outputs of all layers, one after another."""
    return [output for part in parts for output in part.outputs()]


def readings_of(parts: Sequence[HeadLayer], gradients: Sequence[Tensor]) -> Iterator[Reading | str]:
    """The reading of each layer from the gradients by ``outputs_of``."""
    rest = iter(gradients)
    for part in parts:
        outputs = part.outputs()
        yield part.reading(outputs, list(islice(rest, len(outputs))))


@contextlib.contextmanager
def watched_layers(model: nn.Module, traces: Sequence[CellTrace]) -> Iterator[list[HeadLayer]]:
    """The layers of ``model.head`` that are no part of another, filled by what is run inside."""
    found: list[HeadLayer] = []
    with contextlib.ExitStack() as stack:
        for path, module in model.named_modules():
            inside = any(path.startswith(f"{one.path}.") for one in found)
            if path.startswith("head.") and isinstance(module, Layer) and not inside:
                one = HeadLayer(path, module)
                one.traces = [t for t in traces if f"{t.name}.".startswith(f"{path}.")]
                stack.callback(module.register_forward_hook(_keep(one.calls)).remove)
                found.append(one)
        yield found


def _keep(calls: list[Tensor]) -> Any:
    def hook(module: nn.Module, given: Any, result: Any) -> None:
        del module, given
        calls.append(result[0])

    return hook


def read_lengths(reading: Reading) -> Tensor:
    """``[B]``: the steps of each row up to the last one that the loss reads."""
    read = reading.output_gradient.abs().amax(2) > 0
    places = torch.arange(1, read.shape[1] + 1)
    return (places * read).amax(1)
