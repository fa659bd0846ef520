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
from seqlab.heads.pointer import UNK, with_copied_ids
from seqlab.heads.search import Answers
from seqlab.heads.search_rules import NEVER
from seqlab.schema import Count, Name, check_value, checked
from seqlab.types import Batch, Encoded, EncoderInfo, TargetInfo


class Found(NamedTuple):
    """The answers of a batch.

    ``several`` are the best answer of each row, the second of each row, and so on; ``cut [B]``
    says which of the best reached their limit, None without a limit; ``copied`` are, for each of
    ``several`` and each row, what the answer says of copied tokens, None for nothing.
    """

    several: Sequence[Answers]
    cut: Tensor | None = None
    copied: Sequence[Sequence[Any]] | None = None

    @property
    def best(self) -> Answers:
        """The best answer of each row."""
        return self.several[0]

    def alternatives(self) -> list[list[dict[str, Any]]]:
        """For each row all its answers, best first."""
        rows: list[list[dict[str, Any]]] = [[] for _ in self.best.lengths]
        for k in range(len(self.several)):
            for row, one in zip(rows, self.answers(k), strict=True):
                if one["score"] > NEVER:
                    row.append(one)
        return rows

    def answers(self, k: int = 0) -> list[dict[str, Any]]:
        """For each row the k-th of its answers."""
        one = self.several[k]
        columns: dict[str, Any] = {"tokens": one.to_lists(), "score": one.score.tolist()}
        if self.copied is not None:
            columns["copied"] = self.copied[k]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


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
    def answer(
        self, search: Any, begun: Any, encoded: Encoded, *, n_best: int = 1, **options: Any
    ) -> Found:
        """The ``n_best`` best answers of each row."""

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
            **options: ``search`` (a spec) and those of ``answer_options``, in place of the head's;
                ``n_best``, a number: ``alternatives`` then holds so many answers, best first, each
                with ``tokens`` and ``score`` (fewer, where the search closed fewer).
        """
        refuse_options(self, options, ("search", "n_best", *self.answer_options))
        chosen = options.pop("search", None)
        several = check_value(options.pop("n_best", None), Count | None, "n_best")
        search = self.search if chosen is None else self.make_search(chosen, "search")
        with torch.no_grad():
            begun = self.begin(encoded)
            found = self.answer(search, begun, encoded, n_best=several or 1, **options)
        answers = found.answers()
        if found.cut is not None:
            answers = [
                {**a, "cut": cut} for a, cut in zip(answers, found.cut.tolist(), strict=True)
            ]
        if several is not None:
            more = found.alternatives()
            answers = [{**a, "alternatives": m} for a, m in zip(answers, more, strict=True)]
        return answers

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
            found = self.answer(search, begun, encoded)
        references = batch.references
        if references is None:
            target, lengths = self.target_of(batch).tolist(), self.target_lengths(batch).tolist()
            references = [[row[:n]] for row, n in zip(target, lengths, strict=True)]
        answers, tokens = found.best.to_lists(), batch.source_tokens
        if found.copied is not None and tokens is not None:
            beyond = self.target_info.size + 1
            answers = with_copied_ids(answers, found.copied[0], tokens, beyond)
        references = self._unequalled(references)
        outcome = Outcome(answers, references, cut=found.cut, tokens=tokens)
        for metric in metrics.values():
            metric.update(outcome)
        return self.loss_after(begun, encoded, batch)

    def _unequalled(self, references: list[list[list[int]]]) -> list[list[list[int]]]:
        """With an id beyond the vocabulary for ``<unk>``: no answer writes an unknown word."""
        if UNK in (self.bos, self.eos):
            return references
        beyond = self.target_info.size
        return [
            [[beyond if token == UNK else token for token in one] for one in accepted]
            for accepted in references
        ]

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
