"""Transforms by themselves: windows, fill, group."""

from __future__ import annotations

import pytest
from seqlab import DataError
from seqlab.data.processor import fit_processor
from seqlab.data.transforms.base import Row
from seqlab.data.transforms.fill import FillTransform
from seqlab.data.transforms.windows import WindowsTransform


def predicted(rows, **options):
    windows = WindowsTransform(columns="x", context=3, **options)
    made = windows.apply([Row({"x": x}, n) for n, x in enumerate(rows)], "predict")
    return [(row.number, row.part, list(row["x"])) for row in made]


def test_windows_to_predict_end_where_the_series_ends():
    assert predicted([[1, 2, 3], [1, 2, 3, 4]]) == [
        (0, "steps 1-3", [1, 2, 3]),
        (1, "steps 2-4", [2, 3, 4]),
    ]
    assert predicted([list(range(6))], predict="all", stride=2) == [
        (0, "steps 2-4", [1, 2, 3]),
        (0, "steps 4-6", [3, 4, 5]),
    ]
    assert len(predicted([list(range(6))], horizon=0)) == 4
    assert predicted(["0.5 1 2 3", "['a', 'b', 'c']"]) == [
        (0, "steps 2-4", ["1", "2", "3"]),
        (1, "steps 1-3", ["a", "b", "c"]),
    ]


def test_windows_of_several_columns_and_steps_keep_together():
    windows = WindowsTransform(columns=["x", "y"], context=2, horizon=2, stride=2)
    row = Row({"x": [1, 2, 3, 4, 5, 6, 7], "y": list("abcdefg"), "id": 9}, 0)
    made = [dict(each) for each in windows.apply([row], "train")]
    assert [each["x"] + each["x_next"] for each in made] == [[1, 2, 3, 4], [3, 4, 5, 6]]
    assert made[1] == {
        "x": [3, 4],
        "y": ["c", "d"],
        "id": 9,
        "x_next": [5, 6],
        "y_next": ["e", "f"],
    }
    with pytest.raises(DataError, match="must be equally long, found x: 3, y: 2"):
        list(windows.apply([Row({"x": [1, 2, 3], "y": [1, 2]}, 0)], "train"))


def test_fill_takes_the_number_before():
    fill = FillTransform(columns="x")
    rows = [Row({"x": ["", "2", "NA", "4", None]}, 0)]
    fill.fit(lambda: rows)
    assert [row["x"] for row in fill.apply(rows, "train")] == [[3.0, 2.0, 2.0, 4.0, 4.0]]
    with pytest.raises(DataError, match="no training row has a number"):
        fill.fit(lambda: [Row({"x": [None]}, 0)])
    with pytest.raises(DataError, match="expected a number or nothing, found 'much'"):
        fill.fit(lambda: [Row({"x": ["1", "much"]}, 0)])


def test_constant_columns_of_a_group_stay_and_may_not_vary():
    group = {"name": "group", "by": "id", "constant": ["label"]}
    spec = {
        "transforms": [group],
        "features": {"x": {"kind": "numeric"}},
        "target": {"column": "label", "kind": "label"},
    }
    rows = [{"id": n // 3, "x": float(n), "label": "ab"[n // 3]} for n in range(6)]
    processor = fit_processor(spec, rows)
    assert processor.info.target.names == ("a", "b")
    rows[4]["label"] = "c"
    with pytest.raises(
        DataError, match=r"train row 5: .* column 'label': 'c' in a series that has"
    ):
        fit_processor(spec, rows)
