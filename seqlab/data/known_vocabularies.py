"""Vocabularies of a finished model that those of new training rows go on from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from seqlab.data.part import ColumnPart
from seqlab.data.tokenizers.base import Tokenizer
from seqlab.data.word_vectors import read_words
from seqlab.errors import OptionError


class WordFile(NamedTuple):
    """A file of word vectors whose words a vocabulary has, too: the first ``most`` that are new."""

    path: str
    most: int | None = None


class KnownVocabularies(NamedTuple):
    """Tokenizers that fitted parts take the entries of, and files of further words.

    Args:
        tokenizers: by the key below ``data`` of the part: ``features.NAME`` or ``target``.
        grow: put new entries of the training rows behind theirs; else there are none.
        files: by the same keys; their words are put behind all others.
    """

    tokenizers: Mapping[str, Tokenizer]
    grow: bool
    files: Mapping[str, WordFile] = MappingProxyType({})

    def hand_over(self, parts: Iterable[tuple[str, ColumnPart]]) -> None:
        """Give them to parts that have been fitted.

        Raises:
            OptionError: one does not fit; the message has its key.
        """
        for key, part in parts:
            found, file = self.tokenizers.get(key), self.files.get(key)
            try:
                if found is not None and part.tokenizer is not None:
                    part.tokenizer.go_on_from(found, grow=self.grow)
                if file is not None:
                    part.add_words(read_words(file.path), file.most)
            except OptionError as error:
                raise OptionError(f"data.{key}.tokenizer: {error}") from error
