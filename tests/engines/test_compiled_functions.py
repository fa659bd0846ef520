"""The compiled engine's functions of vectors equal torch's for float32 numbers of every size."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import seqlab
import torch
from torch import Tensor


class Logarithms(seqlab.GatedCell):
    """``log x`` and ``log(1 + x)`` of the input as it is."""

    class State(NamedTuple):
        hidden: Tensor
        other: Tensor

    input_gates = ("unused",)
    recurrent_gates = ()
    raw = {"value": "all"}  # noqa: RUF012

    def update(self, x, h, state):
        del h, state
        return torch.log(x.value), self.State(torch.log(x.value), torch.log1p(x.value))


class Exponentials(Logarithms):
    """The functions that gates are made of."""

    class State(NamedTuple):
        exp: Tensor
        sigmoid: Tensor
        tanh: Tensor

    def update(self, x, h, state):
        del h, state
        value = x.value
        made = self.State(torch.exp(value), torch.sigmoid(value), torch.tanh(value))
        return made.exp, made


def by_compiled(cell, values):
    """The states that a cell makes of each value."""
    width = 64
    values = torch.nn.functional.pad(values, (0, -len(values) % width), value=1.0)
    layer = seqlab.Recurrent(cell(width, width), engine="compiled")
    with torch.no_grad():
        _, state = layer(values.view(-1, 1, width))
    return values.double(), [part.flatten() for part in state]


def test_exponentials_of_all_sizes():
    inf = float("inf")
    edges = torch.tensor([inf, -inf, float("nan"), 0.0, -0.0, 1e-40, 0.625, 9.1, 88.376, -88.376])
    values = torch.cat([torch.linspace(-120, 120, 20_001), torch.linspace(-1, 1, 2_001), edges])
    values, (exp, sigmoid, tanh) = by_compiled(Exponentials, values)
    wanted = values.exp().float()
    # numbers below 1.2e-38 may be zero, as on processors that are told to flush them
    torch.testing.assert_close(exp, wanted, rtol=1e-6, atol=1.2e-38, equal_nan=True)
    wanted = values.sigmoid().float()
    torch.testing.assert_close(sigmoid, wanted, rtol=1e-6, atol=1.2e-38, equal_nan=True)
    torch.testing.assert_close(tanh, values.tanh().float(), rtol=4e-7, atol=0, equal_nan=True)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [1, -1])
def test_logarithms_of_all_sizes(sign):
    bits = torch.arange(1, 0x7F800000, 100_003, dtype=torch.int32)
    edges = torch.tensor([0.0, 1.0, 2.0, 0.5, 1e-40, float("inf"), float("nan"), 1e-7, 0.70710677])
    values = sign * torch.cat([bits.view(torch.float32), edges])
    values, (log, log1p) = by_compiled(Logarithms, values)
    # the spacing of float32 numbers is 1.2e-7 of their size
    for ours, wanted in ((log, values.log()), (log1p, values.log1p())):
        torch.testing.assert_close(ours, wanted.float(), rtol=4e-7, atol=0, equal_nan=True)
