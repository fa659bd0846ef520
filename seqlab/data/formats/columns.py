"""Tagged text with a token a line: conll and iob."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, BinaryIO, Literal

from seqlab.data.formats.base import Format, Numbered
from seqlab.data.formats.lines import stripped_lines
from seqlab.data.splitting import words_of
from seqlab.errors import DataError
from seqlab.schema import Rule, checked

_DEFAULT = {"tokens": 0, "tags": -1}
_IOB = re.compile(r"O|[BIES]-\S+")
#: How a comment looks: a mark with a space or nothing behind it.
_COMMENT = re.compile(r"(#+|//+|%+)( |$)")

#: A mark of comments.
Mark = Annotated[str, Rule(bool, "the mark that comment lines begin with, such as '# '")]
#: The cells of a token, and the line they stand in.
Token = tuple[int, list[str]]


class CoNLLFormat(Format):
    """A token a line, a blank line between sentences; ``-DOCSTART-`` lines are passed over.

    A line is cut at tabs if it has any, else at spaces; other white space is part of a token.

    Args:
        columns: name to position (negative: from the right), by default
            ``{tokens: 0, tags: -1}``.
        ragged: accept lines with different numbers of columns.
        comment: what a comment line before a sentence begins with, such as ``"# "``; false says
            that there are none. Unless given, a line that looks like one is refused.

    Raises:
        ConfigError: an option has a wrong value.
    """

    @checked
    def __init__(
        self,
        *,
        columns: Mapping[str, int] | None = None,
        ragged: bool = False,
        comment: Mark | Literal[False] | None = None,
    ) -> None:
        self._own_columns = bool(columns)
        self._columns = dict(columns) if columns else _DEFAULT
        self._ragged, self._comment = ragged, comment

    @staticmethod
    def example() -> bytes:
        """Two sentences."""
        return b"Ada B-PER\nmet O\n\nBob B-PER\n"

    def read(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """A row for each sentence: a list of strings for each column."""
        for sentence in self._sentences(stream, file):
            yield sentence.line, self._row(sentence, file, self._columns)

    def inputs(self, stream: BinaryIO, file: str) -> Iterator[tuple[int, Any]]:
        """The rows; lines with tokens alone will do unless ``columns`` says otherwise."""
        for sentence in self._sentences(stream, file):
            bare = not self._own_columns and all(len(cells) == 1 for _, cells in sentence.tokens)
            places = {"tokens": 0} if bare else self._columns
            yield sentence.line, self._row(sentence, file, places)

    def _sentences(self, stream: BinaryIO, file: str) -> Iterator[_Sentence]:
        width: int | None = None
        sentence = _Sentence()
        for line, text in stripped_lines(stream, file):
            if not text or text.startswith("-DOCSTART-"):
                if sentence.tokens:
                    yield sentence
                sentence = _Sentence()
                continue
            cells = text.split("\t") if "\t" in text else words_of(text)
            try:
                if self._is_comment(text, cells, width, sentence, f"{file} line {line}"):
                    continue
                width = width or len(cells)
                self._check_width(len(cells), width, f"{file} line {line}")
            except DataError as error:
                sentence.problem = sentence.problem or error
            sentence.tokens.append((line, cells))
        if sentence.tokens:
            yield sentence

    def _check_width(self, count: int, width: int, where: str) -> None:
        if count != width and not self._ragged:
            raise DataError(f"{where}: {count} columns, the lines before have {width}")

    def _is_comment(
        self, text: str, cells: list[str], width: int | None, sentence: _Sentence, where: str
    ) -> bool:
        """Whether a line is a comment.

        Raises:
            DataError: it may be one or not.
        """
        if isinstance(self._comment, str) and text.startswith(self._comment):
            if not sentence.tokens or len(cells) != width:
                return True
            raise DataError(
                f"{where}: begins as a comment does ({self._comment!r}) inside a sentence, and "
                f"has as many columns as a token; choose another source.format.comment"
            )
        looks = self._comment is None and not sentence.tokens and _COMMENT.match(text)
        if not looks:
            return False
        raise DataError(
            f"{where}: looks like a comment ({text[:40]!r}); pass such lines over with "
            f"source.format={{name: conll, comment: {looks[0]!r}}}, or say comment: false if it "
            "is a token"
        )

    def _row(self, sentence: _Sentence, file: str, places: Mapping[str, int]) -> Any:
        """The columns of a sentence, or the error of its first bad line."""
        if sentence.problem is not None:
            return sentence.problem
        try:
            return self._checked_row(sentence.tokens, file, places)
        except DataError as error:
            return error

    def _checked_row(
        self, tokens: list[Token], file: str, places: Mapping[str, int]
    ) -> dict[str, list[str]]:
        width = 0
        for line, cells in tokens:
            if len(cells) != width:
                width = len(cells)
                _check_places(places, width, f"{file} line {line}")
        row = {name: [cells[place] for _, cells in tokens] for name, place in places.items()}
        for name, values in row.items():
            if "" in values:
                line = tokens[values.index("")][0]
                raise DataError(f"{file} line {line}: the column '{name}' is empty")
        for (line, _), tag in zip(tokens, row.get("tags", ()), strict=False):
            self._check_tag(tag, f"{file} line {line}")
        return row

    def _check_tag(self, tag: str, where: str) -> None:
        """Refuse a tag; for subclasses."""


class _Sentence:
    """The tokens of a sentence so far, and what is wrong with the first bad line."""

    def __init__(self) -> None:
        self.tokens: list[Token] = []
        self.problem: DataError | None = None

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.tokens[0][0]


def _check_places(places: Mapping[str, int], width: int, where: str) -> None:
    for name, place in places.items():
        if not -width <= place < width:
            raise DataError(f"{where}: {width} columns, none at position {place} ('{name}')")
    if len(places) > 1 and len({place % width for place in places.values()}) == 1:
        raise DataError(
            f"{where}: {width} column, but {', '.join(places)} need one each; name those there "
            "are, as columns: {tokens: 0}"
        )


class IOBFormat(CoNLLFormat):
    """As ``conll``, and every tag is ``O`` or one of ``B- I- E- S-`` with a type.

    Args:
        columns: as for ``conll``.
        ragged: as for ``conll``.
        comment: as for ``conll``.

    Raises:
        ConfigError: an option has a wrong value.
    """

    def _check_tag(self, tag: str, where: str) -> None:
        if not _IOB.fullmatch(tag):
            raise DataError(f"{where}: {tag!r} is no IOB tag (O, B-TYPE, I-TYPE)")
