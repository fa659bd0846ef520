"""Tokenizers kept as a Hugging Face ``tokenizer.json``: the parts around a model, and its entries.

What splits and what lowers case is chosen by the options alone; a file gives only the entries,
and one that claims other parts is refused.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from tokenizers import Tokenizer as Pipeline
from tokenizers import normalizers

from seqlab.data.tokenizers.base import Tokenizer
from seqlab.data.tokenizers.marks import INPUT_MARKS, UNK
from seqlab.errors import BundleError, OptionError
from seqlab.registry import spoken
from seqlab.schema import Count, Range

#: An int that leaves room beside the marks.
VocabularySize = Annotated[int, Range(least=5)]

_ENTRIES = ("vocab", "merges")
_FORMS = {"nfc": normalizers.NFC, "nfd": normalizers.NFD,
          "nfkc": normalizers.NFKC, "nfkd": normalizers.NFKD}  # fmt: skip


class Parts(NamedTuple):
    """What stands around a model in a ``tokenizer.json``."""

    normalizer: Any = None
    pre_tokenizer: Any = None
    decoder: Any = None


class PipelineTokenizer(Tokenizer):
    """Base of the tokenizers that Hugging Face's library can read and run as well.

    Args:
        marks: the entries with the first ids.
        vocab_size: the most entries, marks included; null for no limit of its own.
        min_count: what is seen less often in training does not count.
        **options: those of ``Tokenizer``.
    """

    def __init__(
        self,
        marks: Sequence[str] = INPUT_MARKS,
        *,
        vocab_size: VocabularySize | None = None,
        min_count: Count = 1,
        **options: Any,
    ) -> None:
        super().__init__(marks, **options)
        self.vocab_size, self.min_count = vocab_size, min_count
        self._pipeline: Pipeline | None = None

    @abstractmethod
    def parts(self) -> Parts:
        """The parts around the model."""

    @abstractmethod
    def earlier_parts(self) -> Parts:
        """Those of files that know neither Unicode forms nor text that looks like marks."""

    @abstractmethod
    def model(self, content: Mapping[str, Any]) -> Any:
        """A model of the library from entries that were learnt here or read from a file."""

    @property
    def pipeline(self) -> Pipeline:
        """The library's tokenizer with the same ids."""
        if self._pipeline is None:
            raise BundleError("this tokenizer has learnt nothing yet")
        return self._pipeline

    @property
    def size(self) -> int:
        """The number of entries, marks included."""
        return self.pipeline.get_vocab_size()

    def entry(self, index: int) -> str:
        """The entry with an id, as the vocabulary writes it."""
        found: str | None = self.pipeline.id_to_token(index)
        return UNK if found is None else found

    def steps(self) -> list[normalizers.Normalizer]:
        """Unicode form and lower case, as steps of the library."""
        form = _FORMS.get(self.normalization)
        return [*([form()] if form else []), *([normalizers.Lowercase()] if self.lowercase else [])]

    def build(self, content: Mapping[str, Any]) -> None:
        """Put the parts around a model with these entries.

        Raises:
            BundleError: the marks do not have the first ids.
        """
        pipeline = _dressed(self.model(content), self.parts())
        if [pipeline.token_to_id(mark) for mark in self.marks] != list(range(len(self.marks))):
            raise BundleError(f"the vocabulary must begin with {', '.join(self.marks)}")
        self._pipeline = pipeline

    #: Whether entries of two vocabularies can stand side by side, as whole pieces can.
    grows: ClassVar[bool] = False

    def go_on_from(self, earlier: Tokenizer, *, grow: bool) -> None:
        """See the base class; parts of words, which belong together, stay as they were."""
        if not isinstance(earlier, PipelineTokenizer) or not self.cuts_like(earlier):
            super().go_on_from(earlier, grow=grow)
            return
        for option in ("lowercase", "normalization"):
            mine, other = getattr(self, option), getattr(earlier, option)
            if mine != other:
                raise OptionError(
                    f"{option} is {mine!r}, and the vocabulary to go on from has {other!r}; make "
                    "them equal, or use start.vocabulary=new"
                )
        model = earlier.content()["model"]
        entries = _entries(model["vocab"], earlier.marks)
        if grow and self.grows:
            own = _entries(self.content()["model"]["vocab"], self.marks)
            known = set(entries)
            entries += [entry for entry in own if entry not in known]
        marks: list[Any] = list(self.marks)
        if isinstance(model["vocab"], Mapping):
            numbered = {entry: index for index, entry in enumerate([*marks, *entries])}
            self.build({**model, "vocab": numbered})
        else:
            self.build({**model, "vocab": [*([mark, 0.0] for mark in marks), *entries]})

    def cuts_like(self, earlier: PipelineTokenizer) -> bool:
        """Whether both make the same pieces of a text."""
        return type(self) is type(earlier)

    def content(self) -> dict[str, Any]:
        """A ``tokenizer.json``."""
        written: dict[str, Any] = json.loads(self.pipeline.to_str())
        return written

    def restore(self, content: Mapping[str, Any]) -> None:
        """Take the entries of a ``tokenizer.json``.

        Raises:
            BundleError: it is damaged, its ids are not 0 to n - 1, or it is no file of this
                tokenizer.
        """
        model = content.get("model")
        if not isinstance(model, Mapping):
            raise BundleError("it has no 'model'")
        _check_entries(model.get("vocab"))
        self.build(model)
        old = _parts_of(_dressed(self.model(model), self.earlier_parts()))
        rebuilt, found = self.content(), dict(content)
        rebuilt["model"], found["model"] = _bare(rebuilt["model"]), _bare(model)
        for key, value in found.items():
            if value != rebuilt.get(key) and not (key in old and value == old[key]):
                raise BundleError(
                    f"its '{key}' is not that of {spoken('tokenizer', self)} made here"
                )


