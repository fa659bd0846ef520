"""What guessing by counting reaches: the number a model has to beat."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from seqlab import registry
from seqlab.data.data_spec import ColumnSpec, DataSpec
from seqlab.data.numbers import row_of_numbers
from seqlab.data.part import NEXT
from seqlab.data.ragged import Ragged
from seqlab.data.raw_columns import accepted_lists, token_lists
from seqlab.heads.metrics import Outcome
from seqlab.heads.schemes import chunk_labels
from seqlab.measures import alone
from seqlab.target_names import metric_name
from seqlab.types import TargetInfo

Rows = Iterable[Mapping[str, Any]]


def majority_class(train: Rows, test: Rows, column: str) -> dict[str, float]:
    """The accuracy of always answering the training rows' most frequent label.

    Of several accepted labels the first is counted, and any is right.

    >>> majority_class([{"y": "a"}, {"y": "a"}, {"y": "b"}], [{"y": "a"}, {"y": "b"}], "y")
    {'accuracy': 0.5}
    """
    counts = Counter(_accepted(row[column])[0] for row in train)
    # of equally frequent labels the first in the alphabet, whatever the order of rows
    best = min(counts, key=lambda label: (-counts[label], label))
    answers = [best in _accepted(row[column]) for row in test]
    return {"accuracy": sum(answers) / len(answers)} if answers else {}


def _accepted(cell: Any) -> list[str]:
    return [str(label) for label in accepted_lists([cell], "", str)[0]]


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
    # one process writes a run's result
    metric = alone(registry.get("metric", "span_f1")(TargetInfo("tags", len(names), tuple(names))))
    for guess, gold in pairs:
        if gold:
            answer, right = (torch.tensor([[ids[tag] for tag in tags]]) for tags in (guess, gold))
            metric.update(Outcome(answer, right, lengths=torch.tensor([len(gold)])))
    return {"span_f1": float(metric.compute())}


def baselines(spec: DataSpec, train: Rows, test: Rows, target: TargetInfo) -> list[dict[str, Any]]:
    """The baselines that fit the targets; those of one name are one.

    Args:
        spec: the data spec.
        train: rows to count.
        test: rows to measure.
        target: what is known of the targets; of several, metrics have their names before them.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, info in target.named.items():
        values = _baseline(spec, spec.targets[name], train, test, info.names)
        if values:
            own = found.setdefault(values["name"], {"name": values.pop("name")})
            own.update({metric_name(name, key): value for key, value in values.items()})
    return list(found.values())


def _baseline(
    spec: DataSpec, target: ColumnSpec, train: Rows, test: Rows, names: Sequence[str]
) -> dict[str, Any]:
    """The baseline that fits a target, or an empty dict where none does."""
    if target.kind == "label":
        values = majority_class(train, test, target.column)
        return {"name": "most frequent class", **values} if values else {}
    words = [feature.column for feature in spec.features.values() if feature.kind == "tokens"]
    if target.kind == "tags" and words:
        values = most_frequent_tags(train, test, words[0], target.column, names)
        return {"name": "most frequent tag of each word", **values} if values else {}
    if target.kind == "values":
        series = series_before(spec, target)
        if series is not None:
            values = last_value(test, series, target.column)
            return {"name": "last value", **values} if values else {}
        values = mean_value(train, test, target.column, **target.options)
        return {"name": "mean of the training rows", **values} if values else {}
    return {}


def series_before(spec: DataSpec, target: ColumnSpec) -> str | None:
    """The column of the steps that a target's come after, where windows have made it."""
    for transform in spec.transforms:
        columns = transform.get("columns", ())
        for column in [columns] if isinstance(columns, str) else columns:
            if transform["name"] == "windows" and column + NEXT == target.column:
                return str(column)
    return None


def last_value(test: Rows, series: str, target: str) -> dict[str, float]:
    """The errors of saying that a series stays as it is, in all steps to come.

    >>> last_value([{"x": [5, 1, 2], "x_next": [3, 1]}], "x", "x_next")
    {'mae': 1.0, 'rmse': 1.0}
    """
    gold = [_numbers(row[target]) for row in test]
    guesses = [_numbers([row[series][-1]]) * len(g) for row, g in zip(test, gold, strict=True)]
    return _errors(guesses, gold)


def mean_value(train: Rows, test: Rows, column: str, **options: Any) -> dict[str, float]:
    """The errors of always answering the mean of the training rows, or of their steps.

    Args:
        train: rows to take the mean of.
        test: rows to measure.
        column: of numbers, read as the target ``values`` reads them.
        **options: those of the target; what is missing counts nowhere.

    >>> mean_value([{"y": 1}, {"y": "3"}], [{"y": 2}, {"y": 5}], "y")
    {'mae': 1.5, 'rmse': 2.1213203435596424}
    """
    target = registry.get("target", "values")(column, **options)
    learnt, held = ([row[column] for row in rows] for rows in (train, test))
    target.fit(lambda: [(learnt, str)])
    known, gold = (target.encode(values, str) for values in (learnt, held))
    if isinstance(known, Ragged):
        known, gold = known.values, gold.values
    real = ~np.isnan(known)
    mean = np.where(real, known, 0.0).sum(0, dtype=np.float64) / np.maximum(real.sum(0), 1)
    return _errors(np.broadcast_to(mean, gold.shape), gold)


def _numbers(value: Any) -> list[float]:
    return row_of_numbers(value, None, "", str, 0, gaps=True)


def _errors(guesses: Any, gold: Any) -> dict[str, float]:
    errors = np.array(guesses) - np.array(gold)
    errors = errors[~np.isnan(errors)]
    if not errors.size:
        return {}
    return {"mae": float(np.abs(errors).mean()), "rmse": float(np.sqrt((errors**2).mean()))}
