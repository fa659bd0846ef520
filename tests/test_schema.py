from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from seqlab.errors import ConfigError
from seqlab.schema import check_fields, check_value, describe


@dataclass(frozen=True)
class Red:
    name: Literal["red"]
    depth: int = 1


@dataclass(frozen=True)
class Blue:
    name: Literal["blue"]
    tone: float | None = None


@dataclass(frozen=True)
class Frame:
    name: str | None = None


@dataclass(frozen=True)
class Palette:
    paint: Red | Blue
    size: int = 3
    weights: tuple[float, float] = (0.5, 1.0)
    names: list[str] = field(default_factory=list)
    widths: dict[str, int] = field(default_factory=dict)
    back: Red | None = None
    frame: Frame | None = None


GOOD = [
    (3, int, 3),
    (3, float, 3.0),
    (True, bool, True),
    ("x", str, "x"),
    (None, int | None, None),
    (0.5, int | float | None, 0.5),
    (2, int | float | None, 2),
    ("auto", int | Literal["auto"], "auto"),
    ([1, 2], list[int], [1, 2]),
    ((1, 2), tuple[float, float], [1.0, 2.0]),
    ({"a": 1}, dict[str, int], {"a": 1}),
    ({"a": 1}, Mapping[str, float] | float, {"a": 1.0}),
    ("tanh", str | Callable[[Any], Any], "tanh"),
    (object, Callable[[Any], Any], object),
    ([1], Any, [1]),
]


@pytest.mark.parametrize(("value", "hint", "expected"), GOOD)
def test_what_fits_is_returned_in_the_asked_form(value, hint, expected):
    checked = check_value(value, hint, "key")
    assert checked == expected
    assert type(checked) is type(expected)


BAD = [
    ("abc", int, "key: expected an int, got 'abc'"),
    (True, int, "key: expected an int, got true"),
    (1, bool, "key: expected true or false, got 1"),
    (True, float, "key: expected a number, got true"),
    (None, str, "key: expected a string, got null"),
    (2.5, int | None, "key: expected an int or null, got 2.5"),
    ("a", list[str], "key: expected a list, got 'a'"),
    ([1, "b"], list[int], "key[1]: expected an int, got 'b'"),
    ([1.0], tuple[float, float], "key: expected a list of 2 values, got [1.0]"),
    ({"a": "b"}, dict[str, int], "key.a: expected an int, got 'b'"),
    (3, dict[str, int], "key: expected a mapping, got 3"),
    (
        "cpuu",
        Literal["cpu", "gpu"],
        "key: expected one of 'cpu', 'gpu', got 'cpuu', did you mean 'cpu'?",
    ),
    (7, Literal[16, 32], "key: expected one of 16, 32, got 7"),
    ("x", int | Literal["auto"], "key: expected an int or 'auto', got 'x'"),
]


@pytest.mark.parametrize(("value", "hint", "message"), BAD)
def test_what_does_not_fit_is_refused_in_one_line(value, hint, message):
    with pytest.raises(ConfigError) as raised:
        check_value(value, hint, "key")
    assert str(raised.value) == message


def test_defaults_are_filled_in_as_plain_values():
    assert check_fields({"paint": {"name": "blue"}}, Palette, "") == {
        "paint": {"name": "blue", "tone": None},
        "size": 3,
        "weights": [0.5, 1.0],
        "names": [],
        "widths": {},
        "back": None,
        "frame": None,
    }


def test_a_field_called_name_chooses_nothing_unless_it_is_a_literal():
    checked = check_fields({"paint": {"name": "red"}, "frame": {"name": None}}, Palette, "")
    assert checked["frame"] == {"name": None}


BAD_FIELDS = [
    ({}, "paint: no value was given; give it as paint=... on the command line"),
    ({"paint": {"name": "gren"}}, "paint.name: expected one of 'red', 'blue', got 'gren'"),
    ({"paint": {}}, "paint.name: expected one of 'red', 'blue', got null"),
    ({"paint": 3}, "paint: expected a mapping, got 3"),
    ({"paint": {"name": "red", "tone": 1.0}}, "paint.tone: unknown key, known: depth, name"),
    (
        {"paint": {"name": "red"}, "sise": 3},
        (
            "sise: unknown key, did you mean 'size'? "
            "(known: back, frame, names, paint, size, weights, widths)"
        ),
    ),
    (
        {"paint": {"name": "red"}, "back": {"name": "red", "dept": 2}},
        "back.dept: unknown key, did you mean 'depth'? (known: depth, name)",
    ),
]


@pytest.mark.parametrize(("value", "message"), BAD_FIELDS)
def test_wrong_fields_are_refused_with_the_full_key(value, message):
    with pytest.raises(ConfigError) as raised:
        check_fields(value, Palette, "")
    assert str(raised.value) == message


def test_expectations_in_words():
    assert describe(dict[str, int] | list[int] | None) == "a mapping or a list or null"
