"""What a transform refuses: rows that do not fit, orders that cannot work, wrong options."""

from __future__ import annotations

import pytest
from seqlab import ConfigError, DataError, Transform, register
from seqlab.data.data_spec import DataSpec
from seqlab.data.module import DataModule
from seqlab.registry import unregister
from windowed_series import FORECAST, WINDOWS, Series, long_table, of_file, series_rows


def error(spec, rows, **options):
    data = DataModule(Series(rows, **options), spec, seed=0)
    with pytest.raises((DataError, ConfigError)) as caught:
        data.prepare()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_row_that_does_not_fit_is_named(tmp_path):
    rows = series_rows()
    rows[6]["x"] = [1.0, 2.0]
    said = error(WINDOWS, rows)
    assert said.startswith(
        "train row 7: data.transforms[0]: column 'x': a window takes 3 steps and"
    )
    assert "found 2" in said
    path = long_table(tmp_path / "a.csv", bad=[(5, "a,soon,1")])
    with pytest.raises(
        DataError, match=r"a\.csv line 5: data\.transforms\[0\]: column 'time': exp"
    ):
        of_file(path)
    path = long_table(tmp_path / "a.csv", bad=[(5, "b,9,1")])
    with pytest.raises(DataError, match=r"a\.csv line 5: .* '9' is there twice in one series"):
        of_file(path)
    path = long_table(tmp_path / "a.csv", bad=[(8, "a,6,much")])
    with pytest.raises(DataError, match=r"a\.csv line 2 steps 5-7: column 'x': expected a series"):
        of_file(path)
    path = long_table(tmp_path / "a.csv", bad=[(1, "id,time,y")])
    with pytest.raises(DataError, match=r"the column 'x' \(data.features.x.column\) is missing"):
        of_file(path)
    path = long_table(tmp_path / "a.csv", bad=[(1, "id,when,x")])
    with pytest.raises(DataError, match=r"the column 'time' \(data.transforms\[0\]\) is missing"):
        of_file(path)


def test_what_cannot_work_is_said_before_it_is_tried():
    grouped = {**FORECAST, "validation": 0.3}
    rows = [{"id": n % 4, "time": n, "x": float(n)} for n in range(80)]
    assert error(grouped, rows, streaming=True) == (
        "data.transforms[0]: it looks at all rows of a split together, and the source is a stream; "
        "set source.streaming=false"
    )
    fill = {"name": "fill", "columns": "x"}
    said = error({**grouped, "transforms": [fill, *grouped["transforms"]]}, rows)
    assert said.startswith("data.transforms[0]: it learns from the training rows, and data.valid")
    one = [{**row, "id": 0} for row in rows]
    assert "leaves no training row of 1" in error(grouped, one)
    short = {"name": "filter", "column": "x", "max_length": 2}
    said = error({**WINDOWS, "transforms": [short, *WINDOWS["transforms"]]}, series_rows())
    assert said == "data.transforms leave no row of the split 'train', which has 10"
    said = error({**WINDOWS, "target": {"column": "y", "kind": "values"}}, series_rows())
    assert "the column 'y' (data.target.column) is missing" in said


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([{"name": "window"}], r"data\.transforms\[0\]\.name: unknown transform 'window': did you"),
        (
            ["group", {"name": "windows", "columns": "x"}],
            r"data\.transforms\[1\]: .* needs context",
        ),
        (
            [{"name": "windows", "columns": "x", "context": 0}],
            r"data\.transforms\[0\]\.context: expected an int of at least 1, got 0",
        ),
        ([{"name": "group", "bye": "x"}], r"has no option 'bye': did you mean 'by'"),
        ([{"name": "filter", "column": "x"}], r"data\.transforms\[0\].*min_length: give it, max_l"),
        (
            [7],
            r"data\.transforms\[0\]: expected a transform's name or a mapping with 'name', got 7",
        ),
        ("group", r"data\.transforms: expected a list"),
    ],
)
def test_wrong_options_are_one_line(transforms, message):
    with pytest.raises(ConfigError, match=message) as caught:
        DataSpec.from_mapping({**FORECAST, "transforms": transforms})
    assert "\n" not in str(caught.value)


def test_a_transform_that_fails_on_a_row_or_loses_a_column_is_one_line():
    class Odd(Transform):
        """Loses a column of the second row."""

        reads = ("x",)

        def apply(self, rows, split):
            del split
            for row in rows:
                yield row.made(dict(row) if row.number != 1 else {"x": row["x"]})

    register("transform", "odd")(Odd)
    try:
        rows = [{"x": [1.0], "x_next": 2.0} for _ in range(3)]
        said = error({**WINDOWS, "transforms": ["odd"]}, rows)
    finally:
        unregister("transform", "odd")
    assert said.startswith("train row 2: data.transforms: a row with the columns x, and the first")
