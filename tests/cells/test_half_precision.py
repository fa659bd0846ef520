"""Cells in half precision and under autocast, by the engine that is chosen for them."""

from __future__ import annotations

import pytest
import seqlab
import torch

#: Cells whose state grows, so that rounding does.
CHAOTIC = {"antisymmetric_rnn", "gated_antisymmetric_rnn"}


def built(name):
    width = 9 if name == "gru_d" else 8
    return seqlab.Recurrent(seqlab.get("cell", name)(width, 8)), torch.randn(2, 7, width)


def assert_near(found, expected):
    size = max(1.0, float(expected.abs().max()))
    assert float((found.detach().float() - expected).abs().max()) < 0.1 * size


@pytest.mark.parametrize("name", [n for n in seqlab.available("cell") if n not in CHAOTIC])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_layer_of_half_precision(name, dtype):
    torch.manual_seed(0)
    layer, x = built(name)
    expected = layer(x)[0].detach()
    output, state = layer.to(dtype)(x.to(dtype))
    assert output.dtype == dtype
    assert {part.dtype for part in state} == {dtype}
    output.float().sum().backward()
    assert_near(output, expected)
    for parameter in layer.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
    running = seqlab.stream(layer)
    with torch.no_grad():
        steps = torch.stack([running.step(x[:, t].to(dtype))[0] for t in range(7)], 1)
    assert_near(steps, expected)


@pytest.mark.parametrize("name", seqlab.available("cell"))
def test_a_layer_under_autocast(name):
    torch.manual_seed(0)
    layer, x = built(name)
    expected = layer(x)[0].detach()
    with torch.autocast("cpu", torch.bfloat16):
        output, _ = layer(x)
    output.float().sum().backward()
    assert_near(output, expected)
    for parameter in layer.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
