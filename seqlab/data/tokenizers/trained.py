"""Tokenizers with parts of words, trained on the training texts by Hugging Face's library."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Pipeline

from seqlab.data.ragged import Ragged
from seqlab.data.splitting import SPACES
from seqlab.data.tokenizers.base import Texts, VocabularyError
from seqlab.data.tokenizers.marks import INPUT_MARKS, UNK, UNK_ID, Escape, StandIn
from seqlab.data.tokenizers.pipeline import Parts, PipelineTokenizer, unknown_spans

_DEFAULT_SIZE = 8000
_SCORE_DIGITS = 6
#: The library's step between the scores of dropped characters, and how exactly it is met.
_RUNG, _SLACK = 1e-4, 0.02
_SPACE = "▁"


class TrainedTokenizer(PipelineTokenizer):
    """Base of the tokenizers whose entries are parts of words.

    Args:
        marks: the entries with the first ids.
        vocab_size: the most entries, marks and single characters included; null for 8000, or
            as many as the characters of the training texts need.
        min_count: what is seen less often in training does not count: pairs are not joined, and
            for ``unigram``, which has no pairs, characters become ``<unk>``.
        **options: those of ``Tokenizer``.
    """

    #: How many entries each character has.
    entries_a_character = 1

    def __init__(self, marks: Sequence[str] = INPUT_MARKS, **options: Any) -> None:
        super().__init__(marks, **options)
        self.escape = self._escape()

    @abstractmethod
    def _escape(self) -> Escape:
        """Which text is written otherwise."""

    @abstractmethod
    def train(self, texts: Texts, characters: Counter[str], size: int) -> dict[str, Any]:
        """The model's entries.

        Args:
            texts: all training texts.
            characters: how often each is there; white space is left out.
            size: how many entries at most.
        """

    def learn(self, texts: Texts) -> None:
        """Train on the training texts."""
        characters = self._characters(texts)
        needed = len(self.marks) + self.entries_a_character * len(characters)
        if self.vocab_size is not None and self.vocab_size < needed:
            raise VocabularyError(
                f"vocab_size={self.vocab_size} is too small: {len(self.marks)} marks and the "
                f"{len(characters)} different characters of the training rows need {needed} entries"
            )
        self.build(self.train(texts, characters, self.vocab_size or max(_DEFAULT_SIZE, needed)))

    def _characters(self, texts: Texts) -> Counter[str]:
        normalizer, counts = self.parts().normalizer, Counter[str]()
        for chunk in texts():
            counts.update(normalizer.normalize_str("\n".join(chunk)))
        return Counter({piece: count for piece, count in counts.items() if not piece.isspace()})

    def fitted(self, model: Any, trainer: Any, texts: Texts) -> dict[str, Any]:
        """The entries that a trainer of the library gives a model."""
        pipeline = Pipeline(model)
        pipeline.normalizer, pipeline.pre_tokenizer, _ = self.parts()
        pipeline.train_from_iterator(chain.from_iterable(texts()), trainer=trainer)
        content: dict[str, Any] = json.loads(pipeline.to_str())["model"]
        return content

    def encode(self, texts: Sequence[str]) -> Ragged:
        """``[T]`` ids for each text; what is unknown becomes ``<unk>``."""
        found = self.pipeline.encode_batch_fast(list(texts), add_special_tokens=False)
        return Ragged.from_ids([encoding.ids for encoding in found])

    def unknown_in(self, text: str) -> list[str]:
        """See the base class."""
        return unknown_spans(self.pipeline, text, UNK_ID)

    def decode(self, ids: Sequence[int]) -> str:
        """Ids to text; marks are left out, except ``<unk>``."""
        return self.escape.undo(str(self.pipeline.decoder.decode(self.readable(ids))))

    def _normalizer(self) -> Any:
        return normalizers.Sequence([*self.steps(), *self.escape.steps()])

    def _earlier_normalizer(self) -> Any:
        return normalizers.Lowercase() if self.lowercase else None


class _SpacesMarked(TrainedTokenizer):
    """Parts of words in which a low line, U+2581, stands for a space."""

    def _escape(self) -> Escape:
        return Escape(StandIn(_SPACE, _SPACE, "_"))

    def parts(self) -> Parts:
        """See the base class."""
        return Parts(self._normalizer(), pre_tokenizers.Metaspace(), decoders.Metaspace())

    def earlier_parts(self) -> Parts:
        """See the base class."""
        return self.parts()._replace(normalizer=self._earlier_normalizer())


class BPETokenizer(_SpacesMarked):
    """Byte-pair encoding (Sennrich et al., 2016) over words with their spaces marked."""

    def model(self, content: Mapping[str, Any]) -> Any:
        """See the base class."""
        merges = [tuple(merge) for merge in content["merges"]]
        return models.BPE(vocab=dict(content["vocab"]), merges=merges, unk_token=UNK, fuse_unk=True)

    def train(self, texts: Texts, _: Counter[str], size: int) -> dict[str, Any]:
        """See the base class."""
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=self.min_count,
            special_tokens=list(self.marks),
            show_progress=False,
        )
        return self.fitted(models.BPE(unk_token=UNK, fuse_unk=True), trainer, texts)


class UnigramTokenizer(_SpacesMarked):
    """Unigram language model (Kudo, 2018) over words with their spaces marked.

    The library's expectation step sums in parallel, so scores differ in their last digits from
    run to run: they are rounded. Characters that training dropped come back one rung of 0.0001
    apart in the order of a hash table: they are given the same rungs by the alphabet.
    """

    def model(self, content: Mapping[str, Any]) -> Any:
        """See the base class."""
        entries = [(entry, float(score)) for entry, score in content["vocab"]]
        return models.Unigram(entries, unk_id=UNK_ID, byte_fallback=False)

    def train(self, texts: Texts, characters: Counter[str], size: int) -> dict[str, Any]:
        """See the base class."""
        marks = list(self.marks)
        rare = {piece for piece, count in characters.items() if count < self.min_count}
        if len(rare) == len(characters) > 0:
            raise VocabularyError(
                f"min_count={self.min_count} leaves nothing but <unk>: no character of the "
                f"training rows is there more than {max(characters.values())} times"
            )
        trainer = trainers.UnigramTrainer(
            vocab_size=size, special_tokens=marks, unk_token=UNK, show_progress=False
        )
        content = self.fitted(models.Unigram(), trainer, texts)
        scored = [
            (e, round(s, _SCORE_DIGITS))
            for e, s in content["vocab"]
            if e not in marks and not rare & set(e)
        ]
        scored = sorted(_rungs_by_alphabet(scored), key=lambda pair: (-pair[1], pair[0]))
        return {"vocab": [*([mark, 0.0] for mark in marks), *map(list, scored)]}


def _rungs_by_alphabet(scored: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Single characters on the ladder that begins at the lowest score, in alphabetical order."""
    lowest = min((score for _, score in scored), default=0.0)
    rungs = {e: (score - lowest) / _RUNG for e, score in scored if len(e) == 1}
    ladder = [e for e, rung in rungs.items() if abs(rung - round(rung)) < _SLACK]
    scores = dict(scored)
    given = sorted((scores[e] for e in ladder), reverse=True)
    return list({**scores, **dict(zip(sorted(ladder), given, strict=True))}.items())


