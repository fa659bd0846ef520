"""How the kit runs: needs, gates, skips, expected failures, reasons, randomness."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import seqlab
from seqlab.construct import accepted_options
from seqlab.errors import OptionError
from seqlab.testing import (
    Settings,
    parametrize_with_checks,
)
from seqlab.testing.check_table import Check, Table, TableRun
from seqlab.testing.kit import make_run
from seqlab.testing.options import OPTION_TESTS
from seqlab.testing.result import CheckResult, Failure, Skip

pytest_plugins = ["pytester"]


def table():
    made = Table()

    @made.check(gate=True)
    def begins(case):
        """It begins.

        Catches: nothing at all.
        """
        if case == "broken":
            raise Failure("it does not begin, 0 of 3 times", count=0)

    @made.check()
    def runs(case):
        """It runs
        on two lines.

        Catches: things
        that do not run.
        """
        if case == "lame":
            raise ValueError("no leg\nto stand on")
        return {"steps": 3}

    @made.check(needs=("runs", "not in this table"))
    def jumps(case):
        """It jumps.

        Catches: lameness.
        """

    @made.check(needs=("jumps",), slow=True)
    def flies(case):
        """It flies.

        Catches: weight.
        """
        raise Skip("no wings")

    return made


def run(case, **settings):
    return {r.name: r for r in TableRun(table().checks, case, Settings(**settings)).results()}


def test_results_have_text_and_numbers():
    results = run("well")
    assert [str(result) for result in results.values()] == [
        "begins: passed",
        "runs: passed",
        "jumps: passed",
        "flies: skipped: no wings",
    ]
    runs = results["runs"]
    assert runs.says == "It runs on two lines."
    assert runs.catches == "things that do not run."
    assert runs.numbers == {"steps": 3}
    assert all(result.passed for result in results.values())
    assert json.loads(json.dumps(runs.to_dict()))["passed"] is True


def test_a_failed_gate_skips_all_that_follow():
    results = run("broken")
    assert not results["begins"].passed
    assert results["begins"].numbers == {"count": 0}
    assert {r.reason for n, r in results.items() if n != "begins"} == {
        "means nothing until 'begins' passes"
    }


def test_what_needs_a_failed_check_is_skipped_through_others_too():
    results = run("lame")
    assert results["runs"].reason.startswith("raised ValueError: no leg to stand on (test_kit_runs")
    assert results["jumps"].reason == "means nothing until 'runs' passes"
    assert results["flies"].reason == "means nothing until 'runs' passes"


def test_fast_leaves_slow_checks_out():
    assert run("well", fast=True)["flies"].reason == "takes seconds; left out by fast"


def test_only_runs_what_is_asked_for():
    assert list(run("broken", only=("jumps",))) == ["jumps"]
    with pytest.raises(OptionError, match="only: no check 'jumsp': did you mean 'jumps'"):
        run("well", only=("jumsp",))


def test_an_expected_failure_needs_a_reason_and_has_to_fail():
    results = run("lame", expected_failures={"runs": "it has no legs"})
    assert results["runs"].outcome == "expected failure"
    assert results["runs"].reason.startswith("it has no legs (raised ValueError")
    assert results["runs"].passed
    assert results["jumps"].outcome == "passed", "what follows is run all the same"
    surprise = run("well", expected_failures={"runs": "it has no legs"})["runs"]
    assert not surprise.passed
    assert surprise.reason.startswith("passes, and was expected to fail (it has no legs)")
    with pytest.raises(OptionError, match="expected_failures: 'runs' needs a reason, got ' '"):
        Settings(expected_failures={"runs": " "})
    with pytest.raises(OptionError, match="expected_failures: no check 'flys'"):
        run("well", expected_failures={"flys": "wings"})


def test_an_expected_failure_of_a_gate_switches_nothing_off():
    results = run("broken", expected_failures={"begins": "it never does"})
    assert results["begins"].outcome == "expected failure"
    assert [results[name].outcome for name in ("runs", "jumps", "flies")] == [
        "passed",
        "passed",
        "skipped",
    ]


def test_a_check_needs_its_texts_and_a_name_of_its_own():
    made = Table()
    with pytest.raises(OptionError, match=r"check 'x' needs a sentence and 'Catches: \.\.\.'"):
        made.add(Check("x", lambda _: None, text="It does."))
    made.add(Check("x", lambda _: None, text="It does.\n\nCatches: that it does not."))
    with pytest.raises(OptionError, match="has a check named 'x' already"):
        made.add(Check("x", lambda _: None, text="It does.\n\nCatches: that it does not."))


@pytest.mark.parametrize("kind", seqlab.registry.KINDS)
def test_every_check_of_every_kind_has_its_texts(kind):
    name = seqlab.available(kind)[0]
    checks = make_run(kind, name).checks.values()
    assert checks
    for each in checks:
        assert each.says.endswith((".", "!")), each
        assert each.catches, each


def test_every_option_of_the_gated_base_is_tried():
    base = set(accepted_options(seqlab.GatedCell)) - {"input_size", "hidden_size"}
    assert base == set(OPTION_TESTS)


def test_parametrize_makes_one_test_a_check():
    mark = parametrize_with_checks(["merge=sum", ("attention=dot", {"scaled": True})])
    ids = [parameter.id for parameter in mark.args[1]]
    assert "merge=sum-output_size_is_true" in ids
    assert "attention=dot(scaled=True)-weights_are_a_mean" in ids
    with pytest.raises(OptionError, match="a part by name is 'kind=name', such as 'cell=gru'"):
        parametrize_with_checks(["gru"])
    with pytest.raises(OptionError, match="has no base by which its kind is known"):
        parametrize_with_checks([CheckResult])


TESTS = """
from seqlab.testing import Settings, parametrize_with_checks
from wrong.parts import ForwardOnly, WideMerge

@parametrize_with_checks(["merge=sum", ForwardOnly])
def test_conforms(check):
    check()

@parametrize_with_checks(
    [WideMerge], settings=Settings(expected_failures={"output_size_is_true": "an old bug"})
)
def test_known(check):
    check()
"""


def test_pytest_shows_failures_skips_and_expected_failures(pytester):
    pytester.syspathinsert(Path(__file__).parent)
    pytester.makepyfile(test_plugin=TESTS)
    options = ["-rsxf", "-W", "error", "--strict-markers", "-m", "seqlab_check"]
    done = pytester.runpytest_inprocess(*options, "-p", "no:cacheprovider")
    done.assert_outcomes(passed=27, failed=1, skipped=4, xfailed=1)
    for line in (
        "*ForwardOnly: sides_are_true: moving backward by 1 moves the output by 0*",
        "*the check catches: swapped halves, a direction that is dropped.*",
        "*means nothing until 'sides_are_true' passes*",
        "*an old bug (output, by output_size*",
    ):
        done.stdout.fnmatch_lines([line])


def test_certificates_are_read_without_torch():
    code = (
        "import sys, seqlab.testing.certificate as c; c.read_certificate('seqlab');"
        "print([m for m in ('torch', 'datasets', 'hydra', 'seqlab_mgu') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
