"""Early stopping that says when it stops a run, and why."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason


class EarlyStopping(pl.callbacks.EarlyStopping):
    """Stops a run whose monitored metric has not improved ``patience`` times.

    A resumed run keeps its count and its best value, and takes ``patience`` from its own config.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    @property
    def reason(self) -> str | None:
        """Why it stopped the run, or None while it has not."""
        if self.stopping_reason is EarlyStoppingReason.NON_FINITE_METRIC:
            return f"early stopping: {self.monitor} is not finite"
        if self.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED:
            return (
                f"early stopping: {self.monitor} was no better than {float(self.best_score):.4g} "
                f"in the last {self.wait_count} of the validations"
            )
        return None
