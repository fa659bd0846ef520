"""The compiled pass of linear recurrences beside the scan in torch's operations."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.engines.scan import engine as scan_engine
from seqlab.engines.scan.linear_pass import linear_pass, runs_here
from seqlab.engines.scan.linear_scan import masked_scan

TYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def parts(batch, steps, size, dtype, *, expanded=False):
    """Random a, b and start; ``expanded`` gives one a for all rows and times."""
    torch.manual_seed(batch * steps + size)
    a = torch.randn(*((1, 1) if expanded else (batch, steps)), size, dtype=dtype) * 0.4
    b, start = torch.randn(batch, steps, size, dtype=dtype), torch.randn(batch, size, dtype=dtype)
    return [t.requires_grad_() for t in (a, b, start)]


def mask_with_holes(batch, steps):
    mask = torch.rand(batch, steps, generator=torch.Generator().manual_seed(steps)) > 0.4
    mask[0] = False
    return mask


def everything(run, inputs, mask, *, reverse, use=("h", "last")):
    a, b, start = inputs
    h, last = run(a.expand_as(b), b, start, mask, reverse=reverse)
    loss = 0.0
    if "h" in use:
        weight = torch.linspace(-1, 2, h.numel(), dtype=h.dtype).view_as(h)
        loss = loss + (h * weight).real.sum()
    if "last" in use:
        loss = loss + (last * last).real.sum()
    return [h, last, *torch.autograd.grad(loss, inputs)]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("expanded", [False, True])
@pytest.mark.parametrize("size", [(3, 1, 1), (2, 23, 7), (5, 40, 33)])
def test_pass_equals_scan(size, expanded, reverse, dtype):
    inputs = parts(*size, dtype, expanded=expanded)
    assert runs_here(inputs[1], dtype)
    for mask in (None, mask_with_holes(*size[:2])):
        for use in (("h",), ("last",), ("h", "last")):
            found = everything(linear_pass, inputs, mask, reverse=reverse, use=use)
            expected = everything(masked_scan, inputs, mask, reverse=reverse, use=use)
            for ours, reference in zip(found, expected, strict=True):
                torch.testing.assert_close(ours, reference)


def test_threads_share_the_rows_and_cut_them_where_rows_are_few():
    threads = torch.get_num_threads()
    try:
        for size in ((1, 300, 301), (3, 200, 128)):
            inputs = parts(*size, torch.float64)
            mask = None if size[0] == 1 else mask_with_holes(*size[:2])
            torch.set_num_threads(1)
            alone = everything(linear_pass, inputs, mask, reverse=False)
            torch.set_num_threads(3)
            for ours, reference in zip(
                everything(linear_pass, inputs, mask, reverse=False), alone, strict=True
            ):
                assert torch.equal(ours, reference)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_second_derivatives_with_holes(dtype, reverse):
    inputs = parts(2, 5, 2, dtype)
    for mask in (None, mask_with_holes(2, 5)):

        def run(a, b, start, mask=mask):
            return linear_pass(a, b, start, mask, reverse=reverse)

        assert torch.autograd.gradcheck(run, inputs)
        assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_that_are_differentiated_again_are_the_scan_s(reverse, masked):
    inputs = parts(2, 5, 2, torch.float64)
    mask = mask_with_holes(2, 5) if masked else None

    def second(run):
        h, last = run(*inputs, mask, reverse=reverse)
        first = torch.autograd.grad(h.pow(3).sum() + last.pow(2).sum(), inputs, create_graph=True)
        return [*first, *torch.autograd.grad(sum(g.pow(2).sum() for g in first), inputs)]

    for ours, reference in zip(second(linear_pass), second(masked_scan), strict=True):
        torch.testing.assert_close(ours, reference)


def test_views_of_any_strides_are_read_right():
    a, b, start = parts(4, 6, 5, torch.complex128)
    turned = [t.detach().transpose(0, 1).contiguous().transpose(0, 1) for t in (a, b)]
    found = linear_pass(turned[0].conj(), turned[1], start.T.contiguous().T, None, reverse=False)
    expected = masked_scan(a.conj(), b, start, None, reverse=False)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])


def test_without_a_compiler_the_scan_runs_and_gives_the_same(monkeypatch):
    layer = seqlab.Recurrent(seqlab.get("cell", "sru")(3, 5), engine="scan")
    x = torch.randn(2, 40, 3)
    expected = layer(x)[0]
    monkeypatch.setattr(scan_engine, "runs_here", lambda *_: False)
    torch.testing.assert_close(layer(x)[0], expected)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["min_gru", "lru", "sru"])
def test_long_sequences_run_in_parts(name, reverse, monkeypatch, asymmetric):
    layer = seqlab.Recurrent(seqlab.get("cell", name)(3, 5), engine="scan", reverse=reverse)
    asymmetric(layer.double())
    x = torch.randn(2, 77, 3, dtype=torch.float64, requires_grad=True)
    start = [torch.randn_like(part).requires_grad_() for part in layer.initial_state(2)]

    def results(mask):
        output, final = layer(x, start, mask=mask)
        weight = torch.linspace(-1, 2, output.numel(), dtype=x.dtype).view_as(output)
        loss = (output * weight).sum() + final.hidden.sin().sum()
        return [output, final.hidden, *torch.autograd.grad(loss, [x, *start, *layer.parameters()])]

    for mask in (None, mask_with_holes(2, 77)):
        whole = results(mask)
        monkeypatch.setattr(scan_engine, "MOST_AT_ONCE", 100)
        monkeypatch.setattr(scan_engine, "PART", 200)
        for ours, reference in zip(results(mask), whole, strict=True):
            torch.testing.assert_close(ours, reference)
        monkeypatch.undo()


def test_a_part_is_short_enough_for_the_cache_and_long_enough_to_pay():
    cell = seqlab.get("cell", "min_gru")(3, 128)
    for batch, steps, length in ((8, 2048, 2048), (8, 2049, 512), (1, 16_384, 16_384),
                                 (1, 20_000, 4096), (4096, 100, 32)):  # fmt: skip
        assert scan_engine._part_length(cell, torch.empty(batch, steps, 3)) == length


def test_half_precision_and_other_devices_are_left_to_the_scan():
    assert not runs_here(torch.zeros(1, device="meta"), torch.float32)
    assert not runs_here(torch.zeros(1), torch.bfloat16)
