"""What orders rows in time."""

from __future__ import annotations

import pytest
from seqlab.data.times import time_of


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("9", "10"),
        ("2000-06-05", "2000-06-05 00:30"),
        ("1999-12", "2000-01"),
        ("2000-01-01T00:30:00+01:00", "2000-01-01T00:00:00Z"),
        (-1, 0.5),
    ],
)
def test_times_are_put_in_order(earlier, later):
    assert time_of(earlier) < time_of(later)


@pytest.mark.parametrize("value", [None, True, "", "soon", "nan", float("inf"), [1], "2000-13"])
def test_what_is_no_time_has_no_place(value):
    assert time_of(value) is None
