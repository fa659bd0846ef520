"""Vocabularies: text to ids and back, each one a Hugging Face ``tokenizers.Tokenizer``.

The pipeline around a vocabulary (what splits, what lowers case) is chosen by the spec alone; a
file gives only the entries, and one that claims another pipeline is refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from seqlab.data.ragged import Ragged
from seqlab.data.spec import TokenizerSpec
from seqlab.data.storage import read_json, write_json
from seqlab.errors import BundleError, DataError

PAD, UNK, BOS, EOS = "<pad>", "<unk>", "<bos>", "<eos>"
INPUT_SPECIALS = (PAD, UNK)
TARGET_SPECIALS = (PAD, UNK, BOS, EOS)
_UNK_ID = 1
#: Files larger than this are refused unread.
MAX_TOKENIZER_BYTES = 256 * 2**20
_SCORE_DIGITS = 6
_ENTRIES = ("vocab", "merges")

#: A way to go through all training texts, as often as needed.
Texts = Callable[[], Iterable[Sequence[Any]]]


def _dress(model: Any, spec: TokenizerSpec) -> Tokenizer:
    """Put the spec's pipeline around a model."""
    tokenizer = Tokenizer(model)
    if spec.name == "tokens":
        return tokenizer
    if spec.lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    if spec.name == "chars":
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
    elif spec.name in ("bpe", "unigram"):
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        if spec.name == "wordpiece":
            tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _model(name: str, content: Mapping[str, Any]) -> Any:
    """A tokenizer model from entries that were trained here or read from a file."""
    if name == "bpe":
        merges = [tuple(merge) for merge in content["merges"]]
        return models.BPE(vocab=dict(content["vocab"]), merges=merges, unk_token=UNK, fuse_unk=True)
    if name == "unigram":
        entries = [(str(entry), float(score)) for entry, score in content["vocab"]]
        return models.Unigram(entries, unk_id=_UNK_ID, byte_fallback=False)
    if name == "wordpiece":
        return models.WordPiece(vocab=dict(content["vocab"]), unk_token=UNK)
    return models.WordLevel(vocab=dict(content["vocab"]), unk_token=UNK)


class Vocabulary:
    """Text to ids and back.

    Args:
        spec: which pipeline; the name ``tokens`` stands for text that is split already.
        content: the model's entries: ``vocab`` (and ``merges``), as in a tokenizer.json.
        specials: the entries with the first ids, in order; id 0 fills padding.

    >>> vocabulary = fit_vocabulary(TokenizerSpec("chars"), lambda: [["abba", "ab"]])
    >>> vocabulary.encode(["abc"]).values.tolist(), vocabulary.decode([2, 3])
    ([2, 3, 1], 'ab')
    """

    def __init__(
        self,
        spec: TokenizerSpec,
        content: Mapping[str, Any],
        specials: Sequence[str] = INPUT_SPECIALS,
    ) -> None:
        self.spec = spec
        self.specials = tuple(specials)
        self.tokenizer = _dress(_model(spec.name, content), spec)
        found = [self.tokenizer.token_to_id(special) for special in specials]
        if found != list(range(len(self.specials))):
            raise BundleError(f"the vocabulary must begin with {', '.join(specials)}")
        self._lookup: dict[str, int] = (
            self.tokenizer.get_vocab() if spec.name in ("tokens", "chars") else {}
        )
        self._code_points = self._code_point_table() if spec.name == "chars" else None

    @property
    def size(self) -> int:
        """The number of entries, special ones included."""
        return self.tokenizer.get_vocab_size()

    def id_of(self, entry: str) -> int | None:
        """The id of an entry, or None."""
        found: int | None = self.tokenizer.token_to_id(entry)
        return found

    def entry(self, index: int) -> str:
        """The entry with an id; ``<unk>`` for an id out of range."""
        found: str | None = self.tokenizer.id_to_token(index)
        return UNK if found is None else found

    def encode(self, values: Sequence[Any]) -> Ragged:
        """Texts (or lists of tokens) to ids; unknown entries become ``<unk>``."""
        if self.spec.name == "tokens":
            get = self._lookup.get
            flat = [get(token, _UNK_ID) for token in chain.from_iterable(values)]
            lengths = [len(tokens) for tokens in values]
            return Ragged.from_flat(np.array(flat, dtype=np.int32), lengths)
        if self._code_points is not None:
            fast = self._encode_chars(values, self._code_points)
            if fast is not None:
                return fast
        encodings = self.tokenizer.encode_batch_fast(list(values), add_special_tokens=False)
        return Ragged.from_ids([encoding.ids for encoding in encodings])

    def decode(self, ids: Sequence[int]) -> str:
        """Ids to text; special entries are left out, except ``<unk>``."""
        entries = [
            self.entry(index) for index in ids if index == _UNK_ID or index >= len(self.specials)
        ]
        if self.spec.name in ("words", "tokens"):
            return " ".join(entries)
        return str(self.tokenizer.decoder.decode(entries))

    def _code_point_table(self) -> npt.NDArray[np.int32]:
        single = {ord(entry): index for entry, index in self._lookup.items() if len(entry) == 1}
        table = np.full(max(single, default=0) + 2, _UNK_ID, dtype=np.int32)
        table[list(single)] = list(single.values())
        return table

    def _encode_chars(self, texts: Sequence[str], table: npt.NDArray[np.int32]) -> Ragged | None:
        """All characters of all texts in one look-up, or None where case is not one to one."""
        joined = "".join(texts)
        lengths = [len(text) for text in texts]
        if self.spec.lowercase:
            if not joined.isascii():
                return None
            joined = joined.lower()
        points = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32)
        # the table's last entry is <unk>, for every code point beyond it
        return Ragged.from_flat(table[np.minimum(points, len(table) - 1)], lengths)

    def save(self, path: Path) -> None:
        """Write a ``tokenizer.json``, readable by Hugging Face tokenizers."""
        write_json(path, json.loads(self.tokenizer.to_str()))

    @classmethod
    def load(
        cls, path: Path, spec: TokenizerSpec, specials: Sequence[str] = INPUT_SPECIALS
    ) -> Vocabulary:
        """Read the entries of a ``tokenizer.json``.

        Raises:
            BundleError: the file is missing, damaged, too large, or was made by another
                pipeline than the spec's.
        """
        content = read_json(path, MAX_TOKENIZER_BYTES)
        try:
            vocabulary = cls(spec, content["model"], specials)
        except BundleError as error:
            raise BundleError(f"{path}: {error}") from error
        except Exception as error:  # tokenizers raises plain Exception
            raise BundleError(f"{path}: not a tokenizer of kind '{spec.name}': {error}") from error
        rebuilt = json.loads(vocabulary.tokenizer.to_str())
        for parts in (content, rebuilt):
            parts["model"] = {k: v for k, v in parts["model"].items() if k not in _ENTRIES}
        for key, value in content.items():
            if value != rebuilt.get(key):
                raise BundleError(
                    f"{path}: its '{key}' is not that of a tokenizer '{spec.name}' made here"
                )
        return vocabulary


