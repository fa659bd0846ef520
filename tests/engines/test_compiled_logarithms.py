"""The compiled engine's vectors of logarithms equal torch's for float32 numbers of every size."""

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


@pytest.mark.slow
@pytest.mark.parametrize("sign", [1, -1])
def test_logarithms_of_all_sizes(sign):
    bits = torch.arange(1, 0x7F800000, 100_003, dtype=torch.int32)
    edges = torch.tensor([0.0, 1.0, 2.0, 0.5, 1e-40, float("inf"), float("nan"), 1e-7, 0.70710677])
    values = sign * torch.cat([bits.view(torch.float32), edges])
    width = 64
    values = torch.nn.functional.pad(values, (0, -len(values) % width), value=1.0)
    x = values.view(-1, 1, width)
    layer = seqlab.Recurrent(Logarithms(width, width), engine="compiled")
    with torch.no_grad():
        _, (log, log1p) = layer(x)
    # the spacing of float32 numbers is 1.2e-7 of their size
    for ours, wanted in ((log, values.double().log()), (log1p, values.double().log1p())):
        near = wanted.view(-1, width).float()
        torch.testing.assert_close(ours, near, rtol=4e-7, atol=0, equal_nan=True)
