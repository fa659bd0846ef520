"""Reading torchmetrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def read_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The values of metrics as plain floats, after which the metrics start anew."""
    values = {}
    for name, metric in metrics.items():
        values[name] = float(metric.compute())
        metric.reset()
    return values
