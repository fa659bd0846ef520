"""Regression: a number a sequence or a step, or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torchmetrics import Metric

from seqlab.errors import OptionError
from seqlab.heads.classifier import Classifier
from seqlab.heads.masking import clean_output
from seqlab.heads.metrics.numbers import R2
from seqlab.heads.numbers_head import LossName, NumbersHead
from seqlab.heads.pooling import Poolings
from seqlab.heads.precision import at_least_float32
from seqlab.heads.regression_losses import Units
from seqlab.schema import Count, Fraction, Part, Positive, checked
from seqlab.types import Encoded, EncoderInfo, TargetInfo

_POOLING = ("last", "max")


class RegressionHead(NumbersHead):
    """C numbers for each sequence from its pooled outputs, or for each step from the step's.

        z = W pool(output) + b         of a step: W output_t + b
        y = mean + std * z             with the mean and deviation of the training rows
        loss = mean over all numbers of cost(z, (target - mean) / std)

    So the network sees targets of one size, whatever their unit, and every number of a row counts
    alike. Standardising: Bishop (1995), Neural Networks for Pattern Recognition, section 8.2.

    Predictions: ``{"values": [C floats]}`` in the target's own units, of a target per step
    ``[T][C]``; with the losses ``quantile``, ``gaussian`` and ``negative_binomial`` also
    ``{"quantiles": {"0.1": ..., ...}}`` of the same form.

    Metrics, in these units: ``mae``, ``rmse`` and ``r2``, and with these losses ``pinball`` and
    ``coverage``.

    Args:
        encoder: the sizes of the encoder's output.
        target: of kind ``values`` or ``step_values``.
        pooling: a registered pooling, or a list of them, whose vectors are joined; None:
            ``[last, max]``. A target per step has none.
        dropout: on the pooled vector and the hidden layer, in training.
        hidden_size: the width of a hidden layer before the numbers; None for none.
        activation: of the hidden layer.
        loss: ``squared``, ``absolute``, ``huber``, ``quantile``, ``gaussian`` or
            ``negative_binomial``; see ``seqlab.heads.regression_losses`` and
            ``seqlab.heads.distribution_losses``.
        delta: of ``huber``, in standard deviations; None: 1.
        quantiles: what answers tell of, with the last three losses; None: 0.1, 0.5, 0.9.
        metrics: further registered metrics.

    Raises:
        OptionError: an option does not fit.

    >>> head = RegressionHead(EncoderInfo(4, 4, (4,)), TargetInfo("values", 2))
    >>> sorted(head.metrics()), head.monitor
    (['mae', 'r2', 'rmse'], ('rmse', 'min'))
    """

    needs = ("values", "step_values")
    weighs_rows = True

    @checked
    def __init__(
        self,
        encoder: EncoderInfo,
        target: TargetInfo,
        *,
        pooling: Any = None,
        dropout: Fraction = 0.0,
        hidden_size: Count | None = None,
        activation: Any = "relu",
        loss: LossName = "squared",
        delta: Positive | None = None,
        quantiles: Sequence[Part] | None = None,
        metrics: Sequence[Any] = (),
    ) -> None:
        super().__init__(
            encoder, target, loss=loss, delta=delta, quantiles=quantiles, metrics=metrics
        )
        self.pooling: Poolings | None = None
        if target.kind == "values":
            self.pooling = Poolings(encoder, _POOLING if pooling is None else pooling)
        elif pooling is not None:
            raise OptionError("pooling belongs to a target a row; this one has numbers a step")
        self.output = Classifier(
            encoder.output_size if self.pooling is None else self.pooling.output_size,
            target.size * self.cost.parameters,
            hidden_size=hidden_size,
            activation=activation,
            dropout=dropout,
        )

    def outputs(self, encoded: Encoded, target: Tensor | None = None) -> Tensor:
        """``[B, C, P]``, or ``[B, T, C, P]``: the outputs for each number."""
        del target
        pooled = clean_output(encoded) if self.pooling is None else self.pooling(encoded)
        return self.step_scores(pooled)

    def steps(self, encoded: Encoded) -> Tensor | None:
        """See the base class."""
        return encoded.mask if self.pooling is None else None

    def refuses_chunks(self) -> str | None:
        """See ``Head.refuses_chunks``: numbers a step can."""
        return super().refuses_chunks() if self.pooling is not None else None

    def step_scores(self, output_BE: Tensor) -> Tensor:
        """``[B, C, P]``: the outputs for each number."""
        flat = at_least_float32(self.output(output_BE))
        return flat.reshape(*flat.shape[:-1], self.target_info.size, self.cost.parameters)

    def answer_steps(self, scores: Tensor) -> list[dict[str, Any]]:
        """``{"values": [C floats]}``, and quantiles, as a step of ``predict``."""
        return self.answers(scores, Units(self.mean, self.std))

    def own_metrics(self) -> dict[str, Metric]:
        """See the base class."""
        return {**super().own_metrics(), "r2": R2(self.target_info)}
