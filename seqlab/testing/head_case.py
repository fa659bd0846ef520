"""A head under test: its options, its tasks, its models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

import seqlab
from seqlab.heads.base import Head
from seqlab.model import Encoder, SequenceModel
from seqlab.testing.case import Case
from seqlab.testing.compare import require
from seqlab.testing.result import Failure
from seqlab.testing.sample import seeded, shaken
from seqlab.testing.tasks import TARGETS, Task, apart, make_task, small_head
from seqlab.types import Batch, Encoded, EncoderInfo, TargetInfo


@dataclass(frozen=True)
class HeadCase(Case):
    """A head class with its options, on top of a small bidirectional encoder."""

    kind = "head"

    @property
    def head_options(self) -> dict[str, Any]:
        """The options, with those that keep the head small."""
        return small_head(self.part, self.options)

    def tasks(self) -> list[Task]:
        """A task for each kind of target that the head serves and the kit has rows for.

        Raises:
            Failure: there is none.
        """
        known = [kind for kind in self.part.needs if kind in TARGETS]
        if not known:
            wanted, had = ", ".join(self.part.needs), ", ".join(TARGETS)
            raise Failure(f"the kit has rows for targets of kind {had}, and none for {wanted}")
        return [make_task(kind) for kind in known]

    def new(self, encoder: EncoderInfo, target: TargetInfo, **changes: Any) -> Head:
        """A new head."""
        head: Head = self.part(encoder, target, **{**self.head_options, **changes})
        return head

    def model(self, task: Task, seed: int = 0, *, shake: bool = True) -> SequenceModel:
        """A model in float64 and inference mode, with the head on a bidirectional GRU."""
        info = task.processor.info
        with seeded(seed):
            encoder = Encoder(info.features, lambda size: seqlab.Bidirectional(seqlab.GRU(size, 4)))
            made = SequenceModel(info, encoder, self.new(encoder.info, info.target))
        return (shaken(made, seed=seed + 1) if shake else made).double().eval()

    def each(self) -> Iterator[tuple[Task, SequenceModel]]:
        """Every task with a model."""
        for task in self.tasks():
            yield task, self.model(task)


def answers_apart(ours: Any, theirs: Any, what: str, *, tolerance: float = 1e-8) -> float:
    """The largest difference of two JSON values, which must be equal but for rounding."""
    difference = apart(ours, theirs)
    require(
        difference is not None and difference <= tolerance,
        f"{what}: {ours!r:.160} against {theirs!r:.160}"
        + ("" if difference is None else f", {difference:.3g} apart"),
    )
    return difference or 0.0


def measured(
    model: SequenceModel, encoded: Encoded, batch: Batch
) -> tuple[Tensor, dict[str, float]]:
    """The loss that ``measure`` gives, and the value of every metric after it."""
    metrics = model.metrics()
    loss = model.head.measure(metrics, encoded, batch, final=True)
    return loss, {name: float(metric.compute()) for name, metric in metrics.items()}
