"""The test rows of a finished run in blocks, and its metric on other draws of them.

A metric whose state is a sum over rows can be had for any draw of rows without asking the model
again: the states of the rows drawn are added, and the metric computed from the sum. So it goes for
any registered metric, an F1 score or a perplexity as well as a share.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchmetrics import Metric

from seqlab import progress
from seqlab.bundle import TrainedModel
from seqlab.comparison.statistics import Values, row_weights
from seqlab.construct import construct
from seqlab.data.module import DataModule
from seqlab.errors import ConfigError, DataError, did_you_mean

#: Rows are taken together, neighbours with neighbours, where there are more.
MOST_BLOCKS = 500


@dataclass(frozen=True)
class TestValue:
    """What a run's model is worth on its test rows.

    Attributes:
        metric: the metric's name.
        mode: ``max`` or ``min``, whichever is better.
        value: on the test rows as they are.
        resampled: on other draws of them, the same draws for every run.
        rows: how many there are.
        digest: of what is to be predicted in them.
    """

    __test__ = False  # not for pytest

    metric: str
    mode: str
    value: float
    resampled: tuple[float, ...]
    rows: int
    digest: str


class SummedMetric:
    """A metric as a function of one vector, the sum of its states over rows.

    Args:
        metric: of torchmetrics.
        name: for the message.

    Raises:
        ConfigError: its state is no sum.

    >>> from torchmetrics import MeanMetric
    >>> mean = MeanMetric(); mean.update(3.0, 2)
    >>> summed = SummedMetric(mean, "loss")
    >>> summed.state().tolist(), summed(np.array([6.0, 4.0]))
    ([6.0, 2.0], 1.5)
    """

    def __init__(self, metric: Metric, name: str) -> None:
        self.metric = metric
        self.parts = [part for part in metric.modules() if isinstance(part, Metric)]
        for part in self.parts:
            part.compute_with_cache = False
        if not self._states() or not all(isinstance(s, torch.Tensor) for *_, s in self._states()):
            raise ConfigError(
                f"metric: '{name}' is no sum over test rows, so it cannot be compared; "
                "choose another"
            )

    def _states(self) -> list[tuple[Metric, str, Any]]:
        return [(part, *state) for part in self.parts for state in part.metric_state.items()]

    def state(self) -> Values:
        """All states in one vector."""
        flat = [state.reshape(-1).double().cpu() for *_, state in self._states()]
        vector: Values = torch.cat(flat).numpy()
        return vector

    def __call__(self, vector: Values) -> float:
        """The metric of a sum of states."""
        start = 0
        for part, name, state in self._states():
            piece = torch.from_numpy(vector[start : start + state.numel()].copy())
            setattr(part, name, piece.to(state.dtype).reshape(state.shape))
            start += state.numel()
        return float(self.metric.compute())


def test_value(trained: TrainedModel, source: Any, wanted: str | None, mode: str) -> TestValue:
    """Measure a finished model on the test rows of its source.

    Args:
        trained: the model.
        source: the spec of its source.
        wanted: a metric of the head, or ``loss``; None: the one the head is selected by.
        mode: ``max`` or ``min`` of that one.

    Raises:
        ConfigError: the head has no such metric, or it is no sum over rows.
        DataError: there are no test rows.
    """
    data = _test_data(trained, source)
    name = wanted or trained.model.head.monitor[0]
    known = {**trained.model.metrics(), "loss": trained.model.loss_mean()}
    if name not in known:
        raise ConfigError(f"metric: no metric '{name}' here, {did_you_mean(name, known)}")
    if wanted is not None:
        mode = "max" if known[name].higher_is_better else "min"
    summed = SummedMetric(known[name], name)
    blocks = _states(trained, data, name, summed)
    value = summed(blocks.sum(axis=0))
    if not math.isfinite(value):
        raise DataError(f"metric: {name} is {value} on the test rows, which cannot be compared")
    drawn = [summed(draw) for draw in row_weights(len(blocks)) @ blocks]
    return TestValue(
        metric=name,
        mode=mode,
        value=value,
        # a draw that has no value, such as a correlation of equal rows, tells nothing new
        resampled=tuple(other if math.isfinite(other) else value for other in drawn),
        rows=data.sizes["test"],
        digest=_digest(data),
    )


test_value.__test__ = False  # type: ignore[attr-defined]


def _test_data(trained: TrainedModel, source: Any) -> DataModule:
    spec = dataclasses.replace(trained.processor.spec, bucket=False)
    part = construct("source", source, where="source")
    data = DataModule(part, spec, 0, processor=trained.processor)
    data.prepare(["test"])
    rows = data.sizes["test"]
    data.spec = dataclasses.replace(data.spec, eval_batch_size=math.ceil(rows / MOST_BLOCKS))
    return data


def _states(trained: TrainedModel, data: DataModule, name: str, summed: SummedMetric) -> Values:
    """``[N, K]``: the metric's states on each block of rows."""
    model, device, states = trained.model.eval(), trained.device, []
    summed.metric.to(device)
    with (
        torch.inference_mode(),
        progress.stage("test rows", data.sizes["test"], summary=False) as stage,
    ):
        for batch in data.loader("test"):
            summed.metric.reset()
            own: Mapping[str, Metric] = {} if name == "loss" else {name: summed.metric}
            terms = model.measure_terms(own, batch.to(device), final=True)
            if name == "loss":
                summed.metric.update(terms)
            states.append(summed.state())
            stage.advance(batch.size)
    summed.metric.cpu()
    if not states:
        raise DataError("there are no test rows to compare on")
    return np.stack(states)


def _digest(data: DataModule) -> str:
    """Of what the test rows ask for: contestants may read other columns of them."""
    columns, content = [part.column for part in data.spec.targets.values()], hashlib.sha256()
    for row in data.rows("test"):
        for column in columns:
            content.update(json.dumps(row.get(column), default=str).encode())
    return content.hexdigest()


def kept_value(file: Path) -> TestValue | None:
    """What ``test_value`` gave before, from a file; None where there is none."""
    if not file.is_file():
        return None
    content = json.loads(file.read_text("utf-8"))
    return TestValue(**{**content, "resampled": tuple(content["resampled"])})
