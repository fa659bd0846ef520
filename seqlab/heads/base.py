"""The contract of a head: a task with its loss, its decoding and its metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torchmetrics import Metric

from seqlab.construct import construct, split_spec
from seqlab.errors import DataError, EngineError, OptionError
from seqlab.heads.losses import LossTerm
from seqlab.heads.metrics.texts import TextMetric
from seqlab.layers.base import Layer
from seqlab.registry import spoken
from seqlab.schema import checked
from seqlab.target_names import SOLE
from seqlab.types import Batch, Encoded, EncoderInfo, TargetInfo, Writer


class Head(nn.Module, ABC):
    """A task on top of an encoder.

    A subclass says in ``needs`` which kinds of target it serves, sets ``monitor`` and writes
    ``loss``, ``predict``, ``metrics`` and ``measure``. Its options are keyword-only.

    Args:
        encoder: the sizes of what the encoder hands over.
        target: what has to be predicted.
        metrics: registered metrics to measure beside the head's own, each by name or as
            ``{name: ..., option: ...}``; a head that takes the option passes it on, and gives
            its own metrics to ``with_chosen``.

    Raises:
        OptionError: the head cannot serve this kind of target, or a metric does not fit.
    """

    needs: ClassVar[tuple[str, ...]]
    #: The metric by which runs are selected and whether it should be large or small.
    monitor: tuple[str, str]
    #: Whether it reads ``Encoded.ahead``, what is known of the steps to come.
    looks_ahead: ClassVar[bool] = False
    #: Whether its loss goes by ``Batch.weights``.
    weighs_rows: ClassVar[bool] = False
    #: Ids of an answer to text, for metrics of texts; None where the data's tokenizer is not known.
    decode: Writer | None = None

    @checked
    def __init__(
        self, encoder: EncoderInfo, target: TargetInfo, *, metrics: Sequence[Any] = ()
    ) -> None:
        super().__init__()
        if target.kind not in self.needs:
            wanted = " or ".join(f"'{kind}'" for kind in self.needs)
            raise OptionError(
                f"{spoken('head', self)} needs a target of kind {wanted}, not '{target.kind}'; "
                + _another(target.kind, self.needs)
            )
        if target.size < 1:
            raise OptionError(f"the target has {target.size} classes; at least 1 is needed")
        if encoder.ahead_size and not self.looks_ahead:
            raise OptionError(
                f"{spoken('head', self)} does not look at features with role=ahead; take them "
                "out, or choose head=forecast"
            )
        self.encoder_info = encoder
        self.target_info = target
        self._chosen = _by_name(metrics)
        self.with_chosen({})

    @abstractmethod
    def loss(self, encoded: Encoded, batch: Batch) -> Tensor:
        """The training loss: a scalar of at least float32."""

    @abstractmethod
    def predict(self, encoded: Encoded, **options: Any) -> list[dict[str, Any]]:
        """One JSON-able answer a row; ``options`` are the head's own, for this call only."""

    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """Fresh metrics by name, to be given to ``measure``."""

    @abstractmethod
    def measure(
        self, metrics: Mapping[str, Metric], encoded: Encoded, batch: Batch, *, final: bool = False
    ) -> Tensor:
        """Update the metrics with one batch and return its loss, from one set of scores.

        ``final`` asks for the answers ``predict`` would give, where a head has a cheaper way
        for the measurements during training.
        """

    @property
    def loss_factors(self) -> tuple[float, ...]:
        """How much each term of the loss counts in it; here there is one."""
        return (1.0,)

    def loss_weight(self, encoded: Encoded, batch: Batch) -> Tensor | float:
        """What a batch's loss is a mean over, by which it counts among others; here its rows.

        A head that takes the mean over steps or tokens, or weighs them, says so here.
        """
        del encoded
        return batch.size

    def measure_terms(
        self, metrics: Mapping[str, Metric], encoded: Encoded, batch: Batch, *, final: bool = False
    ) -> list[LossTerm]:
        """As ``measure``, with what each term of the loss is a mean over."""
        loss = self.measure(metrics, encoded, batch, final=final)
        return [LossTerm(loss, self.loss_weight(encoded, batch))]

    def together(self, heads: Sequence[Head]) -> Head:
        """A head that answers as several do together, of which this is the first.

        Raises:
            OptionError: heads of this kind cannot.
        """
        del heads
        raise OptionError(
            f"an ensemble needs heads encoder_decoder or classification, and these are "
            f"{spoken('head', self)}; give one bundle"
        )

    def write_with(self, writers: Mapping[str, Writer]) -> None:
        """Take what writes the ids of each target as text, by the targets' names."""
        self.decode = writers.get(SOLE)

    @property
    def chosen(self) -> frozenset[str]:
        """The names of the metrics that the option ``metrics`` asks for."""
        return frozenset(self._chosen)

    def with_chosen(self, own: Mapping[str, Metric]) -> dict[str, Metric]:
        """The head's own metrics, and fresh ones of those that the option ``metrics`` names.

        Raises:
            OptionError: the head has a metric of that name already.
        """
        found = dict(own)
        for name, spec in self._chosen.items():
            if name in found:
                raise OptionError(f"head.metrics: the head measures '{name}' already")
            found[name] = construct("metric", spec, self.target_info, where="head.metrics")
            if isinstance(found[name], TextMetric):
                found[name].decode = self.decode
        return found

    def scores(self, encoded: Encoded) -> Tensor | None:
        """What an exported graph computes beside the encoder's output.

        A head whose answers follow from one tensor of scores gives it here, ``[B, ...]`` and at
        least float32, by operations that ``torch.export`` can trace. None, as here, where there
        is no such tensor, as when the answer is searched for step by step.
        """
        del encoded
        return None

    def share(self, tables: Mapping[str, nn.Embedding]) -> None:
        """Take what is to be one with the encoder's tables, given by the features' names.

        Called once, when the head becomes part of a model. A head takes nothing by itself.
        """

    def refusal(self, batch: Batch) -> tuple[int, str] | None:
        """The first row, by its place in the batch, that cannot be learnt from, and why; else None.

        Asked of all rows before training, where they are in memory.
        """
        del batch
        return None

    def refuses_chunks(self) -> str | None:
        """Why a loss cannot be that of the steps of a chunk of rows alone; None if it can."""
        return f"{spoken('head', self)} answers whole rows"

    def refuses_steps(self) -> str | None:
        """Why there is no answer before a row has ended; None if each step has its own."""
        return self.refuses_chunks()

    def step_scores(self, output_BE: Tensor) -> Tensor:
        """``[B, ...]``: what is said after a step, from the encoder's output there.

        Raises:
            EngineError: ``refuses_steps`` says why.
        """
        del output_BE
        raise EngineError(f"this head has no answer for a step: {self.refuses_steps()}")

    def step_scorer(self) -> Callable[[Tensor], Tensor]:
        """``step_scores`` for many steps; what it looks up in the head may be looked up once."""
        return self.step_scores

    def answer_steps(self, scores: Tensor) -> list[dict[str, Any]]:
        """One JSON-able answer a row to one step, from ``step_scores``."""
        return [{"scores": row} for row in scores.tolist()]

    @property
    def refuses_rows(self) -> bool:
        """Whether there is anything that ``refusal`` refuses."""
        return type(self).refusal is not Head.refusal

    def layers(self) -> Sequence[Layer]:
        """The recurrent layers inside the head, for regularization and constraints."""
        return ()

    def target_of(self, batch: Batch) -> Tensor:
        """The batch's target.

        Raises:
            DataError: the batch has none, as when predicting.
        """
        if batch.target is None:
            raise DataError(
                f"{spoken('head', self)}: the batch has no target; loss and metrics need one"
            )
        return batch.target

    def name_or_id(self, index: int) -> str | int:
        """The class's name where the target has names, else its id."""
        names = self.target_info.names
        return names[index] if names else index


def _another(kind: str, needs: Sequence[str]) -> str:
    """What to change where a head and a target do not go together."""
    if kind == "joint":
        return "several targets need head=joint"
    if "joint" in needs:
        return "name several targets in data.targets, or choose another head"
    return "choose another head or another data.target.kind"


def _by_name(metrics: Sequence[Any]) -> dict[str, Any]:
    """The specs of metrics by their names."""
    specs: dict[str, Any] = {}
    for spec in metrics:
        name, _ = split_spec("metric", spec, "head.metrics")
        if name in specs:
            raise OptionError(f"head.metrics: '{name}' is there twice")
        specs[name] = spec
    return specs


def refuse_options(head: Head, options: Mapping[str, Any], known: Sequence[str] = ()) -> None:
    """Refuse options of ``predict`` that a head does not have.

    Raises:
        OptionError: names the first such option and those that exist.
    """
    for key in options:
        if key not in known:
            listing = ", ".join(known) if known else "none"
            raise OptionError(
                f"{spoken('head', head)} has no option '{key}' of predict (known: {listing})"
            )
