"""A cell of the zoo with drawn weights, an input, and a comparison with equations written out."""

from __future__ import annotations

import seqlab
import torch

INPUTS, UNITS, STEPS, ROWS = 4, 6, 7, 3


def made(name, inputs=INPUTS, **options):
    cell = seqlab.get("cell", name)(inputs, UNITS, **options).double()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(7)
        for parameter in cell.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise / 2)
    return cell


def sequence(width=INPUTS):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(ROWS, STEPS, width, generator=generator, dtype=torch.float64)


def timed(width=INPUTS):
    """A sequence whose last column is a time that grows, or a gap that is not negative."""
    x = sequence(width)
    return torch.cat([x[..., :-1], x[..., -1:].abs() + 0.1], -1)


def run(cell, x, engine):
    layer = seqlab.Recurrent(cell, engine=engine)
    output, _ = layer(x)
    gradients = torch.autograd.grad(output.square().sum(), list(cell.parameters()))
    return [output.detach(), *gradients]


def check(cell, x, by_hand, engine):
    """An engine equals plain equations, with the gradients of all parameters."""
    expected = by_hand(cell, x)
    gradients = torch.autograd.grad(expected.square().sum(), list(cell.parameters()))
    for mine, wanted in zip(run(cell, x, engine), [expected, *gradients], strict=True):
        torch.testing.assert_close(mine, wanted.detach(), rtol=1e-10, atol=1e-10)