def unknown_spans(pipeline: Pipeline, text: str, unknown: int | None) -> list[str]:
    """What stands in a text where the library's tokenizer gives its unknown id."""
    found = pipeline.encode(text, add_special_tokens=False)
    spans = [span for index, span in zip(found.ids, found.offsets, strict=True) if index == unknown]
    return [text[start:end] for start, end in spans]


def _entries(vocab: Any, marks: Sequence[str]) -> list[Any]:
    """All but the marks, in the order of their ids; scored ones with their scores."""
    if isinstance(vocab, Mapping):
        vocab = sorted(vocab, key=vocab.__getitem__)
    return list(vocab[len(marks) :])


def _dressed(model: Any, parts: Parts) -> Pipeline:
    pipeline = Pipeline(model)
    for name, part in parts._asdict().items():
        if part is not None:
            setattr(pipeline, name, part)
    return pipeline


def _parts_of(pipeline: Pipeline) -> dict[str, Any]:
    written = json.loads(pipeline.to_str())
    return {name: written[name] for name in Parts._fields}


def _bare(model: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key not in _ENTRIES}


def _check_entries(vocab: Any) -> None:
    """Refuse entries whose ids are not 0 to n - 1, each once, before anything is built of them."""
    if isinstance(vocab, Mapping):
        ids = vocab.values()
        whole = all(type(index) is int for index in ids)
        if not whole or len(set(ids)) != len(vocab) or set(ids) != set(range(len(vocab))):
            raise BundleError(
                f"the ids of its {len(vocab)} entries must be 0 to {len(vocab) - 1}, each once"
            )
        return
    if not isinstance(vocab, list) or not all(map(_is_scored, vocab)):
        raise BundleError("its 'vocab' must be a mapping of entries to ids, or a list of pairs")
    if len({entry for entry, _ in vocab}) != len(vocab):
        raise BundleError("its entries must be there once each")


def _is_scored(pair: Any) -> bool:
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str) or not pair[0]:
        return False
    return type(pair[1]) in (int, float) and math.isfinite(pair[1])
