from __future__ import annotations

import pytest
from seqlab.data.data_spec import DataSpec
from seqlab.training.baseline import (
    baselines,
    majority_class,
    mean_value,
    most_frequent_tags,
)
from seqlab.types import TargetInfo


def test_majority_ties_are_broken_by_the_alphabet():
    rows = [{"y": "b"}, {"y": "a"}]
    assert majority_class(rows, [{"y": "a"}], "y") == {"accuracy": 1.0}
    assert majority_class(rows[::-1], [{"y": "a"}], "y") == {"accuracy": 1.0}
    assert majority_class(rows, [], "y") == {}


def test_tags_of_known_and_unknown_words():
    train = [
        {"w": ["run", "the", "run"], "t": ["V", "D", "N"]},
        {"w": ["run", "dog", "cat"], "t": ["V", "N", "N"]},
    ]
    test = [{"w": ["run", "the", "bird"], "t": ["V", "N", "N"]}]
    # run: V, the: D (wrong), bird: never seen, so the commonest tag N
    assert most_frequent_tags(train, test, "w", "t") == {"accuracy": pytest.approx(2 / 3)}


def test_spans_are_measured_where_the_tags_are_chunk_labels():
    names = ("O", "B-X", "I-X")
    train = [{"w": "a b c", "t": "B-X I-X O"}]
    test = [{"w": "a b c a", "t": "B-X I-X O O"}]
    values = most_frequent_tags(train, test, "w", "t", names)
    assert values == {"accuracy": 0.75, "span_f1": pytest.approx(2 / 3)}


def spec(kind, feature):
    features = {"f": {"column": "w", "kind": feature}}
    return DataSpec.from_mapping({"features": features, "target": {"column": "t", "kind": kind}})


def baseline(spec, train, test, names):
    kind = next(iter(spec.targets.values())).kind
    found = baselines(spec, train, test, TargetInfo(kind, len(names), tuple(names)))
    return found[0] if found else {}


def test_the_baseline_follows_from_the_task():
    rows = [{"w": "a", "t": "x"}]
    assert baseline(spec("label", "text"), rows, rows, ("x",))["name"] == "most frequent class"
    found = baseline(spec("tags", "tokens"), rows, rows, ("x",))
    assert found == {"name": "most frequent tag of each word", "accuracy": 1.0}
    assert baseline(spec("tags", "text"), rows, rows, ("x",)) == {}
    assert baseline(spec("text", "text"), rows, rows, ()) == {}


def test_lists_written_as_text_are_read_as_the_model_reads_them():
    train = [{"w": "['a', 'b']", "t": '["X", "Y"]'}]
    assert most_frequent_tags(train, train, "w", "t", ("X", "Y"))["accuracy"] == 1.0
    with_chunks = [{"w": "['a', 'b']", "t": "['B-X', 'O']"}]
    assert most_frequent_tags(with_chunks, with_chunks, "w", "t", ("O", "B-X"))["span_f1"] == 1.0


def test_the_mean_of_steps_with_some_missing():
    rows = [{"y": [[1.0, 10.0], None]}, {"y": [[3.0, None], [5.0, 14.0], [3.0, 12.0]]}]
    test = [{"y": [[2.0, 12.0]]}, {"y": [None, [4.0, None]]}]
    found = mean_value(rows, test, "y", per="step", missing="mask")
    assert found == {"mae": pytest.approx(2 / 3), "rmse": pytest.approx((2 / 3) ** 0.5)}
    assert mean_value([{"y": [1.0, None]}], [{"y": [None, None]}], "y", missing="mask") == {}
    data = DataSpec.from_mapping(
        {"features": {"x": {"kind": "numeric"}},
         "target": {"column": "y", "kind": "values", "per": "step", "missing": "mask"}}
    )  # fmt: skip
    info = TargetInfo("step_values", 2)
    assert baselines(data, rows, test, info)[0]["name"] == "mean of the training rows"
