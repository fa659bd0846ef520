"""The Triton kernels of linear recurrences beside the scan in torch's operations.

An ordinary test runs this on the CPU too, by Triton's interpreter.
"""

from __future__ import annotations

import pytest
import torch
from seqlab.engines.scan.linear_scan import masked_scan
from seqlab.engines.scan.tile_pass import Tile, missing, tile_pass

pytestmark = pytest.mark.gpu

BOTH = ("h", "last")
#: B, T, S: one step, one tile and a part, many tiles, more columns than a tile's; whether one a
#: stands for all rows and times; which results the loss takes.
CASES = {
    "one step": ((3, 1, 1), False, BOTH),
    "tiles": ((2, 23, 3), False, BOTH),
    "columns": ((1, 17, 9), False, BOTH),
    "one a": ((2, 10, 3), True, BOTH),
    "all states": ((2, 5, 7), False, ("h",)),
    "last state": ((2, 5, 7), True, ("last",)),
}
SMALL = Tile(steps=8, columns=4, warps=1)


def parts(device, batch, steps, size, dtype, *, expanded=False):
    """Random a, b and start; ``expanded`` gives one a for all rows and times."""
    generator = torch.Generator().manual_seed(batch * steps + size)
    shapes = (
        (1, 1, size) if expanded else (batch, steps, size),
        (batch, steps, size),
        (batch, size),
    )
    a, b, start = (torch.randn(shape, dtype=dtype, generator=generator) for shape in shapes)
    return [t.to(device).requires_grad_() for t in (a * 0.4, b, start)]


def mask_with_holes(device, batch, steps):
    mask = torch.rand(batch, steps, generator=torch.Generator().manual_seed(steps)) > 0.4
    mask[0] = False
    return mask.to(device)


def everything(run, inputs, mask, *, reverse, use=BOTH, **options):
    a, b, start = inputs
    h, last = run(a.expand_as(b), b, start, mask, reverse=reverse, **options)
    loss = 0.0
    if "h" in use:
        weight = torch.linspace(-1, 2, h.numel(), dtype=h.dtype, device=h.device).view_as(h)
        loss = loss + (h * weight).real.sum()
    if "last" in use:
        loss = loss + (last * last).real.sum()
    return [h, last, *torch.autograd.grad(loss, inputs)]


@pytest.mark.parametrize(
    ("reverse", "masked"), [(False, False), (True, True)], ids=["plain", "masked and reversed"]
)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_kernels_equal_the_scan(device, dtype, case, reverse, masked):
    size, expanded, use = CASES[case]
    inputs = parts(device, *size, dtype, expanded=expanded)
    mask = mask_with_holes(device, *size[:2]) if masked else None
    found = everything(tile_pass, inputs, mask, reverse=reverse, use=use, tile=SMALL)
    expected = everything(masked_scan, inputs, mask, reverse=reverse, use=use)
    for ours, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_single_precision(device, dtype, reverse):
    inputs = parts(device, 2, 23, 3, dtype)
    assert missing(inputs[1], dtype) is None
    mask = None if reverse else mask_with_holes(device, 2, 23)
    found = everything(tile_pass, inputs, mask, reverse=reverse, tile=SMALL)
    expected = everything(masked_scan, inputs, mask, reverse=reverse)
    for ours, reference in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("reverse", [False, True])
def test_half_types_are_summed_in_float32(device, dtype, reverse):
    halves = [part.detach().to(dtype).requires_grad_() for part in
              parts(device, 2, 23, 5, torch.float32)]  # fmt: skip
    wide = [part.detach().float().requires_grad_() for part in halves]
    mask = mask_with_holes(device, 2, 23)
    found = everything(tile_pass, halves, mask, reverse=reverse, tile=SMALL)
    expected = everything(masked_scan, wide, mask, reverse=reverse)
    for ours, reference in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.float(), reference, atol=0.05, rtol=0.05)


def test_slices_conjugates_and_default_tiles(device):
    a, b, start = parts(device, 3, 130, 40, torch.complex128)
    a, b = a.detach()[:, ::2, ::2].conj(), b.detach()[:, ::2].transpose(0, 1).contiguous()
    b, start = b.transpose(0, 1)[..., :20], start.detach()[:, ::2].conj()
    found = tile_pass(a, b, start, None, reverse=False)
    for ours, reference in zip(found, masked_scan(a, b, start, None, reverse=False), strict=True):
        torch.testing.assert_close(ours, reference)


def test_zeros_and_vanishing_factors_stay_exact(device):
    a = torch.rand(1, 90, 2, dtype=torch.float64) * 0.2
    a[:, ::7] = 0.0
    b, start = torch.randn(1, 90, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
    inputs = [part.to(device) for part in (a, b, start)]
    found = tile_pass(*inputs, None, reverse=False, tile=SMALL)
    expected = masked_scan(*inputs, None, reverse=False)
    torch.testing.assert_close(found[0], expected[0])


def test_gradients_of_gradients(device):
    inputs = parts(device, 2, 5, 2, torch.float64)
    mask = mask_with_holes(device, 2, 5)

    def second(run, **options):
        h, last = run(*inputs, mask, reverse=True, **options)
        first = torch.autograd.grad(h.pow(3).sum() + last.pow(2).sum(), inputs, create_graph=True)
        return [*first, *torch.autograd.grad(sum(g.pow(2).sum() for g in first), inputs)]

    for ours, reference in zip(second(tile_pass, tile=SMALL), second(masked_scan), strict=True):
        torch.testing.assert_close(ours, reference)
