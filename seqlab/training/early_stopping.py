"""Early stopping that says when it stops a run, and why."""

from __future__ import annotations

from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason

from seqlab.heads.base import Head
from seqlab.schema import NonNegative, Whole
from seqlab.training.callbacks import Callback
from seqlab.training.monitor import monitor_of


class EarlyStopping(Callback, pl.callbacks.EarlyStopping):
    """Stops a run whose watched validation metric has not improved ``patience`` times.

    A resumed run keeps its count and its best value, and takes ``patience`` from its own config.

    Args:
        patience: how many validations in a row may bring no improvement.
        min_delta: what counts as one.
        monitor: the metric that is watched; null: the head's own.
        mode: whether its best is the ``min`` or the ``max``; null: as the metric says.
    """

    needs_validation = True
    options_may_change = True

    def __init__(
        self,
        *,
        patience: Whole = 5,
        min_delta: NonNegative = 0.0,
        monitor: str | None = None,
        mode: Literal["min", "max"] | None = None,
    ) -> None:
        pl.callbacks.EarlyStopping.__init__(
            self, monitor or "loss", patience=patience, min_delta=min_delta, mode=mode or "min"
        )
        self._asked = {"monitor": monitor, "mode": mode}
        self._change = min_delta

    def prepare(self, head: Head, where: str) -> None:
        """Watch the head's metric unless another is asked for."""
        name, direction = monitor_of(self._asked, head, where)
        pl.callbacks.EarlyStopping.__init__(
            self,
            f"val_{name}",
            patience=self.patience,
            min_delta=self._change,
            mode=direction,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    @property
    def reason(self) -> str | None:  # type: ignore[override]
        """Why it stopped the run, or None while it has not."""
        if self.stopping_reason is EarlyStoppingReason.NON_FINITE_METRIC:
            return f"early stopping: {self.monitor} is not finite"
        if self.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED:
            return (
                f"early stopping: {self.monitor} was no better than {float(self.best_score):.4g} "
                f"in the last {self.wait_count} of the validations"
            )
        return None
