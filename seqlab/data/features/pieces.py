"""Features whose entries are sequences themselves: the characters of a word, a text of the row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np

from seqlab.data import raw_columns
from seqlab.data.features.base import Feature
from seqlab.data.part import Column
from seqlab.data.ragged import Ragged
from seqlab.data.raw_columns import Where
from seqlab.data.tokenizers.build import build_tokenizer
from seqlab.errors import OptionError
from seqlab.schema import Count
from seqlab.types import FeatureInfo

_SMALL = np.iinfo(np.int16).max


class _PiecesFeature(Feature):
    """Base of the features whose entries a model reads with an encoder of their own.

    An entry is ``[1 + longest]`` ids: how many pieces it has, and these.
    """

    def __init__(
        self, name: str, column: str, tokenizer: str | Mapping[str, Any], longest: int
    ) -> None:
        super().__init__(name, column)
        self.tokenizer = build_tokenizer(tokenizer, takes="text")
        if self.tokenizer.max_length is not None:
            raise OptionError("tokenizer.max_length: give longest instead")
        self.longest = longest

    @abstractmethod
    def entries(self, values: Sequence[Any], where: Where) -> list[list[str]]:
        """The texts of each row, checked: those of its steps, or one."""

    @abstractmethod
    def cut(self, pieces: Ragged) -> Ragged:
        """Entries of at most ``longest`` pieces."""

    @property
    def info(self) -> FeatureInfo:
        """``pieces``, and how many there are."""
        size = 0 if self.tokenizer is None else self.tokenizer.size
        return FeatureInfo(self.name, "pieces", size, self.role, longest=self.longest)

    def fit(self, values: Column) -> None:
        """With a vocabulary of the training rows."""

        def texts() -> Iterable[Sequence[str]]:
            for chunk, where in values():
                yield list(chain.from_iterable(self.entries(chunk, where)))

        if self.tokenizer is not None:
            self.learn_tokens(self.tokenizer, texts)

    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """``[T, 1 + longest]`` ids for each row."""
        rows = self.entries(values, where)
        pieces = self.cut(self._encoded(list(chain.from_iterable(rows))))
        codes = np.zeros((len(pieces), 1 + self.longest), dtype=self._type())
        codes[:, 0] = pieces.lengths
        step = np.arange(len(pieces.values)) - np.repeat(pieces.offsets[:-1], pieces.lengths)
        codes[np.repeat(np.arange(len(pieces)), pieces.lengths), 1 + step] = pieces.values
        return Ragged.from_flat(codes, [len(row) for row in rows])

    def _encoded(self, texts: list[str]) -> Ragged:
        if self.tokenizer is None or not texts:
            return Ragged.from_ids([[] for _ in texts])
        return self.tokenizer.encode(texts)

    def _type(self) -> type[np.signedinteger[Any]]:
        return np.int16 if max(self.info.size, self.longest) <= _SMALL else np.int32

    def _text(self, entry: Sequence[Any]) -> str:
        count, *ids = [int(index) for index in entry]
        return "" if self.tokenizer is None else self.tokenizer.decode(ids[:count])


class SpellingFeature(_PiecesFeature):
    """The characters of each token, which an encoder reads to a vector beside those of words.

    So words that training has not seen have vectors too (Ling et al. 2015; Ma and Hovy 2016). How
    they are read is said by ``encoder.embedding.features.NAME``, see ``seqlab.piece_reader``.

    Args:
        name: the feature's name.
        column: the column of the data set: lists of tokens.
        tokenizer: what a token is made of: ``chars``, or another that takes text.
        longest: of a token with more pieces, so many of its two ends are kept, half each.

    >>> feature = SpellingFeature("letters", "words", longest=4)
    >>> feature.fit(lambda: [([["ab", "a"]], "row {}".format)])
    >>> feature.encode([["ba", "abbbaa"]], "row {}".format).row(0).tolist()
    [[2, 3, 2, 0, 0], [4, 2, 3, 2, 2]]
    """

    def __init__(
        self,
        name: str,
        column: str,
        *,
        tokenizer: str | Mapping[str, Any] = "chars",
        longest: Count = 24,
    ) -> None:
        super().__init__(name, column, tokenizer, longest)

    def entries(self, values: Sequence[Any], where: Where) -> list[list[str]]:
        """See the base class."""
        return raw_columns.token_lists(values, self.column, where)

    def cut(self, pieces: Ragged) -> Ragged:
        """See the base class."""
        return _both_ends(pieces, self.longest)

    def decode(self, values: Sequence[Any]) -> list[str]:
        """The tokens."""
        return [self._text(entry) for entry in values]


class WholeTextFeature(_PiecesFeature):
    """A text of a length of its own, which an encoder reads to one vector beside every step.

    Such is a title beside a text, or a question beside a passage. How it is read is said by
    ``encoder.embedding.features.NAME``, see ``seqlab.piece_reader``.

    Args:
        name: the feature's name.
        column: the column of the data set: a text for each row.
        tokenizer: the name of a registered one that takes text, or a mapping with its options.
        longest: what comes after so many pieces is left out.
    """

    role: Literal["row"] = "row"

    def __init__(
        self,
        name: str,
        column: str,
        *,
        tokenizer: str | Mapping[str, Any] = "words",
        longest: Count = 200,
    ) -> None:
        super().__init__(name, column, tokenizer, longest)

    def entries(self, values: Sequence[Any], where: Where) -> list[list[str]]:
        """See the base class."""
        return [[text] for text in raw_columns.texts(values, self.column, where)]

    def cut(self, pieces: Ragged) -> Ragged:
        """See the base class."""
        return pieces.truncate(self.longest)

    def decode(self, values: Sequence[Any]) -> str:
        """The text."""
        return self._text(values[0])


def _both_ends(pieces: Ragged, longest: int) -> Ragged:
    """Long rows without their middle."""
    lengths = pieces.lengths
    if not len(lengths) or int(lengths.max()) <= longest:
        return pieces
    step = np.arange(len(pieces.values)) - np.repeat(pieces.offsets[:-1], lengths)
    first = longest - longest // 2
    behind = np.repeat(lengths, lengths) - step
    kept = (step < first) | (behind <= longest // 2) | (np.repeat(lengths, lengths) <= longest)
    return Ragged.from_flat(pieces.values[kept], np.minimum(lengths, longest))
