"""SCAN: commands in simplified English and the actions they stand for."""

from __future__ import annotations

import hashlib
from itertools import product
from typing import Literal

import datasets
import numpy as np
from seqlab import Source, row_counts
from seqlab.schema import Flag, Whole, checked

Split = Literal["simple", "length", "jump", "turn_left"]
_VERBS = {"walk": "I_WALK", "look": "I_LOOK", "run": "I_RUN", "jump": "I_JUMP"}
_LONGEST_TRAINED = 22
_PRIMITIVES = {"jump": "jump", "turn_left": "turn left"}
_REPEATED_PART = 10

Pair = tuple[str, str]


class ScanSource(Source):
    """The 20,910 pairs of SCAN (Lake and Baroni, 2018), generated from its grammar.

    Columns ``commands`` and ``actions``, words with spaces between.

    Args:
        split: ``simple`` (80 % of the pairs, drawn at random, for training), ``length``
            (training pairs have at most 22 actions), ``jump`` or ``turn_left`` (training has
            the command alone, but in no combination).
        repeat_primitive: for ``jump`` and ``turn_left``: repeat the command alone until it is
            a tenth of the training rows, as the paper does.
        seed: draws the ``simple`` split.

    Example:
        >>> source = ScanSource(split="jump")
        >>> data = source.load()
        >>> data["test"].num_rows, dict(list(commands_and_actions()))["turn opposite left twice"]
        (7706, 'I_TURN_LEFT I_TURN_LEFT I_TURN_LEFT I_TURN_LEFT')
    """

    @checked
    def __init__(
        self, *, split: Split = "simple", repeat_primitive: Flag = True, seed: Whole = 0
    ) -> None:
        self._split, self._repeat, self._seed = split, repeat_primitive, seed
        self._rows: dict[str, int] = {}
        self._digest = "not generated yet"

    def load(self) -> datasets.DatasetDict:
        """The pairs of ``train`` and ``test``."""
        pairs = commands_and_actions()
        text = "\n".join(f"{command}\t{actions}" for command, actions in pairs)
        self._digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        train, test = self._divide(pairs)
        loaded = datasets.DatasetDict(train=_dataset(train), test=_dataset(test))
        self._rows = row_counts(loaded)
        return loaded

    def describe(self) -> dict[str, object]:
        """The split, and the checksum of all pairs."""
        return {
            "name": f"SCAN, split {self._split}",
            "origin": "generated from the grammar of Lake and Baroni (2018)",
            "licence": "generated; the published data set is under a BSD licence",
            "digest": self._digest,
            "rows": dict(self._rows),
        }

    def _divide(self, pairs: list[Pair]) -> tuple[list[Pair], list[Pair]]:
        if self._split == "simple":
            order = np.random.default_rng(self._seed).permutation(len(pairs))
            test = set(order[len(pairs) * 4 // 5 :].tolist())
            held_out = [index in test for index in range(len(pairs))]
        elif self._split == "length":
            held_out = [len(actions.split()) > _LONGEST_TRAINED for _, actions in pairs]
        else:
            primitive = _PRIMITIVES[self._split]
            held_out = [primitive in command and command != primitive for command, _ in pairs]
        train = [pair for pair, out in zip(pairs, held_out, strict=True) if not out]
        test_pairs = [pair for pair, out in zip(pairs, held_out, strict=True) if out]
        if self._repeat and self._split in _PRIMITIVES:
            train = _with_repeats(train, _PRIMITIVES[self._split])
        return train, test_pairs


def _with_repeats(train: list[Pair], primitive: str) -> list[Pair]:
    """The pairs, with the primitive's own repeated until it is a tenth of them."""
    pair = next(pair for pair in train if pair[0] == primitive)
    others = [other for other in train if other[0] != primitive]
    copies = round(len(others) / (_REPEATED_PART - 1))
    return others + [pair] * copies


def commands_and_actions() -> list[Pair]:
    """All pairs of the grammar, in a fixed order.

    A command is a phrase, or two joined by ``and`` or ``after``; a phrase is a verb phrase,
    maybe with ``twice`` or ``thrice``.
    """
    phrases = _phrases()
    pairs = list(phrases)
    for (first, do_first), (second, do_second) in product(phrases, phrases):
        pairs.append((f"{first} and {second}", f"{do_first} {do_second}"))
        pairs.append((f"{first} after {second}", f"{do_second} {do_first}"))
    return pairs


def _phrases() -> list[Pair]:
    """The 34 verb phrases, each as it is, twice and thrice."""
    verbs: list[Pair] = list(_VERBS.items())
    for side in ("left", "right"):
        turn = f"I_TURN_{side.upper()}"
        for verb, action in [*_VERBS.items(), ("turn", "")]:
            once, opposite = (f"{turns} {action}".strip() for turns in (turn, f"{turn} {turn}"))
            verbs.append((f"{verb} {side}", once))
            verbs.append((f"{verb} opposite {side}", opposite))
            verbs.append((f"{verb} around {side}", " ".join([once] * 4)))
    times = (("", 1), (" twice", 2), (" thrice", 3))
    return [
        (f"{command}{word}", " ".join([actions] * count))
        for command, actions in verbs
        for word, count in times
    ]


def _dataset(pairs: list[Pair]) -> datasets.Dataset:
    commands, actions = zip(*pairs, strict=True)
    return datasets.Dataset.from_dict({"commands": list(commands), "actions": list(actions)})
