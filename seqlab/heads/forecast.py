"""Forecasts: the steps that come after a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.errors import DataError, OptionError
from seqlab.heads.forecast_steps import AllSteps, StepByStep
from seqlab.heads.metrics import TaskMetric
from seqlab.heads.metrics.numbers import SMAPE
from seqlab.heads.numbers_head import LossName, NumbersHead
from seqlab.heads.regression_losses import Units
from seqlab.layers.base import Layer
from seqlab.schema import Count, Fraction, Part, Positive, Share, checked
from seqlab.types import Batch, Encoded, EncoderInfo, TargetInfo, lengths_to_mask


class ForecastHead(NumbersHead):
    """The H steps that come after a series, of C values each.

        y_h = center_h + scale * z_h
        center_h    base=none: the mean; last: x_T; season: x of the same place in the last season
        scale       the deviation of the training rows; with row_scale of the feature the row's own

    ``mode=direct``: all steps by one map of the pooled outputs, and of all that is known ahead
    (Ben Taieb, Bontempi, Atiya and Sorjamaa 2012). ``mode=recurrent``: a decoder of its own writes
    step by step and reads what it wrote (Sutskever, Vinyals and Le 2014; DeepAR: Salinas, Flunkert,
    Gasthaus and Januschowski 2020):

        s_0 = tanh(W final + b);    o_h, s_h = layer([z_{h-1}; ahead_h], s_{h-1});    z_h = V o_h

    What is known ahead are features with ``role: ahead``; static ones have ``role: row``. With
    ``base=season`` the network learns what is different from a seasonal naive forecast.

    Predictions: ``{"values": [H floats]}`` in the target's own units, ``[H][C]`` of several series;
    with the losses ``quantile``, ``gaussian`` and ``negative_binomial`` also
    ``{"quantiles": {"0.1": ..., ...}}`` of the same form.

    Metrics, in these units: ``mae``, ``rmse`` and ``smape``, and with these losses ``pinball`` and
    ``coverage``; ``mase`` by ``metrics: [{name: mase, season: 24}]``.

    Args:
        encoder: the sizes of the encoder's output.
        target: of kind ``horizon``.
        mode: ``direct`` or ``recurrent``.
        base: ``none``, ``last`` or ``season``: what the answer is added to.
        season: the steps of a season, for ``base=season`` and for the naive forecast that training
            prints beside the result.
        pooling: of ``direct``: a registered pooling, or a list of them; None: ``last``.
        decoder: of ``recurrent``: ``{cell: {name: gru, hidden_size: 64}, num_layers: 1, ...}``, as
            in the encoder-decoder; None: a GRU as wide as the encoder's final state.
        teacher_forcing: of ``recurrent``: how often a step is shown the truth before it in
            training. With 0 the spread of a step is that of the whole way to it; with more, that
            of one step.
        dropout: on the pooled vector and the hidden layer, or the decoder's output, in training.
        hidden_size: the width of a hidden layer before the numbers; None for none.
        activation: of the hidden layer.
        loss: ``squared``, ``absolute``, ``huber``, ``quantile``, ``gaussian`` or
            ``negative_binomial``; see ``seqlab.heads.regression_losses`` and
            ``seqlab.heads.distribution_losses``.
        delta: of ``huber``, in scaled units; None: 1.
        quantiles: what answers tell of, with the last three losses; None: 0.1, 0.5, 0.9.
        metrics: further registered metrics.

    Raises:
        OptionError: an option does not fit, or the target goes on with no feature.

    >>> head = ForecastHead(EncoderInfo(4, 4, (4,)), TargetInfo("horizon", 1, steps=24))
    >>> sorted(head.metrics()), head.monitor
    (['mae', 'rmse', 'smape'], ('rmse', 'min'))
    """

    needs = ("horizon",)
    looks_ahead = True

    @checked
    def __init__(
        self,
        encoder: EncoderInfo,
        target: TargetInfo,
        *,
        mode: Literal["direct", "recurrent"] = "direct",
        base: Literal["none", "last", "season"] = "none",
        season: Count | None = None,
        pooling: Any = None,
        decoder: Mapping[str, Any] | None = None,
        teacher_forcing: Share | None = None,
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
        self.base, self.season = base, season
        if base == "season" and season is None:
            raise OptionError("season: base=season needs the steps of a season")
        if base != "none" and not target.feature:
            raise OptionError(
                f"base={base} needs the steps before; say by data.target.feature which these are"
            )
        for key, value in {"decoder": decoder, "teacher_forcing": teacher_forcing}.items():
            if value is not None and mode != "recurrent":
                raise OptionError(f"{key} belongs to mode=recurrent, not to mode={mode}")
        if pooling is not None and mode != "direct":
            raise OptionError(f"pooling belongs to mode=direct, not to mode={mode}")
        size = (target.steps, target.size, self.cost.parameters)
        output = {"hidden_size": hidden_size, "activation": activation, "dropout": dropout}
        self.network: AllSteps | StepByStep
        if mode == "direct":
            self.network = AllSteps(encoder, size, pooling=pooling or "last", **output)
        else:
            truth = teacher_forcing or 0.0
            self.network = StepByStep(encoder, size, decoder=decoder, truth=truth, **output)

    def outputs(self, encoded: Encoded, target: Tensor | None = None) -> Tensor:
        """``[B, H, C, P]``: the outputs for each number."""
        if isinstance(self.network, AllSteps):
            direct: Tensor = self.network(encoded)
            return direct
        units = self.units(encoded)
        goal = None if target is None else units.scaled(target, encoded.final.dtype)

        def written(outputs_BCP: Tensor, step: int) -> Tensor:
            at = Units(_at(units.center, step), _at(units.scale, step))
            return at.scaled(self.cost.value(outputs_BCP, at), outputs_BCP.dtype)

        found: Tensor = self.network(encoded, self._before(encoded), written, goal)
        return found

    def units(self, encoded: Encoded) -> Units:
        """``[B, 1, C]`` or ``[B, H, C]``: the center of each step, and the scale."""
        units = Units(self.mean.view(1, 1, -1), self.std.view(1, 1, -1))
        if (own := encoded.scales.get(self.target_info.feature)) is not None:
            units = Units(*(part.double() for part in own))
        if self.base == "none":
            return units
        places = torch.full_like(encoded.lengths.unsqueeze(1), -1)
        if self.base == "season":
            season = self.season or 1
            steps = torch.arange(self.target_info.steps, device=encoded.lengths.device)
            places = (steps % season - season).expand(encoded.lengths.shape[0], -1)
        return units._replace(center=self._from_end(encoded, places, units.center))

    def context(self, encoded: Encoded) -> Tensor | None:
        """See the base class."""
        return self.series_before(encoded.inputs, encoded.lengths)

    def shaped(self, numbers: Tensor) -> Any:
        """``[H]`` of one series, ``[H][C]`` of several."""
        return (numbers.squeeze(-1) if self.target_info.size == 1 else numbers).tolist()

    def own_metrics(self) -> dict[str, Metric]:
        """See the base class."""
        return {**super().own_metrics(), "smape": SMAPE(self.target_info)}

    def refusal(self, batch: Batch) -> tuple[int, str] | None:
        """See ``Head.refusal``: also a context that is too short, or has no naive error."""
        if (found := super().refusal(batch) or self._too_short(batch.lengths)) is not None:
            return found
        context = self.series_before(batch.inputs, batch.lengths)
        chosen = (m for m in self.with_chosen({}).values() if isinstance(m, TaskMetric))
        return next(filter(None, (metric.refusal(context) for metric in chosen)), None)

    def check(self, encoded: Encoded) -> None:
        """See the base class: a context that is shorter than a season."""
        if (found := self._too_short(encoded.lengths)) is not None:
            raise DataError(f"row {found[0] + 1} of the batch: {found[1]}")

    def layers(self) -> Sequence[Layer]:
        """See ``Head.layers``."""
        return self.network.layers()

    def series_before(self, inputs: Mapping[str, Tensor], lengths: Tensor) -> Tensor | None:
        """``[B, T, C]``: the series before, in its own units; NaN at padded steps."""
        series = inputs.get(self.target_info.feature)
        if series is None:
            return None
        real = lengths_to_mask(lengths, series.shape[1]).unsqueeze(-1)
        return (series.double() * self.std + self.mean).masked_fill(~real, float("nan"))

    def _from_end(self, encoded: Encoded, places_BN: Tensor, otherwise: Tensor) -> Tensor:
        """``[B, N, C]``: the series at places from its end, -1 the last; else something else."""
        context = self.context(encoded)
        if context is None or not context.shape[1]:
            return otherwise.expand(*places_BN.shape, self.target_info.size)
        index = encoded.lengths.unsqueeze(1) + places_BN
        there = (index >= 0).unsqueeze(-1)
        picked = index.clamp(min=0).unsqueeze(-1).expand(-1, -1, context.shape[2])
        return torch.where(there, context.gather(1, picked), otherwise)

    def _before(self, encoded: Encoded) -> Tensor:
        """``[B, C]``: the last known step as an output, for a decoder to begin with."""
        units = self.units(encoded)
        last = torch.full_like(encoded.lengths.unsqueeze(1), -1)
        center = units.center[:, -1:].expand(last.shape[0], 1, self.target_info.size)
        if self.base == "season":
            center = self._from_end(encoded, last - (self.season or 1), center)
        value = self._from_end(encoded, last, center)
        return ((value - center) / units.scale).squeeze(1).to(encoded.final.dtype)

    def _too_short(self, lengths: Tensor) -> tuple[int, str] | None:
        short = (lengths < (self.season or 0)).nonzero() if self.base == "season" else lengths[:0]
        if not len(short):
            return None
        row = int(short[0])
        return row, (
            f"{int(lengths[row])} steps are fewer than a season of {self.season}; take a longer "
            "context or a shorter head.season"
        )


def _at(part: Tensor, step: int) -> Tensor:
    """One step of ``[B, 1, C]`` or ``[B, H, C]``."""
    return part[:, min(step, part.shape[1] - 1)]
