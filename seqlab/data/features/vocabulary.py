"""Features of ids: texts, and tokens that are split already."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from seqlab.data import raw_columns
from seqlab.data.features.base import Feature, Role
from seqlab.data.part import Column
from seqlab.data.ragged import Ragged
from seqlab.data.raw_columns import Where
from seqlab.data.tokenizers.base import Tokenizer
from seqlab.data.tokenizers.build import build_tokenizer
from seqlab.data.tokenizers.marks import BOS, EOS, TARGET_MARKS
from seqlab.schema import Rule
from seqlab.types import FeatureInfo


class _VocabularyFeature(Feature):
    """Base of the features of ids; ``takes`` is what their tokenizer is given."""

    takes: Literal["text", "tokens"]
    tokenizer: Tokenizer

    def __init__(self, name: str, column: str, tokenizer: str | Mapping[str, Any]) -> None:
        super().__init__(name, column)
        self.tokenizer = build_tokenizer(tokenizer, takes=self.takes)
        self._ends: tuple[int, int] | None = None

    def mark_ends(self) -> None:
        """See the base class."""
        self.tokenizer = build_tokenizer(self.tokenizer.spec, TARGET_MARKS, takes=self.takes)
        self._ends = TARGET_MARKS.index(BOS), TARGET_MARKS.index(EOS)

    @abstractmethod
    def prepare(self, values: Sequence[Any], where: Where) -> Sequence[Any]:
        """Checked values, as the tokenizer takes them."""

    @property
    def info(self) -> FeatureInfo:
        """``ids``, and how many."""
        return FeatureInfo(self.name, "ids", self.tokenizer.size, self.role)

    def fit(self, values: Column) -> None:
        """With a vocabulary of the training rows."""

        def prepared() -> Iterable[Sequence[Any]]:
            for chunk, where in values():
                yield self.prepare(chunk, where)

        self.learn_tokens(self.tokenizer, prepared)

    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """``[T]`` ids for each row."""
        ids = self.tokenizer.encode(self.prepare(values, where))
        return ids if self._ends is None else ids.between(*self._ends)

    def unknown_in(self, value: Any) -> list[str]:
        """See the base class."""
        return self.tokenizer.unknown_in(self.prepare([value], lambda _: "input")[0])


class TextFeature(_VocabularyFeature):
    """A string a row, as ids of what a tokenizer makes of it.

    Args:
        name: the feature's name.
        column: the column of the data set.
        tokenizer: the name of a registered one, or a mapping with ``name`` and its options.
    """

    takes = "text"

    def __init__(
        self, name: str, column: str, *, tokenizer: str | Mapping[str, Any] = "words"
    ) -> None:
        super().__init__(name, column, tokenizer)

    def prepare(self, values: Sequence[Any], where: Where) -> Sequence[str]:
        """Checked texts."""
        return raw_columns.texts(values, self.column, where)

    def decode(self, values: Sequence[Any]) -> str:
        """The text."""
        return self.tokenizer.decode([int(index) for index in values])

    def tokens(self, value: Any) -> list[str] | None:
        """The pieces that the tokenizer cuts the text into."""
        return self.tokenizer.pieces_of(value)


def _is_transform(value: str) -> bool:
    name, _, size = value.partition(":")
    sized = size.isascii() and size.isdigit() and int(size) > 0
    return value in ("lower", "shape") or (name in ("suffix", "prefix") and sized)


#: A change of each token, by name.
Transform = Annotated[str, Rule(_is_transform, "lower, shape, suffix:N or prefix:N")]


class TokensFeature(_VocabularyFeature):
    """A list of strings a row (or one string, split into words), an id each.

    Args:
        name: the feature's name.
        column: the column of the data set.
        tokenizer: options of the tokenizer ``tokens``, or another that takes split text.
        transform: what is done to each token first: ``lower``, ``shape`` (``Aa-9``),
            ``suffix:N`` or ``prefix:N``.
        role: ``step``: a token a step; ``row``: the value is one token of the whole row, a
            category; ``ahead``: a token for each of the steps to come.
    """

    takes = "tokens"

    def __init__(
        self,
        name: str,
        column: str,
        *,
        tokenizer: str | Mapping[str, Any] = "tokens",
        transform: Transform | None = None,
        role: Role = "step",
    ) -> None:
        super().__init__(name, column, tokenizer)
        self._change = token_transform(transform)
        self.role = role

    def prepare(self, values: Sequence[Any], where: Where) -> Sequence[Sequence[str]]:
        """Checked and transformed token lists."""
        if self.role == "row":
            rows = [[text] for text in raw_columns.label_names(values, self.column, where)]
        else:
            rows = raw_columns.token_lists(values, self.column, where)
        return [list(map(self._looked_up, row)) for row in rows]

    def tokens(self, value: Any) -> list[str] | None:
        """The tokens as they stand in the row, whatever they are looked up as."""
        return list(raw_columns.token_lists([value], self.column, str)[0])

    def add_words(self, words: Iterable[str], most: int | None = None) -> None:
        """Of words that this feature looks up as they are."""
        super().add_words((word for word in words if self._looked_up(word) == word), most)

    def _looked_up(self, token: str) -> str:
        token = self.tokenizer.normalize(token)
        return token if self._change is None else self._change(token)

    def decode(self, values: Sequence[Any]) -> list[str]:
        """The tokens, after their transform."""
        return [self.tokenizer.entry(int(index)) for index in values]


def token_transform(name: str | None) -> Callable[[str], str] | None:
    """The function behind a transform's name.

    >>> token_transform("suffix:3")("walking"), token_transform("shape")("McDonald-2b")
    ('ing', 'AaAa-9a')
    """
    if name is None:
        return None
    if name == "lower":
        return str.lower
    if name == "shape":
        return _shape
    kind, _, digits = name.partition(":")
    size = int(digits)
    return partial(_suffix if kind == "suffix" else _prefix, size)


def _suffix(size: int, token: str) -> str:
    return token[-size:]


def _prefix(size: int, token: str) -> str:
    return token[:size]


def _shape(token: str) -> str:
    """Capitals as A, other letters as a, digits as 9, runs written once."""
    shape: list[str] = []
    for character in token:
        if character.isalpha():
            mark = "A" if character.isupper() else "a"
        else:
            mark = "9" if character.isdigit() else character
        if not shape or shape[-1] != mark:
            shape.append(mark)
    return "".join(shape)
