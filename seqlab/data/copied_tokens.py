"""Tokens of a source that an answer may copy: which they are, and how references name them.

An unknown token of a reference that stands in its row's source, too, has an id of its own there,
as in the extended vocabulary of See, Liu and Manning (2017): V + 1 + t, where t is the first step
of the source with it. V itself is left for words that stand nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    given: list[Any] = [[entry] for entry in entries] if target.takes == "tokens" else entries
    found = target.encode(given)
    same = (int(ids[0]) if len(ids := found.row(row)) == 1 else UNK_ID for row in range(len(found)))
    return (*[UNK_ID] * first, *same)


def unknown_tokens(rows: Sequence[Sequence[str] | None], target: Tokenizer) -> SourceTokens | None:
    """For each step of each row its token, empty where the target's vocabulary has it.

    None where a row's tokens are not known.
    """
    found: dict[str, bool] = {}

    def unknown(token: str) -> bool:
        if token not in found:
            given: Any = [[token] if target.takes == "tokens" else token]
            ids = target.encode(given).values.tolist()
            found[token] = ids == [UNK_ID]
        return found[token]

    tokens: SourceTokens = []
    for pieces in rows:
        if pieces is None:
            return None
        tokens.append([piece if unknown(piece) else "" for piece in pieces])
    return tokens


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
