"""``h_t = a_t h_{t-1} + b_t`` on a GPU: one kernel forward and one backward, written in Triton."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.engines import triton_presence
from seqlab.engines.scan.pass_function import Gradients, PassFunction, resolved
from seqlab.engines.triton_launch import Launcher

#: Types of values; half ones are computed in float32.
TYPES = (
    torch.float32, torch.float64, torch.bfloat16, torch.float16,
    torch.complex64, torch.complex128,
)  # fmt: skip


class Tile(NamedTuple):
    """What a program combines at once: steps and columns, and its warps."""

    steps: int
    columns: int
    warps: int


#: The fastest of eleven and of five on an H200, forward and backward, from T = 50 to 16,384.
REAL_TILE, COMPLEX_TILE = Tile(128, 16, 4), Tile(64, 16, 4)


def missing(like: Tensor, dtype: torch.dtype) -> str | None:
    """Why values of this type cannot be run where ``like`` lies; None if they can."""
    if not triton_presence.installed():
        return triton_presence.MISSING
    if like.device.type != ("cpu" if triton_presence.interpreted() else "cuda"):
        return f"Triton's kernels do not run on {like.device.type}"
    return None if dtype in TYPES else f"Triton's kernels do not take {dtype}"


def tile_pass(
    a: Tensor,
    b: Tensor,
    start: Tensor,
    mask: Tensor | None,
    *,
    reverse: bool,
    tile: Tile | None = None,
) -> tuple[Tensor, Tensor]:
    """All states and the last of them; ``masked_scan`` is the plain reference.

    Args:
        a: ``[B, T, S]``, T >= 1; it may be expanded over rows or time.
        b: ``[B, T, S]``, of the same type.
        start: ``[B, S]``, the state before the first step.
        mask: ``[B, T]`` bool, True = real, or None. A masked step leaves the state as it was.
        reverse: run from the last step to the first.
        tile: the sizes of a program's work, None for those measured; they change the speed alone.
    """
    if tile is None:
        tile = COMPLEX_TILE if b.is_complex() else REAL_TILE
    return PassFunction.run(TilePass(tile), a, b, start, mask, reverse=reverse)


class TilePass(NamedTuple):
    """The two kernels, for tiles of some size; see ``pass_function.Pass``."""

    tile: Tile

    def forward(
        self, a: Tensor, b: Tensor, start: Tensor, mask: Tensor | None, *, reverse: bool
    ) -> tuple[Tensor, Tensor]:
        """See ``Pass.forward``."""
        a, b, start = resolved(a), resolved(b), resolved(start).contiguous()
        h = torch.empty(b.shape, dtype=b.dtype, device=b.device)
        last = torch.empty(start.shape, dtype=b.dtype, device=b.device)
        launch = _Launch(self.tile, b, mask, reverse=reverse)
        launch(
            _launcher("forward"), a, b, start, launch.mask, h, last,
            sizes=(a.stride(0), a.stride(1), b.stride(0), b.stride(1)),
        )  # fmt: skip
        return h, last

    def backward(
        self, a: Tensor, h: Tensor, start: Tensor, mask: Tensor | None, *,
        d_h: Tensor | None, d_last: Tensor | None, reverse: bool,
    ) -> Gradients:  # fmt: skip
        """See ``Pass.backward``."""
        a, start = resolved(a), resolved(start).contiguous()
        d_a, d_b, d_start = (torch.empty_like(like) for like in (h, h, start))
        # what is not there is not read
        of_all = h if d_h is None else resolved(d_h)
        of_last = start if d_last is None else resolved(d_last).contiguous()
        launch = _Launch(self.tile, h, mask, reverse=reverse)
        launch(
            _launcher("backward"), a, start, launch.mask, h, of_all, of_last, d_a, d_b, d_start,
            sizes=(a.stride(0), a.stride(1), of_all.stride(0), of_all.stride(1)),
            OF_ALL=d_h is not None, OF_LAST=d_last is not None,
        )  # fmt: skip
        return d_a, d_b, d_start


class _Launch:
    """What both kernels have in common, from the values and the mask."""

    def __init__(self, tile: Tile, like: Tensor, mask: Tensor | None, *, reverse: bool) -> None:
        import triton
        import triton.language as tl

        batch, steps, size = like.shape
        self.like = like
        self.mask = like if mask is None else mask.contiguous().view(torch.uint8)
        tile_t = min(tile.steps, triton.next_power_of_2(steps))
        tile_s = min(tile.columns, triton.next_power_of_2(size))
        self.blocks = triton.cdiv(size, tile_s)
        self.grid = (batch * self.blocks,)
        double = like.dtype in (torch.float64, torch.complex128)
        self.variant = {
            "REVERSE": reverse, "MASKED": mask is not None, "COMPLEX": like.is_complex(),
            "TYPE": tl.float64 if double else tl.float32, "TILE_T": tile_t, "TILE_S": tile_s,
            "num_warps": tile.warps,
        }  # fmt: skip

    def __call__(
        self, launch: Launcher, *tensors: Tensor, sizes: tuple[int, ...], **more: bool
    ) -> None:
        _, steps, size = self.like.shape
        parts = [torch.view_as_real(t) if t.is_complex() else t for t in tensors]
        numbers, variant = (steps, size, self.blocks, *sizes), {**self.variant, **more}
        types = [part.dtype for part in parts]
        key = (self.like.device, *types, *numbers, *variant.values())
        with triton_presence.launching_on(self.like.device):
            launch(self.grid, (*parts, *numbers), key, lambda: variant)


@functools.cache
def _launcher(name: str) -> Launcher:
    from seqlab.engines.scan import tile_kernels

    return Launcher(getattr(tile_kernels, name))
