"""Times of events as gaps, and missing values as masks, from a row to a trained model."""

from __future__ import annotations

import datetime as dt

import pytest
from seqlab.data.transforms.base import Row, RowError
from seqlab.data.transforms.gaps import GapsTransform


def made(values, **options):
    (row,) = GapsTransform(**options).apply([Row(values, 0)], "train")
    return row


def test_gaps_and_what_was_missing_as_grud_reads_it():
    row = made({"t": [0, 0.5, 1.5, 4], "x": [None, 2, "nan", None]}, times="t", columns=["x"])
    assert row["gap"] == [0.0, 0.5, 1.0, 2.5]
    assert row["x"] == [0.0, 2.0, 2.0, 2.0]
    assert row["x_observed"] == [0.0, 1.0, 0.0, 0.0]
    assert row["x_gap"] == [0.0, 0.5, 1.0, 3.5]


@pytest.mark.parametrize(
    "times",
    [
        ["2026-03-28T22:00", "2026-03-29T10:00", "2026-03-31"],
        ["2026-03-28T22:00+00:00", "2026-03-29T12:00+02:00", "2026-03-31T00:00Z"],
        [dt.datetime(2026, 3, 28, 22), dt.datetime(2026, 3, 29, 10),  # noqa: DTZ001
         dt.date(2026, 3, 31)],
    ],
)  # fmt: skip
def test_dates_in_a_unit(times):
    assert made({"t": times}, times="t", unit="days")["gap"] == [0.0, 0.5, pytest.approx(38 / 24)]
    assert made({"t": times}, times="t", unit="hours")["gap"] == [0.0, 12.0, 38.0]


def test_logarithms_and_a_unit_of_ones_own():
    row = made({"t": [0, 2, 2]}, times="t", unit=2.0, log=True)
    assert row["gap"] == [0.0, pytest.approx(0.6931, abs=1e-4), 0.0]


def test_an_empty_series_has_no_gaps():
    assert made({"t": [], "x": []}, times="t", columns="x")["gap"] == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"t": [1, 3, 2], "x": [0, 0, 0]}, "times must not go back, and step 3 is before step 2"),
        ({"t": [1, "noon"], "x": [0, 0]}, "expected a number, or a date as 2026-03-01T08:30"),
        ({"t": [1, None], "x": [0, 0]}, "expected a number, or a date"),
        ({"t": 3, "x": [0]}, "expected a list of steps, found 3"),
        ({"t": [1, 2], "x": [0]}, "column 'x' has 1 steps and 't' 2"),
        ({"t": [1, 2], "x": [0, "a"]}, "column 'x': expected a number, found 'a'"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(values, message):
    with pytest.raises(RowError, match=message):
        made(values, times="t", columns="x")
