"""Measured values: read from torchmetrics, and as plain numbers for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def read_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The values of metrics as plain floats, after which the metrics start anew."""
    values = {}
    for name, metric in metrics.items():
        values[name] = float(metric.compute())
        metric.reset()
    return values


def alone(metric: Any) -> Any:
    """The metric, of this process alone: others, which may have ended, do not count in its value.

    >>> from torchmetrics import MeanMetric
    >>> mean = alone(MeanMetric())
    >>> mean.update(3.0)
    >>> float(mean.compute())
    3.0
    """
    for part in metric.modules():
        if hasattr(part, "distributed_available_fn"):
            part.distributed_available_fn = _never
    return metric


def _never() -> bool:
    return False


def plain_numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    """Metrics for JSON, to seven digits; JSON has no NaN, so such a value becomes null.

    >>> plain_numbers({"accuracy": 0.95333331823349, "f1": float("nan")})
    {'accuracy': 0.9533333, 'f1': None}
    """
    return {
        name: float(f"{value:.7g}") if math.isfinite(value) else None
        for name, value in values.items()
    }
