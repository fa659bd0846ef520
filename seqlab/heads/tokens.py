"""What heads that answer with a sequence of tokens share: their search, their metrics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.construct import construct
from seqlab.errors import OptionError
from seqlab.heads.base import Head, refuse_options
from seqlab.heads.metrics import ErrorRate, Outcome, SequenceAccuracy
from seqlab.heads.search import Answers
from seqlab.schema import Name, checked
from seqlab.types import Batch, Encoded, EncoderInfo, TargetInfo


class Found(NamedTuple):
    """Answers, and which of them were cut at their limit, ``[B]`` bool; None without a limit."""

    answers: Answers
    cut: Tensor | None = None


class TokensHead(Head):
    """A head whose answers are found by a search.

    A subclass writes ``begin``, ``loss_after`` and ``answer``; what ``begin`` computes from the
    encoder's output serves loss and search alike.

    Args:
        encoder: the sizes of what the encoder hands over.
        target: of kind ``tokens``, with ``bos`` and ``eos``.
        search: how ``predict`` finds answers.
        validation_search: how ``measure`` does, unless ``final``.
        token_name: what the metrics call a token.
        sequence_name: what they call a sequence.
        metrics: further registered metrics.

    Raises:
        OptionError: an option does not fit, or the target lacks its marks.
    """

    needs = ("tokens",)
    #: The options of ``answer`` that a call of ``predict`` may give.
    answer_options: ClassVar[tuple[str, ...]] = ()

    @checked
    def __init__(
        self,
        encoder: EncoderInfo,
        target: TargetInfo,
        *,
        search: Any = "greedy",
        validation_search: Any = "greedy",
        token_name: Name = "token",  # noqa: S107 - a word for the metrics
        sequence_name: Name = "sequence",
        metrics: Sequence[Any] = (),
    ) -> None:
        super().__init__(encoder, target, metrics=metrics)
        self.bos, self.eos = _marks(target)
        self.search = self.make_search(search, "head.search")
        self.validation_search = self.make_search(validation_search, "head.validation_search")
        self.token_name, self.sequence_name = token_name, sequence_name
        self.monitor = (f"{token_name}_error_rate", "min")

    @abstractmethod
    def begin(self, encoded: Encoded) -> Any:
        """What loss and search both start from."""

    @abstractmethod
    def loss_after(self, begun: Any, encoded: Encoded, batch: Batch) -> Tensor:
        """The training loss."""

    @abstractmethod
    def answer(self, search: Any, begun: Any, encoded: Encoded, **options: Any) -> Found:
        """One answer a row."""

    def make_search(self, spec: Any, where: str) -> Any:
        """A search from its spec."""
        return construct("search", spec, where=where)

    def loss(self, encoded: Encoded, batch: Batch) -> Tensor:
        """See ``Head.loss``."""
        return self.loss_after(self.begin(encoded), encoded, batch)

    def predict(self, encoded: Encoded, **options: Any) -> list[dict[str, Any]]:
        """See ``Head.predict``.

        Args:
            encoded: from the encoder.
            **options: ``search`` (a spec) and those of ``answer_options``, in place of the head's.
        """
        refuse_options(self, options, ("search", *self.answer_options))
        chosen = options.pop("search", None)
        search = self.search if chosen is None else self.make_search(chosen, "search")
        with torch.no_grad():
            answers, cut = self.answer(search, self.begin(encoded), encoded, **options)
        columns = [answers.to_lists(), answers.score.tolist()]
        names = ["tokens", "score"]
        if cut is not None:
            columns, names = [*columns, cut.tolist()], [*names, "cut"]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def metrics(self) -> dict[str, Metric]:
        """See ``Head.metrics``."""
        return self.with_chosen(self.own_metrics())

    def own_metrics(self) -> dict[str, Metric]:
        """Error rates and accuracy of the answers."""
        target = self.target_info
        return {
            f"{self.token_name}_error_rate": ErrorRate(target),
            f"{self.sequence_name}_error_rate": ErrorRate(target, level="sequence"),
            f"{self.sequence_name}_accuracy": SequenceAccuracy(target),
        }

    def measure(
        self, metrics: Mapping[str, Metric], encoded: Encoded, batch: Batch, *, final: bool = False
    ) -> Tensor:
        """See ``Head.measure``; rows without references are held against their target."""
        begun = self.begin(encoded)
        search = self.search if final else self.validation_search
        with torch.no_grad():
            answers, cut = self.answer(search, begun, encoded)
        references = batch.references
        if references is None:
            target, lengths = self.target_of(batch).tolist(), self.target_lengths(batch).tolist()
            references = [[row[:n]] for row, n in zip(target, lengths, strict=True)]
        outcome = Outcome(answers.to_lists(), references, cut=cut)
        for metric in metrics.values():
            metric.update(outcome)
        return self.loss_after(begun, encoded, batch)

    def target_lengths(self, batch: Batch) -> Tensor:
        """``[B]``: the tokens of each row's target."""
        target = self.target_of(batch)
        if batch.target_lengths is None:
            return target.new_full((target.shape[0],), target.shape[1])
        return batch.target_lengths


def _marks(target: TargetInfo) -> tuple[int, int]:
    if target.bos is None or target.eos is None:
        raise OptionError("a target of kind 'tokens' needs bos and eos, the ids of its two marks")
    for name, mark in (("bos", target.bos), ("eos", target.eos)):
        if not 0 <= mark < target.size:
            raise OptionError(f"{name} is {mark}, outside of the {target.size} target tokens")
    return target.bos, target.eos
