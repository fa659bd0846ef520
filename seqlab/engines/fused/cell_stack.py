"""Cells of one kind as levels that one run of a vendor's kernel computes.

A level is one cell, or a forward and a backward one over the same input; the next level takes
their outputs side by side.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlab.cells.base import Cell, read_parameters
from seqlab.cells.gated import GatedCell
from seqlab.cells.noise import Noise
from seqlab.engines.base import zeros
from seqlab.engines.double_backward import replay
from seqlab.engines.fused.call_form import CallForm
from seqlab.engines.fused.packing import real_steps
from seqlab.engines.fused.vendor_calls import (
    pads,
    run_even,
    run_packed,
    run_padded,
    run_whole,
)
from seqlab.engines.settled import undisturbed
from seqlab.types import State

_WEIGHTS = ("weight_ih", "weight_hh", "bias", "recurrent_bias", "weight_hr")


class CellForm(NamedTuple):
    """What cells must have in common to be run by one call."""

    kernel: str
    hidden_size: int
    biased: bool
    proj_size: int | None
    dtype: torch.dtype


def form_of(cell: Cell) -> CellForm | None:
    """The cell's form; None if no vendor kernel computes it."""
    kernel = cell.vendor_kernel().name
    if kernel is None or not isinstance(cell, GatedCell):
        return None
    dtype = cell.weight_hh.dtype
    return CellForm(kernel, cell.hidden_size, cell.bias is not None, cell.proj_size, dtype)


def joins_masked(form: CellForm, directions: int, x_BTD: Tensor, *, at_rest: bool) -> bool:
    """Whether one run of several cells is the fastest for a masked batch.

    Args:
        form: what the cells are.
        directions: 1 or 2.
        x_BTD: the input.
        at_rest: whether every initial state is zero.
    """
    return x_BTD.device.type != "cpu" or pads(form.kernel, directions, at_rest=at_rest)


def kernel_weights(cell: GatedCell, noise: Noise | None) -> list[Tensor]:
    """The weights in the order and form of torch's kernels, which have two biases or none."""
    kernel, recurrent, bias, second, narrow = read_parameters(cell, _WEIGHTS)
    if noise is not None and noise.weight_mask is not None:
        recurrent = recurrent * noise.weight_mask
    weights: list[Tensor] = [kernel, recurrent]
    if bias is not None:
        weights += [bias, _no_bias(bias) if second is None else second]
    if narrow is not None:
        weights.append(narrow)
    return weights


def _no_bias(like: Tensor) -> Tensor:
    """Zeros in the place of a second bias; on a GPU they are a launch, and shared."""
    if like.device.type == "cpu" or not undisturbed():
        return torch.zeros_like(like)
    return zeros(like.shape, like.dtype, like.device)


def run_alone(
    cell: GatedCell, kernel: str, x_BTD: Tensor, state: State, *, reverse: bool,
    noise: Noise | None,
) -> tuple[Tensor, State]:  # fmt: skip
    """One cell over whole rows by its vendor's kernel, as ``run_levels`` gives it, in fewer calls.

    Short sequences take as long as the calls of Python around the kernel.
    """
    weights = kernel_weights(cell, noise)
    wanted = _learns((x_BTD, *state, *weights))
    form = CallForm(kernel, 1, 1, cell.bias is not None, wanted)
    fields = [field.unsqueeze(0) for field in state]
    again = functools.partial(_loop, [[cell]]) if wanted and _once_differentiable(x_BTD) else None
    output, *finals = run_whole(form, x_BTD, fields, weights, reverse=reverse, again=again)
    parts = [_in_type(final[0], part) for final, part in zip(finals, state, strict=True)]
    return output, cell.State(*parts)


def runs_alone(x_BTD: Tensor, mask: Tensor | None) -> bool:
    """Whether a run of one cell is one call that nothing else must be done for."""
    return mask is None and (x_BTD.device.type != "cpu" or not torch.is_autocast_enabled("cpu"))


