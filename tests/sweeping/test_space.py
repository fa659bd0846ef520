"""A search space is read, refused where it says nothing, and written as words that Hydra reads."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from seqlab.errors import ConfigError
from seqlab.sweeping.space import Dimension, corner_points, read_space, spelt, words_of
from seqlab.sweeping.study import grid_of


def test_every_form():
    space = read_space(
        {
            "optimizer": {"lr": {"log": [1e-4, 0.1]}, "weight_decay": {"uniform": [0, 1]}},
            "cell.hidden_size": {"int": [8, 64], "log": True},
            "wrappers.0.num_layers": {"int": [1, 6], "step": 2},
            "encoder.dropout": {"uniform": [0.0, 0.35], "step": 0.1},
            "cell": ["lstm", "gru"],
            "head.search": {"choice": [{"name": "greedy"}, {"name": "beam", "width": 4}, None]},
        }
    )
    assert space == (
        Dimension("optimizer.lr", "float", 1e-4, 0.1, log=True),
        Dimension("optimizer.weight_decay", "float", 0.0, 1.0),
        Dimension("cell.hidden_size", "int", 8, 64, log=True),
        Dimension("wrappers.0.num_layers", "int", 1, 5, step=2),
        Dimension("encoder.dropout", "float", 0.0, pytest.approx(0.3), step=0.1),
        Dimension("cell", "choice", choices=("lstm", "gru")),
        Dimension(
            "head.search", "choice", choices=("{name:greedy}", "{name:beam,width:4}", "null")
        ),
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "nothing varies"),
        ([1], "a mapping of keys"),
        ({"a.b": 3}, "a.b: expected {uniform"),
        ({"a": []}, "a: expected a list of choices"),
        ({"a": ["x", "x"]}, "a: a choice is given twice"),
        ({"a": {"log": [0, 1]}}, "a: a log range begins above 0; got 0"),
        ({"a": {"log": [2, 1]}}, "a: expected low below high"),
        ({"a": {"log": [1]}}, r"a: expected log: \[low, high\], two numbers"),
        ({"a": {"int": [1, 2.5]}}, "two whole numbers"),
        ({"a": {"int": [1, True]}}, "two whole numbers"),
        ({"a": {"uniform": [0, float("inf")]}}, "two numbers"),
        ({"a": {"int": [1, 4], "log": 1}}, "log is true or false"),
        ({"a": {"int": [1, 4], "log": True, "step": 2}}, "a log range has no step"),
        ({"a": {"uniform": [0, 1], "stap": 0.5}}, "stap does not go with uniform.*'step'"),
        ({"a": {"uniform": [0, 1], "step": 2}}, "a step of 2 is larger"),
        ({"a": {"uniform": [0, 1], "step": 0}}, "expected a step above 0"),
        ({"a": {"b": ["x"]}, "a.b": ["y"]}, "a.b is given twice"),
    ],
)
def test_what_is_no_space(given, said):
    with pytest.raises(ConfigError, match=rf"^sweep\.space: .*{said}"):
        read_space(given)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, -0.5, 1e-05, 1e22, "gru", "true", "null", "a b", "it's", "a,b", "a=b", "",
        "back\\slash", "end\\", "q\\'", "3", "1e3", "$x", "{a}",
        [1, "x y", [None]], {"name": "beam", "width": 4},
    ],
)  # fmt: skip
def test_hydra_reads_a_value_back(value):
    (override,) = OverridesParser.create().parse_overrides([f"key={spelt(value)}"])
    read = override.value()
    assert (getattr(read, "text", read) if isinstance(value, str) else read) == value
    assert not override.is_sweep_override()


def test_words_of_a_point():
    space = read_space({"cell": ["lstm"], "optimizer.lr": {"log": [1e-5, 1.0]}})
    words = words_of(space, {"cell": "lstm", "optimizer.lr": 1.25e-05})
    assert words == ("cell=lstm", "optimizer.lr=1.25e-05")


def test_corners_have_every_end_and_every_choice():
    space = read_space({"a": ["x", "y", "z"], "b": {"int": [1, 9]}})
    points = [tuple(point.values()) for point in corner_points(space)]
    assert points == [("x", 1), ("y", 1), ("z", 1), ("x", 9)]


def test_a_grid_has_all_points():
    space = read_space(
        {"a": ["x", "y"], "b": {"int": [1, 3]}, "c": {"uniform": [0, 1], "step": 0.5}}
    )
    points = [tuple(point.values()) for point in grid_of(space)]
    assert len(points) == len(set(points)) == 2 * 3 * 3
    assert points[:4] == [("x", 1, 0.0), ("x", 1, 0.5), ("x", 1, 1.0), ("x", 2, 0.0)]
    with pytest.raises(ConfigError, match="grid: lr has no end of values"):
        grid_of(read_space({"lr": {"log": [1, 2]}}))