class WordPieceTokenizer(TrainedTokenizer):
    """WordPiece (Schuster and Nakajima, 2012): parts inside a word begin with ``##``.

    The library numbers the ``##`` characters in the order of a hash table, which differs from
    run to run: naming all characters beforehand, in order, makes the result the same always.
    """

    entries_a_character = 2

    def _escape(self) -> Escape:
        return Escape(StandIn("##", f"(?<![^{SPACES}])##", "##"))

    def parts(self) -> Parts:
        """See the base class."""
        blank = pre_tokenizers.Split(Regex(f"[{SPACES}]+"), "removed")
        return Parts(self._normalizer(), blank, decoders.WordPiece(cleanup=False))

    def earlier_parts(self) -> Parts:
        """See the base class."""
        return Parts(
            self._earlier_normalizer(), pre_tokenizers.WhitespaceSplit(), decoders.WordPiece()
        )

    def model(self, content: Mapping[str, Any]) -> Any:
        """See the base class."""
        return models.WordPiece(vocab=dict(content["vocab"]), unk_token=UNK)

    def train(self, texts: Texts, characters: Counter[str], size: int) -> dict[str, Any]:
        """See the base class."""
        letters = sorted(characters)
        trainer = trainers.WordPieceTrainer(
            vocab_size=size,
            min_frequency=self.min_count,
            special_tokens=[*self.marks, *letters, *(f"##{letter}" for letter in letters)],
            show_progress=False,
        )
        return self.fitted(models.WordPiece(unk_token=UNK), trainer, texts)