def fit_vocabulary(
    spec: TokenizerSpec, texts: Texts, specials: Sequence[str] = INPUT_SPECIALS
) -> Vocabulary:
    """A vocabulary of the training texts: the same texts give the same ids, always.

    Args:
        spec: which pipeline, and the vocabulary's limits.
        texts: gives all training texts in chunks; may be called more than once.
        specials: the entries with the first ids.

    Raises:
        DataError: the vocabulary's limit is too small for its special entries.
    """
    if spec.limit <= len(specials):
        raise DataError(f"vocab_size {spec.limit} leaves no room beside {len(specials)} specials")
    if spec.name in ("chars", "words", "tokens"):
        entries = _most_frequent(_count(spec, texts), spec, specials)
        return Vocabulary(spec, {"vocab": {e: i for i, e in enumerate(entries)}}, specials)
    content = {"bpe": _train_bpe, "unigram": _train_unigram, "wordpiece": _train_wordpiece}[
        spec.name
    ](spec, texts, specials)
    return Vocabulary(spec, content, specials)


def _count(spec: TokenizerSpec, texts: Texts) -> Counter[str]:
    counts: Counter[str] = Counter()
    normalize = normalizers.Lowercase().normalize_str if spec.lowercase else None
    for chunk in texts():
        if spec.name == "tokens":
            counts.update(chain.from_iterable(chunk))
            continue
        plain = chunk if normalize is None else [normalize(text) for text in chunk]
        if spec.name == "chars":
            counts.update("".join(plain))
        else:
            counts.update(chain.from_iterable(text.split() for text in plain))
    return counts


def _most_frequent(counts: Counter[str], spec: TokenizerSpec, specials: Sequence[str]) -> list[str]:
    for special in specials:
        counts.pop(special, None)
    seen = [entry for entry, count in counts.items() if count >= spec.min_count]
    seen.sort(key=lambda entry: (-counts[entry], entry))
    return [*specials, *seen[: spec.limit - len(specials)]]


def _train(spec: TokenizerSpec, model: Any, trainer: Any, texts: Texts) -> dict[str, Any]:
    tokenizer = _dress(model, spec)
    tokenizer.train_from_iterator(chain.from_iterable(texts()), trainer=trainer)
    content: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return content


def _train_bpe(spec: TokenizerSpec, texts: Texts, specials: Sequence[str]) -> dict[str, Any]:
    """Byte-pair encoding (Sennrich et al., 2016) over whitespace-marked words."""
    trainer = trainers.BpeTrainer(
        vocab_size=spec.limit,
        min_frequency=spec.min_count,
        special_tokens=list(specials),
        show_progress=False,
    )
    return _train(spec, models.BPE(unk_token=UNK, fuse_unk=True), trainer, texts)


def _train_unigram(spec: TokenizerSpec, texts: Texts, specials: Sequence[str]) -> dict[str, Any]:
    """Unigram language model (Kudo, 2018).

    Its expectation step sums in parallel, so scores differ in their last digits from run to
    run: they are rounded, and the entries sorted by them.
    """
    trainer = trainers.UnigramTrainer(
        vocab_size=spec.limit, special_tokens=list(specials), unk_token=UNK, show_progress=False
    )
    content = _train(spec, models.Unigram(), trainer, texts)
    scored = [(e, round(s, _SCORE_DIGITS)) for e, s in content["vocab"] if e not in specials]
    scored.sort(key=lambda pair: (-pair[1], pair[0]))
    return {"vocab": [*((special, 0.0) for special in specials), *scored]}


def _train_wordpiece(spec: TokenizerSpec, texts: Texts, specials: Sequence[str]) -> dict[str, Any]:
    """WordPiece (Schuster and Nakajima, 2012).

    The trainer numbers the ``##`` characters in the order of a hash table, which differs from
    run to run: naming all characters beforehand, in order, makes the result the same always.
    """
    characters = _most_frequent(
        _count(TokenizerSpec("chars", lowercase=spec.lowercase), texts),
        TokenizerSpec("chars"),
        specials,
    )[len(specials) :]
    letters = sorted(character for character in characters if not character.isspace())
    trainer = trainers.WordPieceTrainer(
        vocab_size=spec.limit,
        min_frequency=spec.min_count,
        special_tokens=[*specials, *letters, *(f"##{letter}" for letter in letters)],
        show_progress=False,
    )
    return _train(spec, models.WordPiece(unk_token=UNK), trainer, texts)
