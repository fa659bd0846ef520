"""Tagged text: conll and its relatives, and word/tag lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from seqlab.data.formats.lines import stripped_lines
from seqlab.errors import ConfigError, DataError

_IOB = re.compile(r"O|[BIES]-\S+")
_CONLLU_COLUMNS = 10
_CONLLU_TAGS = {"upos": 3, "xpos": 4}
_BROWN_MARKS = re.compile(r"(?<=.)-(tl|hl|nc|n)\b.*$")
_PUNCTUATION_TAGS = ("--", "``", "''")


def read_conll(
    stream: BinaryIO,
    file: str,
    *,
    columns: Mapping[str, int] | None = None,
    ragged: bool = False,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """A token a line, a blank line between sentences; ``-DOCSTART-`` lines are passed over.

    Args:
        stream: the open file.
        file: its name, for errors.
        columns: name to position (negative: from the right), by default
            ``{tokens: 0, tags: -1}``. A line is split at tabs if it has any, else at spaces.
        ragged: accept lines with different numbers of columns.

    Yields:
        The first line of a sentence, and a list of strings for each column.

    Raises:
        DataError: lines of a file differ in their number of columns.
        ConfigError: a position is no whole number.
    """
    places = dict(columns) if columns else {"tokens": 0, "tags": -1}
    for name, place in places.items():
        if not isinstance(place, int) or isinstance(place, bool):
            raise ConfigError(f"source.format.columns.{name}: expected a position, got {place!r}")
    width, first = None, 0
    sentence: list[list[str]] = []
    for line, text in stripped_lines(stream, file):
        if not text or text.startswith("-DOCSTART-"):
            if sentence:
                yield first, _transpose(sentence, places)
            sentence = []
            continue
        cells = text.split("\t") if "\t" in text else text.split()
        if width is None or (ragged and len(cells) != width):
            width = len(cells)
            _check_places(places, width, f"{file} line {line}")
        if len(cells) != width:
            raise DataError(
                f"{file} line {line}: {len(cells)} columns, the lines before have {width}"
            )
        first = first if sentence else line
        sentence.append(cells)
    if sentence:
        yield first, _transpose(sentence, places)


def _check_places(places: Mapping[str, int], width: int, where: str) -> None:
    for name, place in places.items():
        if not -width <= place < width:
            raise DataError(f"{where}: {width} columns, none at position {place} ('{name}')")
    if len(places) > 1 and len({place % width for place in places.values()}) == 1:
        raise DataError(f"{where}: {width} column, but {', '.join(places)} need one each")


def _transpose(sentence: list[list[str]], places: Mapping[str, int]) -> dict[str, Any]:
    return {name: [cells[place] for cells in sentence] for name, place in places.items()}


def read_iob(
    stream: BinaryIO,
    file: str,
    *,
    columns: Mapping[str, int] | None = None,
    ragged: bool = False,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """As ``conll``, and every tag is ``O`` or one of ``B- I- E- S-`` with a type.

    Raises:
        DataError: as ``conll``, or a tag is none of these.
    """
    for line, row in read_conll(stream, file, columns=columns, ragged=ragged):
        for step, tag in enumerate(row.get("tags", [])):
            if not _IOB.fullmatch(tag):
                raise DataError(
                    f"{file} line {line + step}: {tag!r} is no IOB tag (O, B-TYPE, I-TYPE)"
                )
        yield line, row


def read_conllu(
    stream: BinaryIO, file: str, *, tags: str = "upos"
) -> Iterator[tuple[int, dict[str, Any]]]:
    """CoNLL-U (Universal Dependencies): words and their part of speech.

    Multiword ranges (``9-10``) and empty nodes (``8.1``) are left out. ``document`` is the
    last ``newdoc id``, or ``sent_id`` up to its last hyphen.

    Args:
        stream: the open file.
        file: its name, for errors.
        tags: ``upos`` or ``xpos``.

    Raises:
        DataError: a line has not ten columns.
        ConfigError: ``tags`` is neither.
    """
    if tags not in _CONLLU_TAGS:
        raise ConfigError(f"source.format.tags: expected upos or xpos, got {tags!r}")
    sentence = _Sentence(_CONLLU_TAGS[tags])
    for line, text in stripped_lines(stream, file):
        if text.startswith("#"):
            sentence.comment(text)
        elif text:
            sentence.word(text.split("\t"), line, file)
        elif sentence.tokens:
            yield sentence.finish()
    if sentence.tokens:
        yield sentence.finish()


class _Sentence:
    """Collects the lines of one CoNLL-U sentence."""

    def __init__(self, tag_column: int) -> None:
        self._tag_column = tag_column
        self._document: str | None = None
        self._identity = ""
        self._line = 0
        self.tokens: list[str] = []
        self.tags: list[str] = []

    def comment(self, text: str) -> None:
        key, _, value = text.lstrip("# ").partition("=")
        if key.strip() == "newdoc id":
            self._document = value.strip()
        elif key.strip() == "sent_id":
            self._identity = value.strip()

    def word(self, cells: list[str], line: int, file: str) -> None:
        if len(cells) != _CONLLU_COLUMNS:
            raise DataError(
                f"{file} line {line}: {len(cells)} columns, CoNLL-U has {_CONLLU_COLUMNS} "
                "with tabs between them"
            )
        if cells[0].isdigit():
            self._line = self._line if self.tokens else line
            self.tokens.append(cells[1])
            self.tags.append(cells[self._tag_column])

    def finish(self) -> tuple[int, dict[str, Any]]:
        document = self._document or self._identity.rpartition("-")[0]
        row = {"tokens": self.tokens, "tags": self.tags, "document": document}
        self.tokens, self.tags, self._identity = [], [], ""
        return self._line, row


def read_slash_tags(
    stream: BinaryIO, file: str, *, tags: str = "full"
) -> Iterator[tuple[int, dict[str, Any]]]:
    """A sentence a line, written ``word/tag word/tag``; the last slash counts.

    Args:
        stream: the open file.
        file: its name, for errors.
        tags: ``full``, or ``base``: the Brown corpus' tags without the marks of headlines,
            titles, cited and foreign words (``-hl -tl -nc fw-``), and for a contraction such
            as ``ppss+ber`` (they're) the tag of its first word.

    Raises:
        DataError: a word has no tag.
        ConfigError: ``tags`` is neither.
    """
    if tags not in ("full", "base"):
        raise ConfigError(f"source.format.tags: expected full or base, got {tags!r}")
    for line, text in stripped_lines(stream, file):
        if not text:
            continue
        row: dict[str, list[str]] = {"tokens": [], "tags": []}
        for item in text.split():
            token, slash, tag = item.rpartition("/")
            if not (token and slash and tag):
                raise DataError(f"{file} line {line}: {item!r} is not written word/tag")
            row["tokens"].append(token)
            row["tags"].append(tag if tags == "full" else _base_tag(tag))
        yield line, row


def _base_tag(tag: str) -> str:
    if len(tag) == 1 or tag in _PUNCTUATION_TAGS:
        return tag
    return _BROWN_MARKS.sub("", tag.removeprefix("fw-").partition("+")[0]) or tag
