"""Tokens of a source that an answer may copy: which they are, and how references name them.

An unknown token of a reference that stands in its row's source, too, has an id of its own there,
as in the extended vocabulary of See, Liu and Manning (2017): V + 1 + t, where t is the first step
of the source with it. V itself is left for words that stand nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from seqlab.data.encoded import References, SourceTokens
from seqlab.data.tokenizers.base import Tokenizer
from seqlab.data.tokenizers.marks import UNK_ID


def same_entries(source: Tokenizer, target: Tokenizer) -> tuple[int, ...]:
    """For each id of a vocabulary the id of the same token in another; ``<unk>`` where it is not.

    >>> from seqlab.data.tokenizers.build import build_tokenizer
    >>> from seqlab.data.tokenizers.marks import TARGET_MARKS
    >>> words, chars = build_tokenizer("words"), build_tokenizer("chars", TARGET_MARKS)
    >>> words.learn(lambda: [["a b ab"]])
    >>> chars.learn(lambda: [["ab"]])
    >>> words.entry(2), same_entries(words, chars)
    ('a', (1, 1, 4, 1, 5))
    """
    first = len(source.marks)
    entries = [source.entry(index) for index in range(first, source.size)]
    return (*[UNK_ID] * first, *_ids_of(entries, target))


def _ids_of(tokens: Sequence[str], target: Tokenizer) -> list[int]:
    """The id of each token in a vocabulary; ``<unk>`` where it is not one entry there."""
    given: list[Any] = [[token] for token in tokens] if target.takes == "tokens" else list(tokens)
    found = target.encode(given)
    rows = (found.row(row) for row in range(len(found)))
    return [int(ids[0]) if len(ids) == 1 else UNK_ID for ids in rows]


def unknown_tokens(rows: Sequence[Sequence[str] | None], target: Tokenizer) -> SourceTokens | None:
    """For each step of each row its token, empty where the target's vocabulary has it.

    None where a row's tokens are not known.
    """
    known = [row for row in rows if row is not None]
    if len(known) < len(rows):
        return None
    tokens = list(dict.fromkeys(chain.from_iterable(known)))
    ids = dict(zip(tokens, _ids_of(tokens, target), strict=True))
    return [[token if ids[token] == UNK_ID else "" for token in row] for row in known]


def with_copied(
    references: References,
    answers: Sequence[Sequence[str]],
    tokens: SourceTokens,
    target: Tokenizer,
) -> References:
    """The ids of accepted answers, with those of unknown tokens that the source has.

    Args:
        references: the ids of ``answers``.
        answers: each row's texts.
        tokens: of each row's source, see ``unknown_tokens``.
        target: the tokenizer of the answers.
    """
    return [
        [
            _extended(ids, target.pieces_of(text) or [], source, target.size + 1)
            for ids, text in zip(row, texts, strict=True)
        ]
        for row, texts, source in zip(references, answers, tokens, strict=True)
    ]


def _extended(ids: list[int], pieces: Sequence[str], source: list[str], first: int) -> list[int]:
    if UNK_ID not in ids or len(pieces) != len(ids):
        return ids
    return [
        first + source.index(piece) if index == UNK_ID and piece in source else index
        for index, piece in zip(ids, pieces, strict=True)
    ]
