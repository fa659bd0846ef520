"""What the heads that predict numbers share: the loss, the units, the answers and the metrics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.errors import DataError, OptionError
from seqlab.heads.base import Head, refuse_options
from seqlab.heads.distribution_losses import GaussianLoss, NegativeBinomialLoss
from seqlab.heads.losses import weighted_mean
from seqlab.heads.metrics import Outcome
from seqlab.heads.metrics.forecasts import Coverage, Pinball
from seqlab.heads.metrics.numbers import MAE, RMSE
from seqlab.heads.regression_losses import (
    AbsoluteLoss,
    HuberLoss,
    QuantileLoss,
    RegressionLoss,
    SquaredLoss,
    Units,
)
from seqlab.schema import Part, Positive, checked
from seqlab.types import Batch, Encoded, EncoderInfo, TargetInfo

LossName = Literal["squared", "absolute", "huber", "quantile", "gaussian", "negative_binomial"]
_QUANTILES = (0.1, 0.5, 0.9)
_WITH_QUANTILES: dict[str, Callable[[tuple[float, ...]], RegressionLoss]] = {
    "quantile": QuantileLoss,
    "gaussian": GaussianLoss,
    "negative_binomial": NegativeBinomialLoss,
}


class NumbersHead(Head):
    """Base of the heads that predict numbers, ``[B, ..., C]``.

    A subclass gives the network's outputs, and where they are not those of the training rows the
    units of them.

    Args:
        encoder: the sizes of the encoder's output.
        target: what has to be predicted.
        loss: see ``seqlab.heads.regression_losses`` and ``seqlab.heads.distribution_losses``.
        delta: of ``huber``.
        quantiles: what answers tell of, with losses that know them.
        metrics: further registered metrics.

    Raises:
        OptionError: an option does not fit the loss.
    """

    mean: Tensor
    std: Tensor

    @checked
    def __init__(
        self,
        encoder: EncoderInfo,
        target: TargetInfo,
        *,
        loss: LossName,
        delta: Positive | None,
        quantiles: Sequence[Part] | None,
        metrics: Sequence[Any],
    ) -> None:
        super().__init__(encoder, target, metrics=metrics)
        self.cost = make_loss(loss, delta, quantiles)
        statistics = target.statistics
        mean = torch.tensor(statistics.mean or (0.0,) * target.size, dtype=torch.float64)
        std = torch.tensor(statistics.std or (1.0,) * target.size, dtype=torch.float64)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.monitor = (self.cost.monitor, "min")

    @abstractmethod
    def outputs(self, encoded: Encoded, target: Tensor | None = None) -> Tensor:
        """``[B, ..., C, P]``, of at least float32: what the network gives for each number.

        Args:
            encoded: the encoder's results.
            target: in training, for a head that is shown the steps before.
        """

    def units(self, encoded: Encoded) -> Units:
        """What the outputs' zero and one stand for: mean and deviation of the training rows."""
        del encoded
        return Units(self.mean, self.std)

    def steps(self, encoded: Encoded) -> Tensor | None:
        """``[B, T]``: which steps of the answer are real; None: all."""
        del encoded
        return None

    def context(self, encoded: Encoded) -> Tensor | None:
        """``[B, T, C]`` float64: the numbers before the answer's, for metrics; None: not known."""
        del encoded
        return None

    def check(self, encoded: Encoded) -> None:
        """Refuse rows that cannot be answered.

        Raises:
            DataError: names the first one, by its place in the batch.
        """

    def loss(self, encoded: Encoded, batch: Batch) -> Tensor:
        """See ``Head.loss``: the mean over all numbers that are known."""
        target = self._gold(encoded, batch)
        return self._mean_cost(self.outputs(encoded, target), target, encoded, batch.weights)

    def predict(self, encoded: Encoded, **options: Any) -> list[dict[str, Any]]:
        """See ``Head.predict``; there are no options."""
        refuse_options(self, options)
        self.check(encoded)
        with torch.no_grad():
            return self.answers(self.outputs(encoded), self.units(encoded), self.steps(encoded))

    def answers(
        self, outputs: Tensor, units: Units, real: Tensor | None = None
    ) -> list[dict[str, Any]]:
        """Outputs ``[B, ..., C, P]`` as answers, of the steps that are ``real [B, T]``."""
        found = {"values": self.cost.value(outputs, units)}
        quantiles = self.cost.quantiles(outputs, units)
        if quantiles is not None:
            for place, level in enumerate(self.cost.levels):
                found[f"{level:g}"] = quantiles[..., place]
        rows = [
            {
                name: self.shaped(values[row] if real is None else values[row][real[row]])
                for name, values in found.items()
            }
            for row in range(len(outputs))
        ]
        if quantiles is None:
            return rows
        return [{"values": row.pop("values"), "quantiles": row} for row in rows]

    def shaped(self, numbers: Tensor) -> Any:
        """A row's numbers, ``[..., C]``, as its answer has them."""
        return numbers.tolist()

    def metrics(self) -> dict[str, Metric]:
        """See ``Head.metrics``."""
        return self.with_chosen(self.own_metrics())

    def own_metrics(self) -> dict[str, Metric]:
        """What the head measures without being asked."""
        target = self.target_info
        found: dict[str, Metric] = {"mae": MAE(target), "rmse": RMSE(target)}
        if self.cost.levels:
            found |= {"pinball": Pinball(target), "coverage": Coverage(target)}
        return found

    def measure(
        self, metrics: Mapping[str, Metric], encoded: Encoded, batch: Batch, *, final: bool = False
    ) -> Tensor:
        """See ``Head.measure``."""
        del final
        target = self._gold(encoded, batch)
        outputs, units = self.outputs(encoded, target), self.units(encoded)
        plain = outputs.detach()
        outcome = Outcome(
            self.cost.value(plain, units),
            target,
            quantiles=self.cost.quantiles(plain, units),
            levels=self.cost.levels,
            context=self.context(encoded),
        )
        for metric in metrics.values():
            metric.update(outcome)
        return self._mean_cost(outputs, target, encoded, batch.weights)

    def loss_weight(self, encoded: Encoded, batch: Batch) -> Tensor:
        """See ``Head.loss_weight``: the numbers that are known."""
        known = ~self._gold(encoded, batch).isnan()
        counts_B = batch.weights
        if counts_B is None:
            return known.sum()
        return (known * counts_B.reshape(-1, *[1] * (known.ndim - 1))).sum()

    def scores(self, encoded: Encoded) -> Tensor:
        """``[B, ..., C]``: the numbers in the target's own units."""
        outputs = self.outputs(encoded)
        return self.cost.value(outputs, self.units(encoded)).to(outputs.dtype)

    def refusal(self, batch: Batch) -> tuple[int, str] | None:
        """See ``Head.refusal``: a target that the loss gives no probability."""
        if batch.target is None or not self.cost.expects:
            return None
        bad = self.cost.impossible(batch.target) & ~batch.target.isnan()
        if not bool(bad.any()):
            return None
        row = int(bad.flatten(1).any(1).nonzero()[0])
        found = float(batch.target[row][bad[row]][0])
        return row, f"the loss takes {self.cost.expects}, found {found:g}; choose another head.loss"

    def _gold(self, encoded: Encoded, batch: Batch) -> Tensor:
        """The target, NaN where it is padding."""
        self.check(encoded)
        target, real = self.target_of(batch), self.steps(encoded)
        if self.cost.expects and (found := NumbersHead.refusal(self, batch)) is not None:
            raise DataError(f"row {found[0] + 1} of the batch: {found[1]}")
        if real is None:
            return target
        padding = ~real[:, : target.shape[1]]
        target = target.masked_fill(padding.unsqueeze(-1), float("nan"))
        missing = real.shape[1] - target.shape[1]
        return torch.nn.functional.pad(target, (0, 0, 0, missing), value=float("nan"))

    def _mean_cost(
        self, outputs: Tensor, target: Tensor, encoded: Encoded, counts_B: Tensor | None
    ) -> Tensor:
        known = ~target.isnan()
        # 0 where a count is asked for, and any number elsewhere, is a target of finite cost
        filled = target.masked_fill(~known, 0.0)
        cost = self.cost.cost(outputs, filled, self.units(encoded))
        cost = cost.masked_fill(~known, 0.0)
        if counts_B is not None:
            return weighted_mean(cost, known * counts_B.reshape(-1, *[1] * (known.ndim - 1)))
        return cost.sum() / known.sum().clamp(min=1)


def make_loss(
    name: LossName, delta: float | None, quantiles: Sequence[float] | None
) -> RegressionLoss:
    """The loss of that name.

    Raises:
        OptionError: an option belongs to another loss, or the quantiles do not rise.
    """
    if delta is not None and name != "huber":
        raise OptionError(f"delta belongs to loss=huber, not to loss={name}")
    if name in _WITH_QUANTILES:
        levels = _QUANTILES if quantiles is None else tuple(quantiles)
        if not levels or list(levels) != sorted(set(levels)):
            raise OptionError(f"quantiles: expected some in rising order, got {list(levels)}")
        return _WITH_QUANTILES[name](levels)
    if quantiles is not None:
        raise OptionError(
            f"quantiles belong to loss={', '.join(_WITH_QUANTILES)}, not to loss={name}"
        )
    if name == "huber":
        return HuberLoss(1.0 if delta is None else delta)
    return SquaredLoss() if name == "squared" else AbsoluteLoss()
