"""What guessing by counting reaches: the number a model has to beat."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from seqlab import registry
from seqlab.data.checks import token_lists
from seqlab.data.spec import DataSpec
from seqlab.heads.metrics import Outcome
from seqlab.heads.schemes import chunk_labels
from seqlab.types import TargetInfo

Rows = Iterable[Mapping[str, Any]]


def majority_class(train: Rows, test: Rows, column: str) -> dict[str, float]:
    """The accuracy of always answering the training rows' most frequent label.

    >>> majority_class([{"y": "a"}, {"y": "a"}, {"y": "b"}], [{"y": "a"}, {"y": "b"}], "y")
    {'accuracy': 0.5}
    """
    counts = Counter(str(row[column]) for row in train)
    # of equally frequent labels the first in the alphabet, whatever the order of rows
    best = min(counts, key=lambda label: (-counts[label], label))
    answers = [str(row[column]) == best for row in test]
    return {"accuracy": sum(answers) / len(answers)} if answers else {}


def most_frequent_tags(
    train: Rows, test: Rows, words: str, tags: str, names: Sequence[str] = ()
) -> dict[str, float]:
    """Tag each word with the tag it had most often in training; unseen words with the commonest.

    Args:
        train: rows to count.
        test: rows to measure.
        words: the column of words.
        tags: the column of tags.
        names: all tags; where they are chunk labels, ``span_f1`` is measured too.

    >>> rows = [{"w": ["a", "b"], "t": ["X", "Y"]}, {"w": "a c", "t": "X X"}]
    >>> most_frequent_tags(rows, [{"w": ["b", "z"], "t": ["Y", "Y"]}], "w", "t")
    {'accuracy': 0.5}
    """
    of_word: dict[str, Counter[str]] = defaultdict(Counter)
    overall: Counter[str] = Counter()
    for row in train:
        row_tags = _strings(row[tags])
        overall.update(row_tags)
        for word, tag in zip(_strings(row[words]), row_tags, strict=True):
            of_word[word][tag] += 1
    common = _most_frequent(overall)
    best = {word: _most_frequent(counts) for word, counts in of_word.items()}
    pairs = [
        ([best.get(word, common) for word in _strings(row[words])], _strings(row[tags]))
        for row in test
    ]
    total = sum(len(gold) for _, gold in pairs)
    if not total:
        return {}
    right = sum(a == b for guess, gold in pairs for a, b in zip(guess, gold, strict=True))
    return {"accuracy": right / total, **_span_f1(pairs, names)}


def _strings(value: Any) -> list[str]:
    """A cell's words or tags, read as the features and targets read them."""
    return token_lists([value], "", str)[0]


def _most_frequent(counts: Counter[str]) -> str:
    return min(counts, key=lambda tag: (-counts[tag], tag))


def _span_f1(
    pairs: Sequence[tuple[list[str], list[str]]], names: Sequence[str]
) -> dict[str, float]:
    if not names or chunk_labels(names) is None:
        return {}
    ids = {name: index for index, name in enumerate(names)}
    metric = registry.get("metric", "span_f1")(TargetInfo("tags", len(names), tuple(names)))
    for guess, gold in pairs:
        if gold:
            answer, right = (torch.tensor([[ids[tag] for tag in tags]]) for tags in (guess, gold))
            metric.update(Outcome(answer, right, lengths=torch.tensor([len(gold)])))
    return {"span_f1": float(metric.compute())}


def baseline(spec: DataSpec, train: Rows, test: Rows, names: Sequence[str]) -> dict[str, Any]:
    """The baseline that fits the target, or an empty dict where none does."""
    target = spec.target
    if target.kind == "label":
        values = majority_class(train, test, target.column)
        return {"name": "most frequent class", **values} if values else {}
    words = [feature.column for feature in spec.features.values() if feature.kind == "tokens"]
    if target.kind == "tags" and words:
        values = most_frequent_tags(train, test, words[0], target.column, names)
        return {"name": "most frequent tag of each word", **values} if values else {}
    return {}
