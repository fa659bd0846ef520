"""Cross-validation: each row is in the test of one fold."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from seqlab.data.sources.splits import Rows, divide, read_split
from seqlab.errors import ConfigError, DataError, OptionError


def rows(total, **values):
    return Rows(total, ["f"] * total, values, "row {}".format)


@pytest.mark.parametrize(("total", "folds"), [(20, 4), (23, 5), (3, 3), (2, 2)])
def test_each_row_is_tested_once_and_never_learnt_then(total, folds):
    tested = []
    for fold in range(folds):
        found = divide(read_split({"by": "folds", "folds": folds, "fold": fold}), rows(total))
        assert set(found) == {"train", "test"}
        assert not set(found["train"]) & set(found["test"])
        assert len(found["train"]) + len(found["test"]) == total
        assert abs(len(found["test"]) - total / folds) < 1
        tested.extend(found["test"].tolist())
    assert sorted(tested) == list(range(total))


def test_another_seed_gives_other_folds():
    first, second = (
        divide(read_split({"by": "folds", "folds": 2, "fold": 0, "seed": seed}), rows(30))["test"]
        for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


def test_classes_have_their_shares_and_groups_stay_together():
    labels = ["a"] * 20 + ["b"] * 8 + ["c"] * 4
    people = [str(index // 4) for index in range(32)]
    for fold in range(4):
        spec = {"by": "folds", "folds": 4, "fold": fold}
        test = divide(read_split({**spec, "stratify": "y"}), rows(32, y=labels))["test"]
        counts = Counter(labels[index] for index in test)
        assert all(abs(counts[name] - n / 4) <= 1 for name, n in Counter(labels).items())
        test = divide(read_split({**spec, "group": "who"}), rows(32, who=people))["test"]
        assert len(test) == 8
        assert all(count == 4 for count in Counter(people[index] for index in test).values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fold": 5}, "source.split.fold: expected a number from 0 to 4, got 5"),
        ({"folds": 1}, "source.split.folds: expected"),
        ({"fold": -1}, "source.split.fold: expected"),
        ({"test": 0.1}, "source.split.test: unknown key"),
        ({"stratify": "a", "group": "b"}, "stratify and group do not go together"),
    ],
)
def test_wrong_folds_are_named(changes, said):
    with pytest.raises((ConfigError, OptionError)) as caught:
        read_split({"by": "folds", "folds": 5, "fold": 0, **changes})
    assert said in str(caught.value)


@pytest.mark.parametrize("fold", range(5))
def test_more_folds_than_rows_or_groups_are_refused_whichever_is_asked_for(fold):
    split = {"by": "folds", "folds": 5, "fold": fold}
    with pytest.raises(DataError, match="5 folds of 3 rows leave some empty; give at most 3"):
        divide(read_split(split), rows(3))
    with pytest.raises(DataError, match="5 folds of 2 values of 'who' leave some empty"):
        divide(read_split({**split, "group": "who"}), rows(20, who=["a", "b"] * 10))
