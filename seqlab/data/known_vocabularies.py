"""Vocabularies of a finished model that those of new training rows go on from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from seqlab.data.part import ColumnPart
from seqlab.data.tokenizers.base import Tokenizer
from seqlab.errors import OptionError


class KnownVocabularies(NamedTuple):
    """Tokenizers that fitted parts take the entries of.

    Args:
        tokenizers: by the key below ``data`` of the part: ``features.NAME`` or ``target``.
        grow: put new entries of the training rows behind theirs; else there are none.
    """

    tokenizers: Mapping[str, Tokenizer]
    grow: bool

    def hand_over(self, parts: Iterable[tuple[str, ColumnPart]]) -> None:
        """Give them to parts that have been fitted.

        Raises:
            OptionError: one does not fit; the message has its key.
        """
        for key, part in parts:
            if (found := self.tokenizers.get(key)) is None or part.tokenizer is None:
                continue
            try:
                part.tokenizer.go_on_from(found, grow=self.grow)
            except OptionError as error:
                raise OptionError(f"data.{key}.tokenizer: {error}") from error
