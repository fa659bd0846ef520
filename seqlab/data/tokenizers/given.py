"""A tokenizer of one's own, from a ``tokenizer.json`` of Hugging Face's library."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Pipeline

from seqlab.data.ragged import Ragged
from seqlab.data.tokenizers.base import MAX_TOKENIZER_BYTES, Texts, Tokenizer
from seqlab.data.tokenizers.marks import INPUT_MARKS, UNK, UNK_ID
from seqlab.data.tokenizers.pipeline import unknown_spans
from seqlab.errors import BundleError, DataError
from seqlab.files import read_json
from seqlab.schema import Count

_KEY = "tokenizer"


class GivenTokenizer(Tokenizer):
    """A ``tokenizer.json`` as it is: nothing is learnt from the training rows.

    Text becomes what the file's own normalizer, splitter and entries make of it; special tokens are
    added nowhere, and its truncation and padding are left out. Each id stands behind those of the
    marks, and the file's own unknown token is ``<unk>``. The bundle has the file's content.

    Args:
        marks: the entries with the first ids.
        path: the ``tokenizer.json``.
        max_length: cut after so many ids.
    """

    def __init__(
        self, marks: Sequence[str] = INPUT_MARKS, *, path: Path, max_length: Count | None = None
    ) -> None:
        super().__init__(marks, max_length=max_length, normalization="none")
        self.path = path
        self._pipeline: Pipeline | None = None
        self._unknown: int | None = None

    @property
    def pipeline(self) -> Pipeline:
        """The library's tokenizer."""
        if self._pipeline is None:
            raise BundleError("this tokenizer has learnt nothing yet")
        return self._pipeline

    @property
    def size(self) -> int:
        """The number of ids, those of the marks included."""
        ids = self.pipeline.get_vocab(with_added_tokens=True).values()
        return len(self.marks) + max(ids, default=-1) + 1

    def learn(self, texts: Texts) -> None:
        """Read the file.

        Raises:
            DataError: it is not there, or is no ``tokenizer.json``.
        """
        del texts
        try:
            self._take(read_json(Path(self.path).expanduser(), MAX_TOKENIZER_BYTES))
        except BundleError as error:
            raise DataError(f"{self.path}: is no tokenizer.json: {error}") from error

    def _take(self, content: Mapping[str, Any]) -> None:
        try:
            pipeline = Pipeline.from_str(json.dumps(content))
        except Exception as error:  # the library raises bare exceptions
            raise BundleError(str(error).partition("\n")[0]) from error
        pipeline.no_padding()
        pipeline.no_truncation()
        self._pipeline = pipeline
        model = content.get("model")
        unknown = model.get("unk_token") if isinstance(model, Mapping) else None
        self._unknown = pipeline.token_to_id(unknown) if isinstance(unknown, str) else None
        if isinstance(model, Mapping) and isinstance(model.get("unk_id"), int):
            self._unknown = model["unk_id"]

    def encode(self, texts: Sequence[str]) -> Ragged:
        """``[T]`` ids for each text."""
        found = self.pipeline.encode_batch_fast(list(texts), add_special_tokens=False)
        marks, unknown = len(self.marks), self._unknown
        return Ragged.from_ids(
            [[UNK_ID if i == unknown else marks + i for i in encoding.ids] for encoding in found]
        )

    def unknown_in(self, text: str) -> list[str]:
        """See the base class."""
        return unknown_spans(self.pipeline, text, self._unknown)

    def decode(self, ids: Sequence[int]) -> str:
        """Ids to text; marks are left out, except ``<unk>``."""
        known = [index - len(self.marks) for index in ids if index >= len(self.marks)]
        if any(self.is_unknown(index) for index in ids) and self._unknown is not None:
            known = [
                self._unknown if self.is_unknown(index) else index - len(self.marks)
                for index in ids
                if index >= len(self.marks) or self.is_unknown(index)
            ]
        return str(self.pipeline.decode(known, skip_special_tokens=False))

    def entry(self, index: int) -> str:
        """What an id stands for; ``<unk>`` for an id out of range."""
        if 0 <= index < len(self.marks):
            return self.marks[index]
        found: str | None = self.pipeline.id_to_token(index - len(self.marks))
        return UNK if found is None else found

    def content(self) -> dict[str, Any]:
        """The file's content."""
        written: dict[str, Any] = json.loads(self.pipeline.to_str())
        return {_KEY: written}

    def restore(self, content: Mapping[str, Any]) -> None:
        """Take what ``content`` gave.

        Raises:
            BundleError: it is no ``tokenizer.json``.
        """
        kept = content.get(_KEY)
        if not isinstance(kept, Mapping):
            raise BundleError(f"it has no '{_KEY}'")
        self._take(kept)
