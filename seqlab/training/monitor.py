"""Which validation metric a run looks at, to stop or to choose the best weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqlab.errors import ConfigError, did_you_mean
from seqlab.heads.base import Head


def monitor_of(options: Mapping[str, Any], head: Head, where: str) -> tuple[str, str]:
    """The validation metric that early stopping or the choice of the best looks at.

    Args:
        options: may have ``monitor`` and ``mode``; the head's own are used otherwise.
        head: whose metrics there are.
        where: the config key of the options, for messages.

    Raises:
        ConfigError: the head has no such metric.
    """
    name, mode = head.monitor
    given = options.get("monitor")
    if given is not None and given.removeprefix("val_") != name:
        metrics = head.metrics()
        name = given.removeprefix("val_")
        if name != "loss" and name not in metrics:
            raise ConfigError(
                f"{where}.monitor: no metric '{given}'; {did_you_mean(name, [*metrics, 'loss'])}"
            )
        mode = "max" if name != "loss" and metrics[name].higher_is_better else "min"
    return name, options.get("mode") or mode
