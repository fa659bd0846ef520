"""Keras's conventions around a run over time: axes and masks going in, what is shown coming out."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from seqlab.compat.keras.base import mask_tensor
from seqlab.errors import ShapeError


def batch_first(
    owner: str, x: Tensor, mask: Any, *, time_major: bool
) -> tuple[Tensor, Tensor | None]:
    """Inputs ``[B, T, D]`` and mask ``[B, T]``.

    Args:
        owner: the layer's class, for errors.
        x: as the layer was given it, time first with ``time_major``.
        mask: array, tensor or None; likewise.
        time_major: whether time comes before rows.

    Raises:
        ShapeError: a wrong shape; both shapes are named.
    """
    if x.dim() != 3:
        order = "[T, B, D]" if time_major else "[B, T, D]"
        raise ShapeError(f"{owner}: the input must be {order}, got {tuple(x.shape)}")
    mask = mask_tensor(mask, x.device)
    if mask is not None and mask.shape != x.shape[:2]:
        raise ShapeError(f"{owner}: the mask must be {tuple(x.shape[:2])}, got {tuple(mask.shape)}")
    if time_major:
        return x.transpose(0, 1), None if mask is None else mask.T
    return x, mask


def shown(layer: Any, output: Tensor, mask: Tensor | None) -> Tensor:
    """The output as Keras returns it: order of running, all steps or the last.

    Args:
        layer: its flags decide: ``zero_output_for_mask``, ``go_backwards``, ``return_sequences``
            and ``time_major``.
        output: ``[B, T, units]``.
        mask: ``[B, T]`` or None.
    """
    if mask is not None and layer.zero_output_for_mask:
        output = output.masked_fill(~mask.unsqueeze(-1), 0.0)
    if layer.go_backwards:
        output = output.flip(1)
    if layer.return_sequences:
        return output.transpose(0, 1) if layer.time_major else output
    if output.shape[1] == 0:
        return output.new_zeros(output.shape[0], output.shape[2])
    return output[:, -1]
