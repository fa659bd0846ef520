"""Rows for forecasts: splits by time with a context, windows with plans, lags, gaps in targets."""

import numpy as np
import pytest
from seqlab.data.processor import Processor, fit_processor
from seqlab.data.sources.splits import Rows, divide, read_split
from seqlab.data.transforms.base import PREDICT, Row, RowError
from seqlab.data.transforms.lags import LagsTransform
from seqlab.data.transforms.windows import WindowsTransform
from seqlab.errors import DataError, OptionError

NAN = float("nan")


def parts(rule, total=20, **columns):
    rows = Rows(total, ["file"] * total, columns, "row {}".format)
    divided = divide(read_split({"by": "tail", **rule}), rows)
    return {name: indices.tolist() for name, indices in divided.items()}


def test_the_last_steps_are_for_the_test_and_look_back_at_those_before():
    found = parts({"validation": 3, "test": 4, "context": 2})
    assert found == {
        "train": list(range(13)),
        "validation": [11, 12, 13, 14, 15],
        "test": [14, 15, 16, 17, 18, 19],
    }
    assert parts({"test": 0.25, "context": 1})["test"] == [14, 15, 16, 17, 18, 19]
    assert parts({"test": 0.25, "context": 100})["test"] == list(range(20))


def test_each_series_has_its_own_last_steps_and_context():
    columns = {"id": list("ab") * 5, "t": [9 - n // 2 for n in range(10)]}
    rule = {"test": 2, "context": 1, "each": "id", "order": "t"}
    found = parts(rule, 10, **columns)
    assert found == {"train": [4, 5, 6, 7, 8, 9], "test": [0, 1, 2, 3, 4, 5]}


def test_no_target_of_one_part_is_a_target_of_another():
    found = parts({"validation": 5, "test": 5, "context": 3})
    windows = WindowsTransform(columns="x", context=3, horizon=2)
    targets = {
        name: {
            step for row in windows.apply([Row({"x": steps}, 0)], name) for step in row["x_next"]
        }
        for name, steps in found.items()
    }
    assert targets["test"] == {15, 16, 17, 18, 19}
    assert targets["validation"] == {10, 11, 12, 13, 14}
    assert not targets["train"] & (targets["validation"] | targets["test"])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"test": 1.5}, r"source\.split\.test: expected a number in \[0, 1\) or an int of at le"),
        ({"test": 2, "context": -1}, r"source\.split\.context: expected an int of at least 0"),
        ({"test": 30}, "leaves no rows for the split 'train' of 20 rows"),
    ],
)
def test_splits_that_cannot_be(rule, message):
    with pytest.raises((OptionError, DataError), match=message):
        parts(rule)


WINDOWS = WindowsTransform(columns="x", known="plan", context=2, horizon=2)


def windows(values, split):
    return [dict(row) for row in WINDOWS.apply([Row(values, 0)], split)]


def test_a_plan_goes_on_where_the_series_ends():
    training = windows({"x": [1, 2, 3, 4, 5], "plan": [10, 20, 30, 40, 50]}, "train")
    assert training[0] == {"x": [1, 2], "plan": [10, 20], "x_next": [3, 4], "plan_next": [30, 40]}
    assert len(training) == 2
    wanted = [{"x": [2, 3], "plan": [20, 30], "plan_next": [40, 50]}]
    for gap in ([], [None, None], [NAN, NAN], ["", "NA"]):
        series = {"x": [1, 2, 3, *gap], "plan": [10, 20, 30, 40, 50]}
        assert windows(series, PREDICT) == wanted
    single = WindowsTransform(columns="x", known="plan", context=1, horizon=1)
    (row,) = single.apply([Row({"x": [1], "plan": [5, 6]}, 0)], PREDICT)
    assert row["plan_next"] == [6]


def test_a_plan_that_ends_too_soon_is_said():
    with pytest.raises(RowError, match="'plan': expected the 3 steps of 'x', and 2 that follow, f"):
        windows({"x": [1, 2, 3], "plan": [1, 2, 3, 4]}, PREDICT)
    with pytest.raises(RowError, match="'plan': expected the 4 steps of 'x', found 5"):
        windows({"x": [1, 2, 3, 4], "plan": [1, 2, 3, 4, 5]}, "train")


