"""Weights that are no numbers, as a training that has diverged leaves them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: What to say of a model with such weights, after their name.
WORTHLESS = "is not finite, as after a training that diverged: what the model says is of no use"


@torch.no_grad()
def not_finite(model: nn.Module) -> str | None:
    """The name of the first weight with a NaN or an infinite number; None if there is none.

    >>> layer = nn.Linear(2, 1)
    >>> not_finite(layer)
    >>> nn.init.constant_(layer.bias, torch.nan)[0].isnan().item(), not_finite(layer)
    (True, 'bias')
    """
    return next((name for name, value in model.named_parameters() if not _finite(value)), None)


def _finite(value: Tensor) -> bool:
    if value.is_meta or not (value.is_floating_point() or value.is_complex()):
        return True
    # a sum is one pass without memory, and not finite where a part is not
    return bool(value.sum().isfinite()) or bool(value.isfinite().all())
