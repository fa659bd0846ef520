"""What naive forecasts reach: that a series stays as it is, or does as a season ago."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from seqlab.heads.forecast import ForecastHead
from seqlab.heads.metrics import Outcome
from seqlab.measures import alone, plain_numbers, read_metrics
from seqlab.types import Batch

#: Measures of quantiles, of which a naive forecast has none.
_OF_QUANTILES = ("coverage", "pinball")


def naive_forecasts(head: ForecastHead, batches: Iterable[Batch]) -> list[dict[str, Any]]:
    """The errors of naive forecasts, by the head's own metrics; the seasonal one first.

    It has a seasonal one where the head has a season, and no context is shorter.
    """
    seasons = {"last value": 1}
    if head.season is not None:
        seasons = {f"seasonal naive, {head.season} steps": head.season, **seasons}
    metrics = {
        name: {k: alone(m) for k, m in head.metrics().items() if k not in _OF_QUANTILES}
        for name in seasons
    }
    for batch in batches:
        context = head.series_before(batch.inputs, batch.lengths)
        if context is None or batch.target is None:
            return []
        for name in list(metrics):
            if int(batch.lengths.min()) < seasons[name]:
                del metrics[name]
                continue
            answer = a_season_ago(context, batch.lengths, seasons[name], batch.target.shape[1])
            for metric in metrics[name].values():
                metric.update(Outcome(answer, batch.target, context=context))
    return [{"name": name, **plain_numbers(read_metrics(found))} for name, found in metrics.items()]


def a_season_ago(context_BTC: Tensor, lengths_B: Tensor, season: int, steps: int) -> Tensor:
    """``[B, H, C]``: each step to come as that of the same place in the last season.

    >>> context = torch.tensor([[[1.0], [2.0], [3.0]]])
    >>> a_season_ago(context, torch.tensor([3]), 2, 3).flatten().tolist()
    [2.0, 3.0, 2.0]
    """
    places = torch.arange(steps) % season - season
    index = lengths_B.unsqueeze(1) + places
    return context_BTC.gather(1, index.unsqueeze(-1).expand(-1, -1, context_BTC.shape[2]))
