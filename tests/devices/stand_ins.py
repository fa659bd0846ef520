"""In place of what wants numbers: recurrent kernels, counted steps, CTC loss, picking by masks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from seqlab.engines.fused.packing import RealSteps
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def leaves(value: Any) -> Iterator[Tensor]:
    """The tensors in tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from leaves(item)


def kernel(form, data, start, weights, sizes=None, *, batch_first=True, repeat=None):
    """In place of torch's recurrent kernels: outputs of the right form, from all inputs."""
    del batch_first, repeat
    assert sizes is None or sizes.device.type == "cpu"
    total = sum(tensor.mean() for tensor in leaves((data, *start, *weights)))
    width = form.directions * start[0].shape[-1]
    return [total.expand(*data.shape[:-1], width), *(total.expand_as(field) for field in start)]


def step_kernel(x: Tensor, hidden: Any, *weights: Tensor) -> Any:
    """In place of torch's kernels of one step."""
    assert (weights[2] is None) == (weights[3] is None), "CUDA's kernels take two biases or none"
    total = sum(tensor.mean() for tensor in leaves((x, hidden, *weights)))
    many = isinstance(hidden, tuple)
    return tuple(total.expand_as(h) for h in hidden) if many else total.expand_as(hidden)


def real_steps(mask: Tensor) -> RealSteps:
    """In place of counting: as if all rows were full."""
    return RealSteps(mask, mask.sum(1), [mask.shape[1]] * len(mask))


class NoNumbers(TorchFunctionMode):
    """Picking by a mask picks everything, and a search finds nothing: both depend on numbers."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is Tensor.__getitem__ and getattr(args[1], "dtype", None) is torch.bool:
            value, mask = args
            assert value.device == mask.device
            return value.flatten(0, mask.dim() - 1)
        if func is nn.functional.ctc_loss:
            return args[0].mean((0, 2))  # log probabilities [T, B, C]
        if func is Tensor.nonzero:
            return args[0].new_empty(0, args[0].dim(), dtype=torch.long)
        return func(*args, **(kwargs or {}))