def run_levels(
    levels: Sequence[Sequence[GatedCell]],
    x_BTD: Tensor,
    states: Sequence[State],
    mask: Tensor | None,
    *,
    reverse: bool,
    at_rest: bool = False,
    noise: Noise | None = None,
) -> tuple[Tensor, list[State]]:
    """Cells of one kind on top of each other, each level in one or both directions.

    Args:
        levels: from the input to the output, one cell or a forward and a backward one.
        x_BTD: input; masked steps are already zero.
        states: the initial state of each cell, in the order of ``levels``.
        mask: ``[B, T]`` bool or None.
        reverse: the forward cells run from the last step to the first, and the backward ones
            against them.
        at_rest: whether every initial state is known to be zero.
        noise: masks of the first cell's recurrent matrix; only where there is one cell.

    Returns:
        ``[B, T, E]``, the last level's outputs with the directions side by side, and the final
        state of each cell.
    """
    cells = [cell for level in levels for cell in level]
    weights = [weight for cell in cells for weight in kernel_weights(cell, noise)]
    kernel = cast("str", cells[0].vendor_kernel().name)
    fields = [
        # a view costs less than a copy
        parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(parts)
        for parts in zip(*states, strict=True)
    ]
    wanted = _learns((x_BTD, *fields, *weights))
    form = CallForm(kernel, len(levels), len(levels[0]), cells[0].bias is not None, wanted)
    again = functools.partial(_loop, levels) if wanted and _once_differentiable(x_BTD) else None
    whole = again is None and x_BTD.device.type == "cpu"
    padded = whole and pads(kernel, form.directions, at_rest=at_rest)

    def run(x: Tensor) -> Sequence[Tensor]:
        if mask is None:
            return run_whole(form, x, fields, weights, reverse=reverse, again=again)
        real = real_steps(mask)
        if whole and real.even:
            return run_even(form, x, fields, weights, real, reverse=reverse)
        if padded and not real.is_sparse():
            return run_padded(form, x, fields, weights, real, reverse=reverse)
        return run_packed(form, x, fields, weights, real, reverse=reverse, again=again)

    if _lacks_type(kernel, x_BTD):
        with torch.autocast("cpu", enabled=False):
            output, *finals = run(x_BTD.to(weights[0].dtype))
    else:
        output, *finals = run(x_BTD)
    finals = [_in_type(final, part) for final, part in zip(finals, fields, strict=True)]
    parts = zip(*(final.unbind() for final in finals), strict=True)
    return output, [cell.State(*part) for cell, part in zip(cells, parts, strict=True)]


def _learns(tensors: Sequence[Tensor]) -> bool:
    """Whether gradients of any of them are wanted."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _in_type(value: Tensor, like: Tensor) -> Tensor:
    """The value in the type of another tensor; asking costs less than a conversion to its own."""
    return value if value.dtype == like.dtype else value.to(like.dtype)


def _lacks_type(kernel: str, x_BTD: Tensor) -> bool:
    """Whether autocast asks oneDNN for a type that it has no LSTM for; float32 is run then."""
    if kernel != "lstm" or x_BTD.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch's own
        return False
    asked = torch.get_autocast_dtype("cpu")
    return asked != torch.bfloat16 or not torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001  # no other


def _once_differentiable(x_BTD: Tensor) -> bool:
    """Whether the kernel has no gradients of gradients: cuDNN's have none, the CPU's do."""
    return x_BTD.device.type != "cpu"


def _loop(
    levels: Sequence[Sequence[GatedCell]], mask: Tensor | None, x_BTD: Tensor, *rest: Tensor
) -> Sequence[Tensor]:
    """What one call computes of these fields and weights, by the reference loop."""
    count = len(levels[0][0].state_sizes)
    states = list(zip(*(field.unbind() for field in rest[:count]), strict=True))
    weights = list(rest[count:])
    finals: list[Sequence[Tensor]] = []
    value = x_BTD
    for level in levels:
        outputs = []
        for direction, cell in enumerate(level):
            own = [weights.pop(0) for _ in kernel_weights(cell, None)]
            output, *final = _loop_cell(
                cell, value, states[len(finals)], own, mask, reverse=bool(direction)
            )
            outputs.append(output)
            finals.append(final)
        value = torch.cat(outputs, -1)
    return (value, *(torch.stack(parts) for parts in zip(*finals, strict=True)))


def _loop_cell(
    cell: GatedCell, x_BTD: Tensor, state: Sequence[Tensor], weights: list[Tensor],
    mask: Tensor | None, *, reverse: bool,
) -> Sequence[Tensor]:  # fmt: skip
    """One cell by the reference loop, with the weights in the kernel's order."""
    matrix, recurrent, *rest = weights
    bias, second = rest[:2] if cell.bias is not None else (None, None)
    names, own = ([], []) if cell.weight_hr is None else (["weight_hr"], [rest[-1]])
    projected = F.linear(x_BTD.to(matrix.dtype), matrix, bias).transpose(0, 1)
    repeat = replay(cell, None, mask, reverse=reverse, names=names)
    second = None if cell.recurrent_bias is None else second
    output, *final = repeat(projected, recurrent, second, None, *state, *own)
    return (output.transpose(0, 1), *final)
