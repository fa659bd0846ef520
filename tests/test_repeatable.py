"""What stands in for operations that torch refuses on GPUs gives the same numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from seqlab import repeatable


@pytest.fixture(autouse=True)
def _refused(monkeypatch):
    monkeypatch.setattr(repeatable, "_is_refused", lambda _x: True)


@pytest.mark.parametrize("size", [0, 1, 2, 5, 8, 33])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_sums_are_those_of_cumsum(size, dim):
    shape = [3, 2, 4]
    shape[dim] = size
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(shape, dtype=torch.float64)
    found, expected = repeatable.cumulative_sum(x, dim), x.cumsum(dim)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad((sums * weight).sum(), x)[0] for sums in (found, expected)]
    torch.testing.assert_close(*slopes)


def test_ctc_is_torchs():
    scores = torch.randn(6, 2, 4, dtype=torch.float64, requires_grad=True)
    given = torch.tensor([[1, 2], [3, 3]]), torch.tensor([6, 4]), torch.tensor([2, 1])
    losses = [
        function(scores.log_softmax(-1), *given, reduction="none")
        for function in (repeatable.ctc_loss, F.ctc_loss)
    ]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss.sum(), scores)[0] for loss in losses))
