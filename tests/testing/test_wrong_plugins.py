"""Each deliberately wrong part is caught by the check that is there for it, and by no other.

``wrong/MODULE.py`` holds the parts and ``wrong/expected/MODULE.py`` what catches each: the check,
its sentence, what it reports, and further checks that must fail as well, with the reason why.
"""

from __future__ import annotations

import importlib
import re

import pytest
from seqlab.testing import Settings, check
from seqlab.testing.parametrize import kind_of
from seqlab.testing.result import SKIPPED

FAST = Settings(fast=True)
MODULES = ("cells", "wrappers", "heads", "parts", "engines", "sources", "data_parts")
MODULES += ("training_parts", "transforms", "cells_at_extremes", "modifiers")
WRONG = {
    f"{module}.{name}": expected
    for module in MODULES
    for name, expected in importlib.import_module(f"wrong.expected.{module}").EXPECTED.items()
}
#: Parts among them with which nothing is wrong.
RIGHT = {
    "cells.Right",
    "sources.Squares",
    "engines.InferenceOnly",
    "cells.VectorCalledBias",
    "cells.NoBiasByDefault",
    "transforms.Lengths",
}


#: Those that compile most variants of a cell before one is caught, or train, and those whose like
#: is among the others.
LONG = {
    *(
        f"cells.{name}"
        for name in (
            "UnusedFlag", "DropsRegularizer", "HardCodedSigmoid", "NoBiasByDefault",
            "VectorCalledBias", "MixedUnits", "TypeMadeAtRunTime", "MissingFromStateDict",
            "UnseededWeights", "BranchesOnValues", "ForgetsToReset",
        )
    ),
    *(
        f"cells_at_extremes.{name}"
        for name in (
            "OverflowsFarFromZero", "NarrowOnly", "ShortProjection", "FewRowsOnly",
            "ConstantOnCpu", "CountsCalls", "SeldomRandom", "CopiesShareWeights",
            "WrongBackwardInSingle", "StateOfAutocast", "SqueezesOneRow",
        )
    ),
    *(f"heads.{name}" for name in ("CrashesOnEmptyRows", "LearnsTheOpposite", "TwoLosses")),
    *(
        f"wrappers.{name}"
        for name in (
            "SwapsFinal", "CannotTurn", "LosesPlace", "FlipsPadding", "KnowsState", "CutAtHoles",
        )
    ),
}  # fmt: skip


def marked(path: str):
    return pytest.param(path, marks=pytest.mark.slow) if path in LONG else path


def part_of(path: str):
    module, _, name = path.partition(".")
    return getattr(importlib.import_module(f"wrong.{module}"), name)


@pytest.mark.parametrize("path", [marked(path) for path in WRONG])
def test_a_wrong_part_fails_the_check_that_is_there_for_it(path):
    name, sentence, reason, *consequences = WRONG[path]
    part = part_of(path)
    results = {result.name: result for result in check(kind_of(part), part, settings=FAST)}
    failed = [result.name for result in results.values() if not result.passed]
    assert failed == [n for n in results if n in {name, *consequences}], results[name]
    assert results[name].says.startswith(sentence)
    assert results[name].catches
    assert re.search(reason, results[name].reason), results[name].reason
    for result in results.values():
        if result.outcome == SKIPPED and "means nothing until" in result.reason:
            assert re.search(rf"'({'|'.join(failed)})'", result.reason), result


@pytest.mark.parametrize("module", MODULES)
def test_no_wrong_part_is_left_out(module):
    loaded = importlib.import_module(f"wrong.{module}")
    public = {
        f"{module}.{name}"
        for name, value in vars(loaded).items()
        if isinstance(value, type)
        and value.__module__ == loaded.__name__
        and not name.startswith("_")
    }
    assert public - RIGHT == {path for path in WRONG if path.startswith(f"{module}.")}


def test_there_are_enough_wrong_parts():
    assert len(WRONG) >= 25


@pytest.mark.parametrize("path", [marked(path) for path in sorted(RIGHT)])
def test_the_same_parts_without_a_bug_pass(path):
    part = part_of(path)
    results = check(kind_of(part), part, settings=FAST)
    assert [str(result) for result in results if not result.passed] == []
    assert sum(result.outcome == "passed" for result in results) >= 6
