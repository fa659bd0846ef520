"""A sequence of another vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from seqlab.data import raw_columns
from seqlab.data.encoded import References
from seqlab.data.part import Column
from seqlab.data.ragged import Ragged
from seqlab.data.raw_columns import Where
from seqlab.data.targets.base import Target
from seqlab.data.tokenizers.base import Tokenizer
from seqlab.data.tokenizers.build import build_tokenizer
from seqlab.data.tokenizers.marks import BOS, EOS, TARGET_MARKS
from seqlab.schema import Name
from seqlab.types import TargetInfo


class TextTarget(Target):
    """A text, as ids of a vocabulary of its own, without begin and end marks.

    Args:
        column: the column of the data set.
        tokenizer: the name of a registered one, or a mapping with ``name`` and its options.
        references: a column with the list of all accepted answers.
    """

    layout = "sequence"
    tokenizer: Tokenizer

    def __init__(
        self,
        column: str,
        *,
        tokenizer: str | Mapping[str, Any] = "words",
        references: Name | None = None,
    ) -> None:
        super().__init__(column)
        self.tokenizer = build_tokenizer(tokenizer, TARGET_MARKS)
        self.references = references

    @property
    def info(self) -> TargetInfo:
        """``tokens``: the vocabulary's size and its begin and end ids."""
        mark_id = self.tokenizer.mark_id
        return TargetInfo("tokens", self.tokenizer.size, bos=mark_id(BOS), eos=mark_id(EOS))

    def fit(self, values: Column) -> None:
        """With a vocabulary of the training rows."""

        def checked() -> Iterable[Sequence[str]]:
            for chunk, where in values():
                yield raw_columns.texts(chunk, self.column, where)

        self.learn_tokens(self.tokenizer, checked)

    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """``[U]`` ids for each row."""
        texts = raw_columns.texts(values, self.column, where)
        return self.tokenizer.encode(texts).truncate(self.tokenizer.max_length)

    def encode_references(self, values: Sequence[Any], where: Where) -> References:
        """Each row's accepted answers as ids; a string is one answer."""
        column = self.references or self.column
        lists = [[value] if isinstance(value, str) else value for value in values]
        for row, answers in enumerate(lists):
            good = isinstance(answers, (list, tuple)) and not set(map(type, answers)) - {str}
            if not good or not answers:
                raise raw_columns.refuse(where(row), column, "a list of accepted answers", answers)
            raw_columns.texts(answers, column, partial(_same_row, where, row))
        flat = self.tokenizer.encode(list(chain.from_iterable(lists)))
        ids = [flat.row(index).tolist() for index in range(len(flat))]
        ends = np.cumsum([len(answers) for answers in lists]).tolist()
        return [ids[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def decode(self, prediction: Any) -> str:
        """The text up to the end mark; a prediction is a list of ids."""
        ids = [int(index) for index in prediction]
        eos = self.info.eos
        return self.tokenizer.decode(ids[: ids.index(eos)] if eos in ids else ids)


def _same_row(where: Where, row: int, _: int) -> str:
    return where(row)
