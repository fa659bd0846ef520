"""Regression: a number a sequence, or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.errors import OptionError
from seqlab.heads.base import Head, refuse_options
from seqlab.heads.classifier import Classifier
from seqlab.heads.metrics import Outcome
from seqlab.heads.metrics.numbers import MAE, R2, RMSE
from seqlab.heads.pooling import Poolings
from seqlab.heads.precision import at_least_float32
from seqlab.heads.regression_losses import AbsoluteLoss, HuberLoss, RegressionLoss, SquaredLoss
from seqlab.schema import Count, Fraction, Positive, checked
from seqlab.types import Batch, Encoded, EncoderInfo, TargetInfo

LossName = Literal["squared", "absolute", "huber"]


class RegressionHead(Head):
    """C numbers for each sequence, from its pooled outputs.

        z = W pool(output) + b
        y = mean + std * z             with the mean and deviation of the training rows
        loss = mean over rows and numbers of cost(z, (target - mean) / std)

    So the network sees targets of one size, whatever their unit, and every number of a row counts
    alike. Standardising: Bishop (1995), Neural Networks for Pattern Recognition, section 8.2.

    Predictions: ``{"values": [C floats]}`` in the target's own units.

    Metrics, in these units: ``mae``, ``rmse`` and ``r2``.

    Args:
        encoder: the sizes of the encoder's output.
        target: of kind ``values``.
        pooling: a registered pooling, or a list of them, whose vectors are joined.
        dropout: on the pooled vector and the hidden layer, in training.
        hidden_size: the width of a hidden layer before the numbers; None for none.
        activation: of the hidden layer.
        loss: ``squared``, ``absolute`` or ``huber``; see ``seqlab.heads.regression_losses``.
        delta: of ``huber``, in standard deviations.
        metrics: further registered metrics.

    Raises:
        OptionError: an option does not fit.

    >>> head = RegressionHead(EncoderInfo(4, 4, (4,)), TargetInfo("values", 2))
    >>> sorted(head.metrics()), head.monitor
    (['mae', 'r2', 'rmse'], ('rmse', 'min'))
    """

    needs = ("values",)
    mean: Tensor
    std: Tensor

    @checked
    def __init__(
        self,
        encoder: EncoderInfo,
        target: TargetInfo,
        *,
        pooling: Any = ("last", "max"),
        dropout: Fraction = 0.0,
        hidden_size: Count | None = None,
        activation: Any = "relu",
        loss: LossName = "squared",
        delta: Positive | None = None,
        metrics: Sequence[Any] = (),
    ) -> None:
        super().__init__(encoder, target, metrics=metrics)
        self.cost = _loss(loss, delta)
        self.pooling = Poolings(encoder, pooling)
        self.output = Classifier(
            self.pooling.output_size,
            target.size * self.cost.parameters,
            hidden_size=hidden_size,
            activation=activation,
            dropout=dropout,
        )
        statistics = target.statistics
        mean = torch.tensor(statistics.mean or (0.0,) * target.size, dtype=torch.float64)
        std = torch.tensor(statistics.std or (1.0,) * target.size, dtype=torch.float64)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.monitor = (self.cost.monitor, "min")

    def loss(self, encoded: Encoded, batch: Batch) -> Tensor:
        """See ``Head.loss``."""
        return self._loss(self._outputs(encoded), self.target_of(batch))

    def predict(self, encoded: Encoded, **options: Any) -> list[dict[str, Any]]:
        """See ``Head.predict``; there are no options."""
        refuse_options(self, options)
        with torch.no_grad():
            rows = self._values(self._outputs(encoded)).tolist()
        return [{"values": row} for row in rows]

    def metrics(self) -> dict[str, Metric]:
        """See ``Head.metrics``."""
        target = self.target_info
        return self.with_chosen({"mae": MAE(target), "rmse": RMSE(target), "r2": R2(target)})

    def measure(
        self, metrics: Mapping[str, Metric], encoded: Encoded, batch: Batch, *, final: bool = False
    ) -> Tensor:
        """See ``Head.measure``."""
        del final
        outputs, target = self._outputs(encoded), self.target_of(batch)
        outcome = Outcome(self._values(outputs.detach()), target)
        for metric in metrics.values():
            metric.update(outcome)
        return self._loss(outputs, target)

    def scores(self, encoded: Encoded) -> Tensor:
        """``[B, C]``: the numbers in the target's own units."""
        outputs = self._outputs(encoded)
        return self._values(outputs).to(outputs.dtype)

    def _outputs(self, encoded: Encoded) -> Tensor:
        """``[B, C, P]``: the outputs for each number, standardised."""
        flat = at_least_float32(self.output(self.pooling(encoded)))
        return flat.view(len(flat), self.target_info.size, self.cost.parameters)

    def _values(self, outputs_BCP: Tensor) -> Tensor:
        return self.cost.value(outputs_BCP).double() * self.std + self.mean

    def _loss(self, outputs_BCP: Tensor, target_BC: Tensor) -> Tensor:
        goal = ((target_BC.double() - self.mean) / self.std).to(outputs_BCP.dtype)
        if not goal.numel():
            return outputs_BCP.sum() * 0.0
        return self.cost.cost(outputs_BCP, goal).mean()


def _loss(name: LossName, delta: float | None) -> RegressionLoss:
    if delta is not None and name != "huber":
        raise OptionError(f"delta belongs to loss=huber, not to loss={name}")
    if name == "huber":
        return HuberLoss(1.0 if delta is None else delta)
    return SquaredLoss() if name == "squared" else AbsoluteLoss()
