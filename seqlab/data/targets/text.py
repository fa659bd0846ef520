"""A sequence of another vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from seqlab.data import raw_columns
from seqlab.data.copied_tokens import same_entries, unknown_tokens, with_copied
from seqlab.data.encoded import Accepted, References
from seqlab.data.part import Column, ColumnPart
from seqlab.data.ragged import Ragged
from seqlab.data.raw_columns import Where
from seqlab.data.targets.base import Target
from seqlab.data.tokenizers.base import Tokenizer
from seqlab.data.tokenizers.build import build_tokenizer
from seqlab.data.tokenizers.marks import BOS, EOS, TARGET_MARKS
from seqlab.errors import OptionError, did_you_mean
from seqlab.schema import Flag, Name
from seqlab.types import TargetInfo


class TextTarget(Target):
    """A text, as ids of a vocabulary of its own, without begin and end marks.

    Args:
        column: the column of the data set.
        tokenizer: the name of a registered one, or a mapping with ``name`` and its options.
        references: a column with the list of all accepted answers.
        several: a cell of ``column`` may be such a list itself, whose first answer is learnt.
        copies: a feature whose tokens an answer may copy; for ``head.copy=true``.

    Raises:
        OptionError: there is no such feature, or it is not made of tokens.
    """

    layout = "sequence"
    tokenizer: Tokenizer

    def __init__(
        self,
        column: str,
        *,
        tokenizer: str | Mapping[str, Any] = "words",
        references: Name | None = None,
        several: Flag = False,
        copies: Name | None = None,
    ) -> None:
        super().__init__(column)
        self.tokenizer = build_tokenizer(tokenizer, TARGET_MARKS)
        self.references, self.copies = references, copies
        self.several = several
        if several and references is None:
            self.references = column
        self._source: ColumnPart | None = None

    def see(self, features: Sequence[ColumnPart]) -> None:
        """Take the feature that may be copied."""
        if self.copies is None:
            return
        named = {_name(feature): feature for feature in features}
        self._source = named.get(self.copies)
        if self._source is None:
            raise OptionError(
                f"data.target.copies: no feature is called '{self.copies}': "
                f"{did_you_mean(self.copies, named)}"
            )
        if self._source.tokenizer is None or getattr(self._source, "role", "step") != "step":
            raise OptionError(
                f"data.target.copies: feature '{self.copies}' has no token for each step; "
                "give one of kind text or tokens"
            )

    @property
    def info(self) -> TargetInfo:
        """``tokens``: the vocabulary's size, its begin and end ids, and what may be copied."""
        mark_id = self.tokenizer.mark_id
        info = TargetInfo("tokens", self.tokenizer.size, bos=mark_id(BOS), eos=mark_id(EOS))
        source = None if self._source is None else self._source.tokenizer
        if source is None or self.copies is None:
            return info
        return replace(info, feature=self.copies, copies=same_entries(source, self.tokenizer))

    def fit(self, values: Column) -> None:
        """With a vocabulary of the training rows."""

        def checked() -> Iterable[Sequence[str]]:
            for chunk, where in values():
                if self.several:
                    yield list(chain.from_iterable(self._accepted(chunk, where)))
                else:
                    yield self._texts(chunk, where)

        self.learn_tokens(self.tokenizer, checked)

    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """``[U]`` ids for each row."""
        texts = self._texts(values, where)
        return self.tokenizer.encode(texts).truncate(self.tokenizer.max_length)

    def encode_references(self, values: Sequence[Any], where: Where) -> References:
        """Each row's accepted answers as ids; a string is one answer."""
        return self._ids(self._references(values, where))

    def accepted(self, columns: Mapping[str, Sequence[Any]], where: Where) -> Accepted:
        """With what may be copied; see ``Batch.source_tokens``."""
        if self._source is None:
            return super().accepted(columns, where)
        if self.references is not None and self.references in columns:
            answers = self._references(columns[self.references], where)
        else:
            answers = [[text] for text in self._texts(columns[self.column], where)]
        ids, sources = self._ids(answers), columns[self._source.column]
        tokens = unknown_tokens([self._source.tokens(value) for value in sources], self.tokenizer)
        if tokens is None:
            return Accepted(ids)
        return Accepted(with_copied(ids, answers, tokens, self.tokenizer), tokens)

    def _ids(self, answers: Sequence[Sequence[str]]) -> References:
        """Of each row's texts."""
        flat = self.tokenizer.encode(list(chain.from_iterable(answers)))
        ids = [flat.row(index).tolist() for index in range(len(flat))]
        ends = np.cumsum([len(texts) for texts in answers]).tolist()
        return [ids[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _references(self, values: Sequence[Any], where: Where) -> list[list[str]]:
        """The texts in the column of accepted answers."""
        column = self.references or self.column
        if column == self.column:
            lists = self._accepted(values, where)
        else:
            lists = [[value] if isinstance(value, str) else value for value in values]
        for row, answers in enumerate(lists):
            good = isinstance(answers, (list, tuple)) and not set(map(type, answers)) - {str}
            if not good or not answers:
                raise raw_columns.refuse(where(row), column, "a list of accepted answers", answers)
            raw_columns.texts(answers, column, partial(_same_row, where, row))
        return lists

    def _accepted(self, values: Sequence[Any], where: Where) -> list[list[str]]:
        """The accepted texts of each row that the target's own column has."""
        if not self.several:
            return [[text] for text in self._texts(values, where)]
        lists = raw_columns.accepted_lists(values, self.column, where)
        for row, accepted in enumerate(lists):
            raw_columns.texts(accepted, self.column, partial(_same_row, where, row))
        return lists

    def _texts(self, values: Sequence[Any], where: Where) -> Sequence[str]:
        """The text of each row that is learnt."""
        if self.several:
            return [accepted[0] for accepted in self._accepted(values, where)]
        values = raw_columns.one_answer(values, self.column, where, "text")
        return raw_columns.texts(values, self.column, where)

    def decode(self, prediction: Any) -> str:
        """The text up to the end mark; a prediction is a list of ids."""
        ids = [int(index) for index in prediction]
        eos = self.tokenizer.mark_id(EOS)
        return self.tokenizer.decode(ids[: ids.index(eos)] if eos in ids else ids)


def _same_row(where: Where, row: int, _: int) -> str:
    return where(row)


def _name(part: ColumnPart) -> str:
    """A feature's name, which the other column parts have not."""
    return str(getattr(part, "name", ""))
