"""What a tokenizer is: text to ids and back, learnt from the training texts alone."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from tokenizers import normalizers

from seqlab.data.ragged import Ragged
from seqlab.data.restoring import restoring
from seqlab.data.tokenizers.marks import INPUT_MARKS, UNK
from seqlab.errors import DataError, OptionError
from seqlab.files import read_json, write_json
from seqlab.registry import spoken
from seqlab.schema import Count, Flag

#: Files larger than this are refused unread.
MAX_TOKENIZER_BYTES = 256 * 2**20

#: A way to go through all training texts, as often as needed.
Texts = Callable[[], Iterable[Sequence[Any]]]


class VocabularyError(DataError):
    """The training texts and a tokenizer's options leave nothing to learn from."""


class Tokenizer(ABC):
    """Text to ids and back.

    An author writes ``learn``, ``encode``, ``decode``, ``entry``, ``size`` and the pair
    ``content`` and ``restore``. Ids below ``len(marks)`` are the marks' alone: no text is ever
    encoded as one, except that what is unknown is ``<unk>``, id 1.

    Args:
        marks: the entries with the first ids, in order: ``<pad>``, ``<unk>``, and for targets
            ``<bos>`` and ``<eos>``.
        max_length: cut after so many ids.
        lowercase: lower the case of the text first.
        normalization: the Unicode form that texts are brought to first, so that an e with an
            acute accent is the same character however it was typed (Unicode Standard Annex 15).
            ``nfc`` composes, ``nfd`` takes apart, ``nfkc`` and ``nfkd`` also replace characters
            that only look different, such as ligatures and full-width letters; ``none`` leaves
            text as it is.

    Attributes:
        spec: the name and all options, as ``build_tokenizer`` had them.
        added: how many of the last entries ``add_words`` has put there.
    """

    #: What ``encode`` is given: ``text`` (strings) or ``tokens`` (lists of strings).
    takes: ClassVar[Literal["text", "tokens"]] = "text"
    #: What people call one entry.
    unit: ClassVar[str] = "token"
    #: Whether ``learn`` goes over the texts once, in Python: others can then learn beside it.
    learns_in_one_pass: ClassVar[bool] = False

    def __init__(
        self,
        marks: Sequence[str] = INPUT_MARKS,
        *,
        max_length: Count | None = None,
        lowercase: Flag = False,
        normalization: Literal["nfc", "nfd", "nfkc", "nfkd", "none"] = "nfc",
    ) -> None:
        self.spec: dict[str, Any] = {}
        self.added = 0
        self.marks = tuple(marks)
        self.max_length = max_length
        self.lowercase = lowercase
        self.normalization = normalization
        self._form: Any = None if normalization == "none" else normalization.upper()
        self._lower: Callable[[str], str] = normalizers.Lowercase().normalize_str

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of ids, those of the marks included."""

    @abstractmethod
    def learn(self, texts: Texts) -> None:
        """Learn from the training texts: the same texts give the same ids, always.

        Args:
            texts: gives all of them in chunks; may be called more than once.

        Raises:
            VocabularyError: nothing can be learnt from them with these options.
        """

    @abstractmethod
    def encode(self, texts: Sequence[Any]) -> Ragged:
        """``[T]`` ids for each text; what is unknown becomes ``<unk>``."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Ids to text; marks are left out, except ``<unk>``."""

    @abstractmethod
    def entry(self, index: int) -> str:
        """What an id stands for; ``<unk>`` for an id out of range."""

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """What was learnt, as plain JSON values."""

    @abstractmethod
    def restore(self, content: Mapping[str, Any]) -> None:
        """Take what ``content`` gave; the values come from a file and are checked.

        Raises:
            BundleError: they are not what this tokenizer writes.
        """

    def go_on_from(self, earlier: Tokenizer, *, grow: bool) -> None:
        """Take the entries of an earlier tokenizer, in its order; called after ``learn``.

        Args:
            earlier: cuts text as this one does.
            grow: put what was learnt here and is new behind them; else there are only those.

        Raises:
            OptionError: this tokenizer cannot, or the earlier one cuts text otherwise.
        """
        del grow
        raise OptionError(
            f"{spoken('tokenizer', self)} cannot go on from the vocabulary of "
            f"{spoken('tokenizer', earlier)}; use start.vocabulary=new"
        )

    def add_words(self, words: Iterable[str], most: int | None = None) -> None:
        """Put words that were not learnt behind the entries; called after ``learn``.

        Args:
            words: in the order of their ids; those that a text can never be cut into are left out.
            most: no more than so many are put there.

        Raises:
            OptionError: this tokenizer's entries are not words.
        """
        del words, most
        raise OptionError(
            f"{spoken('tokenizer', self)} has no words to add to; choose words, or a feature "
            "of kind tokens"
        )

    def normalize(self, text: str) -> str:
        """A text in the Unicode form and the case that were asked for."""
        if text.isascii():
            return text.lower() if self.lowercase else text
        if self._form is not None:
            text = unicodedata.normalize(self._form, text)
        return self._lower(text) if self.lowercase else text

    def mark_id(self, mark: str) -> int | None:
        """The id of a mark, or None where this vocabulary has it not."""
        return self.marks.index(mark) if mark in self.marks else None

    def readable(self, ids: Sequence[int]) -> list[str]:
        """The entries of ids without those of marks, except ``<unk>``."""
        shown = (index for index in ids if index >= len(self.marks) or self.is_unknown(index))
        return [self.entry(index) for index in shown]

    def is_unknown(self, index: int) -> bool:
        """Whether an id is that of ``<unk>``."""
        return 0 <= index < len(self.marks) and self.marks[index] == UNK

    def pieces_of(self, text: Any) -> list[str] | None:
        """What each id of an encoded text stands for; None where ids are no pieces of it."""
        del text
        return None

    def unknown_in(self, text: Any) -> list[str]:
        """The pieces of a text that become ``<unk>``; the text itself where these are not told."""
        ids: list[int] = self.encode([text]).row(0).tolist()
        unknown = [place for place, index in enumerate(ids) if self.is_unknown(index)]
        pieces = self.pieces_of(text)
        if pieces is None or len(pieces) < len(ids):
            return [str(text)] if unknown else []
        return [pieces[place] for place in unknown]

    def decode_with(self, ids: Sequence[int], written: Mapping[int, str]) -> str:
        """As ``decode``, with other pieces at some places, where that can be done."""
        del written
        return self.decode(ids)

    def save(self, path: Path) -> None:
        """Write what was learnt."""
        write_json(path, self.content(), indent=1)

    def load(self, path: Path) -> None:
        """Read what ``save`` wrote.

        Raises:
            BundleError: the file is missing, damaged, too large, or of another tokenizer.
        """
        content = read_json(path, MAX_TOKENIZER_BYTES)
        with restoring(path, f"a file of {spoken('tokenizer', self)}"):
            self.restore(content)
