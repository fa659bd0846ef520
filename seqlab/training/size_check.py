"""Whether a model fits into memory, told before memory is taken for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from seqlab.build import build_model
from seqlab.errors import MachineError, SeqlabError
from seqlab.failures import machine_failure
from seqlab.memory import free_memory, size_text
from seqlab.new_weights import new_weights
from seqlab.training.optimizers import values_per_weight
from seqlab.types import DataInfo

#: Parts in thousands of layers take minutes to make and cannot be trained.
_MOST_TENSORS = 10_000
#: Some layers are made twice while a model is built.
_SLACK = 4


def check_size(spec: Mapping[str, Any], info: DataInfo, device: torch.device) -> None:
    """Compare the weights, gradients and optimiser state of a model with the free memory.

    The model is built without memory (torch's meta device). One with a part that cannot be built
    so passes: making it will show what it needs.

    Raises:
        MachineError: they do not fit; the message has both sizes and the largest tensor.
    """
    free = free_memory(device)
    copies = 2 + values_per_weight(spec["optimizer"])
    counted = _Counted(free, copies)
    try:
        with torch.device("meta"), new_weights(counted.count):
            model = build_model(spec, info)
    except SeqlabError:
        raise
    except Exception as error:
        failure = machine_failure(error)
        if failure is not None or isinstance(error, OverflowError):
            raise MachineError(
                "out of memory: the model has a tensor larger than any memory; "
                "make encoder.cell.hidden_size or encoder.embedding.size smaller"
            ) from error
        return
    needed = copies * sum(p.numel() * p.element_size() for p in model.parameters())
    if free is not None and needed > free:
        raise MachineError(_too_large(size_text(needed), free, counted.largest))


class _Counted:
    """Counts parameters as they are registered, and stops at the first too many."""

    def __init__(self, free: int | None, copies: int) -> None:
        self.free, self.copies = free, copies
        self.tensors = self.size = self.largest_size = 0
        self.largest = ""

    def count(self, module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        size = parameter.numel() * parameter.element_size()
        self.tensors, self.size = self.tensors + 1, self.size + size
        if size > self.largest_size:
            self.largest_size = size
            self.largest = f"{name} {list(parameter.shape)} of {type(module).__name__}"
        if self.tensors > _MOST_TENSORS:
            raise MachineError(
                f"the model has more than {_MOST_TENSORS:,} weight tensors; make the number of "
                "layers smaller"
            )
        needed = self.copies * self.size // _SLACK
        if self.free is not None and needed > self.free:
            text = f"more than {size_text(needed)}"
            raise MachineError(_too_large(text, self.free, self.largest))


def _too_large(needed: str, free: int, largest: str) -> str:
    return (
        f"out of memory: the model needs {needed} for weights, gradients and optimiser state, and "
        f"{size_text(free)} are free; its largest tensor is {largest}; make "
        "encoder.cell.hidden_size, encoder.embedding.size or the number of layers smaller"
    )
