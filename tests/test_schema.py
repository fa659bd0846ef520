from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from seqlab.errors import ConfigError, OptionError
from seqlab.schema import (
    Count,
    Fraction,
    Name,
    NonNegative,
    Part,
    Positive,
    Range,
    Rule,
    Share,
    Whole,
    check_fields,
    check_value,
    checked,
    describe,
    read,
    with_defaults,
)


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


INSIDE = [
    (1, Count),
    (0, Whole),
    (1e-300, Positive),
    (0, NonNegative),
    (0, Fraction),
    (0.999, Fraction),
    (0, Share),
    (1, Share),
    (0.5, Part),
    ("x", Name),
    (None, Count | None),
    ([1, 2], list[Count]),
    (2, Annotated[int, Range(above=1, most=2)]),
]


@pytest.mark.parametrize(("value", "hint"), INSIDE)
def test_values_on_the_edge_of_a_bound_pass(value, hint):
    assert check_value(value, hint, "key") == value


OUTSIDE = [
    (0, Count, "an int of at least 1, got 0"),
    ("3", Count, "an int of at least 1, got '3'"),
    (True, Count, "an int of at least 1, got true"),
    (-1, Whole, "an int of at least 0, got -1"),
    (0, Positive, "a number above 0, got 0"),
    (-0.1, NonNegative, "a number of at least 0, got -0.1"),
    (1, Fraction, "a number in [0, 1), got 1"),
    (1.1, Share, "a number from 0 to 1, got 1.1"),
    (1, Part, "a number in (0, 1), got 1"),
    ("", Name, "a name, got ''"),
    (0, Count | None, "an int of at least 1 or null, got 0"),
    (float("nan"), float, "a finite number, got nan"),
    (float("inf"), Positive, "a number above 0, got inf"),
    (10**400, NonNegative, "a number of at least 0, got 1"),
    (3, Annotated[int, Range(most=2)], "an int of at most 2, got 3"),
    (2, Annotated[int, Range(below=2)], "an int below 2, got 2"),
    ("a b", Annotated[str, Rule(str.isidentifier, "a plain word")], "a plain word, got 'a b'"),
]


@pytest.mark.parametrize(("value", "hint", "message"), OUTSIDE)
def test_values_outside_a_bound_are_refused_with_it(value, hint, message):
    with pytest.raises(OptionError) as raised:
        check_value(value, hint, "key")
    assert str(raised.value).startswith(f"key: expected {message}")


def test_an_element_outside_its_bound_is_named():
    with pytest.raises(OptionError, match=r"key\[1\]: expected an int of at least 1, got 0"):
        check_value([3, 0], list[Count], "key")


def test_a_long_value_is_not_printed_whole():
    with pytest.raises(OptionError) as raised:
        check_value("x" * 10_000, int, "key")
    assert len(str(raised.value)) < 300


def test_a_spec_is_read_with_the_specs_inside():
    palette = read(Palette, {"paint": {"name": "blue", "tone": 1}, "back": {"name": "red"}}, "p")
    assert palette.paint == Blue("blue", 1.0)
    assert palette.back == Red("red")
    assert palette.frame is None
    assert palette.size == 3


def test_defaults_are_laid_under_a_mapping():
    assert with_defaults(None, {"a": 1}, "key") == {"a": 1}
    assert with_defaults({"a": 2}, {"a": 1, "b": 3}, "key") == {"a": 2, "b": 3}
    with pytest.raises(OptionError, match=r"key\.c: unknown key"):
        with_defaults({"c": 2}, {"a": 1}, "key")
    with pytest.raises(OptionError, match="key: expected a mapping, got 3"):
        with_defaults(3, {"a": 1}, "key")


@checked
def cut(text: str, most: Count = 2, *rest: int, shade: Red | None = None, **more: int) -> Any:
    return text[:most], rest, shade, more


def test_arguments_are_checked_by_the_annotations_of_a_function():
    assert cut("abc") == ("ab", (), None, {})
    assert cut("abc", 1, 5, 6, other=7) == ("a", (5, 6), None, {"other": 7})
    red = Red("red")
    assert cut("abc", shade=red)[2] is red
    for call, message in (
        (lambda: cut("abc", 0), "most: expected an int of at least 1, got 0"),
        (lambda: cut(3), "text: expected a string, got 3"),
        (lambda: cut("abc", shade={"name": "blue"}), "shade.name: expected one of 'red'"),
    ):
        with pytest.raises(OptionError, match=message):
            call()


def test_a_call_that_does_not_fit_is_told_in_python_s_words():
    with pytest.raises(TypeError, match=r"cut\(\) missing 1 required positional argument: 'text'"):
        cut()


def test_a_checked_function_shows_its_own_signature():
    assert str(inspect.signature(cut)).startswith("(text: 'str', most: 'Count' = 2, *rest")