def test_lags_stand_beside_the_series():
    values = {"x": [1, 2, 4, 8, 16], "y": list("abcde"), "id": "s", "short": [1]}
    (row,) = LagsTransform(columns="x", steps=[1, 3]).apply([Row(values, 0)], "train")
    assert dict(row) == {
        "x": [8, 16],
        "y": ["d", "e"],
        "id": "s",
        "short": [1],
        "x_lag_1": [4, 8],
        "x_lag_3": [1, 2],
    }
    change = LagsTransform(columns=["x"], steps=[2], change=True)
    (row,) = change.apply([Row({"x": ["1", "2", "4"]}, 0)], "train")
    assert (row["x"], row["x_change_2"]) == (["4"], [3.0])


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([1, 2], "a lag of 2 needs more steps than that, found 2"),
        (7, "expected a list of steps, found 7"),
        ([1, 2, None], "expected a number, found None; the transform fill mends"),
    ],
)
def test_series_without_their_lags_are_refused(series, message):
    lags = LagsTransform(columns="x", steps=[2], change=True)
    with pytest.raises(RowError, match=message):
        list(lags.apply([Row({"x": series}, 0)], "train"))


def spec(**target):
    return {
        "features": {"x": {"kind": "numeric"}},
        "target": {"column": "y", "kind": "values", **target},
    }


def test_numbers_per_step_have_the_steps_of_the_input(tmp_path):
    rows = [{"x": [1.0, 2.0, 3.0], "y": [4.0, 5.0, 6.0]}, {"x": [1.0], "y": [[7.0]]}]
    processor = fit_processor(spec(per="step"), rows)
    batch = processor.collate([processor.encode(row) for row in rows])
    assert batch.target.tolist() == [[[4], [5], [6]], [[7], [0], [0]]]
    statistics = processor.info.target.statistics
    assert statistics.mean == (5.5,)
    assert statistics.std == pytest.approx((np.std([4, 5, 6, 7]),))
    processor.save(tmp_path)
    assert Processor.load(tmp_path).info == processor.info
    with pytest.raises(DataError, match=r"row: column 'y' has 2 step_values for 3 steps"):
        processor.encode({"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0]})


@pytest.mark.parametrize("per", ["row", "step"])
def test_missing_numbers_are_masked_or_refused(per):
    good, gap = ([1.0, 3.0], [None, 5.0]) if per == "row" else ([[1.0, 3.0]] * 2, [[None, 5.0]] * 2)
    rows = [{"x": [1.0, 2.0], "y": good}, {"x": [1.0, 2.0], "y": gap}]
    processor = fit_processor(spec(per=per, missing="mask"), rows)
    target = processor.encode(rows[1]).target
    assert np.isnan(target[..., 0]).all()
    assert (target[..., 1] == 5).all()
    # what is missing counts in no statistics
    assert processor.info.target.statistics.mean == (1.0, 4.0)
    with pytest.raises(DataError, match="train row 2: column 'y'"):
        fit_processor(spec(per=per), rows)


@pytest.mark.parametrize("gap", [[None, [1.0, 5.0]], ["NA", [1.0, 5.0]], [NAN, [1.0, 5.0]]])
def test_a_step_may_be_missing_as_a_whole(gap):
    rows = [{"x": [1.0, 2.0], "y": gap}, {"x": [1.0, 2.0], "y": [None, None]}]
    processor = fit_processor(spec(per="step", missing="mask"), rows)
    first, second = (processor.encode(row).target for row in rows)
    assert np.isnan(first[0]).all()
    assert first[1].tolist() == [1, 5]
    assert np.isnan(second).all()
    assert second.shape == (2, 2)


def test_static_values_and_categories_are_one_entry_a_row():
    data = spec()
    data["features"] |= {
        "area": {"kind": "numeric", "role": "row"},
        "place": {"kind": "tokens", "role": "row"},
    }
    rows = [
        {"x": [1.0, 2.0], "y": 1, "area": 5, "place": "New York"},
        {"x": [1.0], "y": 2, "area": "7.5", "place": 12},
    ]
    processor = fit_processor(data, rows)
    batch = processor.collate([processor.encode(row) for row in rows])
    assert batch.inputs["area"].shape == (2, 1, 1)
    assert batch.inputs["place"].shape == (2, 1)
    assert batch.lengths.tolist() == [2, 1]
    assert processor.features[2].decode(batch.inputs["place"][0]) == ["New York"]
    with pytest.raises(DataError, match="row: column 'area': expected 1 numbers, found"):
        processor.encode({**rows[0], "area": [1, 2]})


def test_what_is_known_ahead_has_the_steps_of_the_horizon():
    data = {
        "features": {"x": {"kind": "numeric"}, "plan": {"kind": "numeric", "role": "ahead"}},
        "target": {"column": "y", "kind": "horizon", "feature": "x"},
    }
    row = {"x": [1.0, 2.0, 3.0], "plan": [1.0, 2.0], "y": [4.0, 5.0]}
    processor = fit_processor(data, [row])
    assert processor.encode(row).inputs["plan"].shape == (2, 1)
    with pytest.raises(DataError, match="row: the target has 2 steps and feature 'plan' 3"):
        processor.encode({**row, "plan": [1.0, 2.0, 3.0]})
