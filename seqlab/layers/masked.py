"""What stands at masked steps."""

from __future__ import annotations

import torch
from torch import Tensor


def carry_last(output: Tensor, mask: Tensor, *, reverse: bool) -> Tensor:
    """Masked steps repeat the output of the last real step before them in running order.

    Before the first real step stand zeros.
    """
    steps = mask.shape[1]
    times = torch.arange(steps, device=mask.device)
    if reverse:
        source = torch.where(mask, times, steps).flip(1).cummin(1).values.flip(1)
        none = source == steps
    else:
        source = torch.where(mask, times, -1).cummax(1).values
        none = source < 0
    index = source.masked_fill(none, 0).unsqueeze(-1).expand_as(output)
    return output.gather(1, index).masked_fill(none.unsqueeze(-1), 0.0)
