"""Tokenizers whose entries are counted in the training texts: characters, words, given tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from seqlab.data.ragged import Ragged
from seqlab.data.splitting import SPACES, words_of
from seqlab.data.tokenizers.base import Texts, VocabularyError
from seqlab.data.tokenizers.marks import INPUT_MARKS, UNK, UNK_ID, Escape
from seqlab.data.tokenizers.pipeline import Parts, PipelineTokenizer


class CountedTokenizer(PipelineTokenizer):
    """Base of the tokenizers that look pieces up in a table of those seen in training.

    Args:
        marks: the entries with the first ids.
        vocab_size: the most entries, marks included: the most frequent ones; null for no limit.
        min_count: pieces seen less often in training become ``<unk>``.
        **options: those of ``Tokenizer``.
    """

    learns_in_one_pass = True
    grows = True
    #: What stands between two pieces of a text.
    between: ClassVar[str] = " "

    def __init__(self, marks: Sequence[str] = INPUT_MARKS, **options: Any) -> None:
        super().__init__(marks, **options)
        self.escape = Escape()
        self._ids: dict[str, int] = {}
        self._pieces: dict[int, str] = {}

    def cuts_like(self, earlier: PipelineTokenizer) -> bool:
        """Words, and tokens that are split already, are of one kind."""
        return isinstance(earlier, CountedTokenizer) and self.unit == earlier.unit

    @abstractmethod
    def pieces(self, texts: Sequence[Any]) -> Iterable[Sequence[str]]:
        """The pieces of each text."""

    def learn(self, texts: Texts) -> None:
        """Count the pieces; the most frequent come first, equals by the alphabet."""
        counts: Counter[str] = Counter()
        for chunk in texts():
            counts.update(chain.from_iterable(self.pieces(chunk)))
        kept = most_frequent(counts, self.min_count)
        if self.vocab_size is not None:
            kept = kept[: max(0, self.vocab_size - len(self.marks))]
        if counts and not kept:
            self._refuse(counts)
        entries = [*self.marks, *map(self.escape, kept)]
        self.build({"vocab": {entry: index for index, entry in enumerate(entries)}})

    def _refuse(self, counts: Counter[str]) -> None:
        if self.vocab_size is not None and self.vocab_size <= len(self.marks):
            raise VocabularyError(
                f"vocab_size {self.vocab_size} leaves no room beside {len(self.marks)} marks"
            )
        raise VocabularyError(
            f"min_count={self.min_count} leaves nothing but <unk>: the most frequent of the "
            f"{len(counts)} entries in the training rows is there {max(counts.values())} times; "
            "lower min_count, or give more rows"
        )

    def add_words(self, words: Iterable[str], most: int | None = None) -> None:
        """See the base class."""
        if self.unit != "token":
            super().add_words(words, most)
        new: dict[str, None] = {}
        for word in words:
            if most is not None and len(new) >= most:
                break
            if word not in self._ids and self._cuts_to(word):
                new[word] = None
        vocab = dict(self.content()["model"]["vocab"])
        vocab.update({self.escape(word): index for index, word in enumerate(new, start=self.size)})
        self.build({"vocab": vocab})
        self.added = len(new)

    def _cuts_to(self, word: str) -> bool:
        """Whether a text of this word alone is this piece."""
        text: Any = [word] if self.takes == "tokens" else word
        return [list(pieces) for pieces in self.pieces([text])] == [[word]]

    def model(self, content: Mapping[str, Any]) -> Any:
        """A table."""
        return models.WordLevel(vocab=dict(content["vocab"]), unk_token=UNK)

    def build(self, content: Mapping[str, Any]) -> None:
        """See the base class."""
        super().build(content)
        vocab: Mapping[str, int] = content["vocab"]
        undo, marks = self.escape.undo, len(self.marks)
        self._ids = {undo(entry): index for entry, index in vocab.items() if index >= marks}
        self._pieces = {index: piece for piece, index in self._ids.items()}

    def entry(self, index: int) -> str:
        """What an id stands for; ``<unk>`` for an id out of range."""
        piece = self._pieces.get(index)
        return super().entry(index) if piece is None else piece

    def encode(self, texts: Sequence[Any]) -> Ragged:
        """``[T]`` ids for each text; what is unknown becomes ``<unk>``."""
        rows = list(self.pieces(texts))
        get = self._ids.get
        flat = [get(piece, UNK_ID) for piece in chain.from_iterable(rows)]
        return Ragged.from_flat(np.array(flat, dtype=np.int32), [len(row) for row in rows])

    def decode(self, ids: Sequence[int]) -> str:
        """Ids to text; marks are left out, except ``<unk>``."""
        return self.between.join(self.readable(ids))

    def pieces_of(self, text: Any) -> list[str]:
        """See the base class."""
        return [piece for pieces in self.pieces([text]) for piece in pieces]

    def decode_with(self, ids: Sequence[int], written: Mapping[int, str]) -> str:
        """See the base class."""
        parts = ([written[u]] if u in written else self.readable([i]) for u, i in enumerate(ids))
        return self.between.join(chain.from_iterable(parts))


def most_frequent(counts: Counter[str], min_count: int = 1) -> list[str]:
    """What was counted often enough, by count and then by the alphabet."""
    seen = [piece for piece, count in counts.items() if count >= min_count]
    return sorted(seen, key=lambda piece: (-counts[piece], piece))


class WordsTokenizer(CountedTokenizer):
    """Words: text cut at space, tab and line end, nowhere else.

    >>> words = WordsTokenizer(lowercase=True)
    >>> words.learn(lambda: [["The dog", "the <unk> cat"]])
    >>> words.encode(["THE cat <unk> barks"]).values.tolist(), words.decode([2, 3])
    ([2, 4, 3, 1], 'the <unk>')
    """

    def pieces(self, texts: Sequence[str]) -> list[list[str]]:
        """The words of each text."""
        return [words_of(self.normalize(text)) for text in texts]

    def parts(self) -> Parts:
        """See the base class."""
        blank = pre_tokenizers.Split(Regex(f"[{SPACES}]+"), "removed")
        return Parts(normalizers.Sequence([*self.steps(), *self.escape.steps()]), blank)

    def earlier_parts(self) -> Parts:
        """See the base class."""
        lower = normalizers.Lowercase() if self.lowercase else None
        return Parts(lower, pre_tokenizers.WhitespaceSplit())


class TokensTokenizer(CountedTokenizer):
    """Tokens that are split already, each looked up as it is.

    >>> tokens = TokensTokenizer()
    >>> tokens.learn(lambda: [[["New York", "is"], ["is", "<pad>"]]])
    >>> tokens.encode([["New York", "<pad>"]]).values.tolist()
    [4, 3]
    """

    takes: ClassVar[Literal["text", "tokens"]] = "tokens"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lower = str.lower

    def pieces(self, texts: Sequence[Sequence[str]]) -> Iterable[Sequence[str]]:
        """The tokens themselves; who makes them normalises them."""
        return texts

    def parts(self) -> Parts:
        """See the base class."""
        return Parts(normalizers.Sequence(self.escape.steps()))

    def earlier_parts(self) -> Parts:
        """See the base class."""
        return Parts()


class CharsTokenizer(CountedTokenizer):
    """Characters: one id for each Unicode code point, white space included.

    >>> chars = CharsTokenizer()
    >>> chars.learn(lambda: [["abba", "ab"]])
    >>> chars.encode(["abc"]).values.tolist(), chars.decode([2, 3])
    ([2, 3, 1], 'ab')
    """

    unit = "character"
    between = ""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._table: npt.NDArray[np.int32] = np.zeros(0, dtype=np.int32)

    def pieces(self, texts: Sequence[str]) -> Iterable[Sequence[str]]:
        """The characters of each text."""
        return map(self.normalize, texts)

    def parts(self) -> Parts:
        """See the base class."""
        steps = self.steps()
        every = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        return Parts(normalizers.Sequence(steps) if steps else None, every, decoders.Fuse())

    def earlier_parts(self) -> Parts:
        """See the base class."""
        return self.parts()._replace(normalizer=normalizers.Lowercase() if self.lowercase else None)

    def build(self, content: Mapping[str, Any]) -> None:
        """See the base class."""
        super().build(content)
        points = {ord(entry): index for entry, index in self._ids.items() if len(entry) == 1}
        self._table = np.full(max(points, default=0) + 2, UNK_ID, dtype=np.int32)
        self._table[list(points)] = list(points.values())

    def encode(self, texts: Sequence[str]) -> Ragged:
        """All characters of all texts in one look-up."""
        rows = list(map(self.normalize, texts))
        points = np.frombuffer("".join(rows).encode("utf-32-le"), dtype=np.uint32)
        # the table's last entry is <unk>, for every code point beyond it
        ids = self._table[np.minimum(points, len(self._table) - 1)]
        return Ragged.from_flat(ids, [len(row) for row in rows])
