"""How the kit runs: needs, gates, skips, expected failures, reasons, randomness."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import seqlab
import torch
from seqlab import plugins
from seqlab.construct import accepted_options
from seqlab.errors import OptionError, UnknownNameError
from seqlab.testing import (
    Settings,
    check,
    check_cell,
    check_head,
    check_merge,
    parametrize_with_checks,
)
from seqlab.testing.certificate import make_entry
from seqlab.testing.check_table import Check, Table, TableRun
from seqlab.testing.kit import KNOWN, make_run
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


RANDOM = ("inference_is_deterministic", "randomness_comes_from_sample_noise")


def test_a_cell_of_random_numbers_is_never_certified(monkeypatch):
    settings = Settings(fast=True, expected_failures=dict.fromkeys(RANDOM, "it is random"))
    results = check_cell(RandomNumbers, settings=settings)
    assert [result.name for result in results if not result.passed]
    monkeypatch.setattr(RandomNumbers, "expected_failures", {}, raising=False)
    seqlab.register("cell", "random-numbers")(RandomNumbers)
    try:
        made = make_entry("cell", "random-numbers", results)
    finally:
        seqlab.registry.unregister("cell", "random-numbers")
    assert not made["passed"]


class RandomNumbers(seqlab.get("cell", "rnn")):
    """What it returns has nothing to do with what it was given."""

    def step(self, projected_t, state, noise=None):
        """Random numbers."""
        hidden = torch.rand_like(super().step(projected_t, state, noise)[0])
        return hidden, type(state)(hidden)


def test_a_head_for_targets_that_the_kit_does_not_know_fails():
    class Weather(seqlab.get("head", "classification")):
        """Says what the weather will be."""

        needs = ("weather",)

    results = {result.name: result for result in check_head(Weather)}
    assert not results["constructor"].passed
    assert results["constructor"].reason.endswith("and none for weather")
    assert not any(result.outcome == "passed" for result in results.values())


BROKEN = plugins.Declaration("wrapper", "broken", "seqlab-broken", "1", "no_such_module:Broken")


def test_a_broken_plugin_leaves_the_others_alone(monkeypatch):
    real = plugins.declared
    kinds = {kind: {"broken": replace(BROKEN, kind=kind)} for kind in seqlab.registry.KINDS}
    monkeypatch.setattr(plugins, "declared", lambda kind: {**kinds[kind], **real(kind)})

    class Unregistered(seqlab.get("wrapper", "residual")):
        """Not registered, so that its name is looked for among all."""

    for part, kind in ((Unregistered, "wrapper"), ("min_gru", "cell"), ("loop", "engine")):
        results = check(kind, part, settings=Settings(fast=True))
        assert [str(result) for result in results if not result.passed] == []
        assert not [result.name for result in results if "broken" in result.name]


def test_a_part_can_state_its_expected_failures():
    class Halves(seqlab.get("merge", "sum")):
        """Half of it."""

        expected_failures = MappingProxyType(
            {"output_size_is_true": "the width is halved on purpose"}
        )

        def forward(self, forward, backward):
            return super().forward(forward, backward)[..., ::2]

    results = {result.name: result for result in check_merge(Halves)}
    assert results["output_size_is_true"].outcome == "expected failure"
    assert "halved on purpose (output, by output_size" in results["output_size_is_true"].reason
    Halves.expected_failures = ["output_size_is_true"]
    with pytest.raises(OptionError, match="expected_failures must map checks to reasons"):
        check_merge(Halves)


@pytest.mark.parametrize("step", [2, 1, 3])
def test_with_other_options_a_pass_is_a_pass_and_is_told(step):
    class Skips(seqlab.get("merge", "sum")):
        """Every so many of the values."""

        expected_failures = MappingProxyType({"output_size_is_true": "half are left out"})

        def __init__(self, *sizes, step=2):
            super().__init__(*sizes)
            self.step = step

        def forward(self, forward, backward):
            return super().forward(forward, backward)[..., :: self.step]

    only = Settings(only=("output_size_is_true",))
    (result,) = check_merge(Skips, settings=only, step=step)
    assert result.passed
    assert result.outcome == ("passed" if step == 1 else "expected failure")
    if step == 1:
        reason = "passes with these options; it is expected to fail by default (half are left out)"
        assert result.reason == reason
        own = Settings(only=only.only, expected_failures={"output_size_is_true": "of this run"})
        (result,) = check_merge(Skips, settings=own, step=step)
        assert not result.passed, "what a run expects is expected of its options"
    Skips.expected_failures = {"output_size": "no such check"}
    with pytest.raises(OptionError, match="expected_failures: no check 'output_size'"):
        check_merge(Skips, settings=only, step=step)


def test_a_subclass_elsewhere_need_not_have_the_checks_that_its_base_states():
    class Base(seqlab.get("merge", "sum")):
        """A sum."""

        expected_failures = MappingProxyType({"only_there": "comes with another distribution"})

    class Derived(Base):
        """The same."""

    assert all(result.passed for result in check_merge(Derived))
    with pytest.raises(OptionError, match="expected_failures: no check 'only_there'"):
        check_merge(Base)


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


def test_unknown_parts_are_refused():
    with pytest.raises(UnknownNameError, match="unknown cell 'lsmt': did you mean 'lstm'"):
        check_cell("lsmt")
    with pytest.raises(OptionError, match="the kit has no checks of a planet"):
        check("planet", "mars")


def test_the_callers_random_numbers_are_left_alone():
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    check_cell("gru", settings=Settings(only=("rows_do_not_mix", "option_dropout")))
    assert torch.equal(torch.rand(3), expected)


def test_a_class_is_checked_without_being_registered():
    class Plain(seqlab.get("cell", "rnn")):
        """An Elman net, not registered."""

    before = seqlab.available("cell")
    settings = Settings(only=("wrapper_bidirectional", "head_classification"))
    results = check_cell(Plain, settings=settings)
    assert [result.outcome for result in results] == ["passed", "passed"]
    assert seqlab.available("cell") == before


def test_a_class_of_a_function_has_no_bundle_in_another_process():
    class Local(seqlab.get("cell", "rnn")):
        """Known to this function only."""

    (result,) = check_cell(Local, settings=Settings(only=("bundle_round_trip",)))
    assert result.outcome == "skipped"
    assert "defined inside a function" in result.reason


@pytest.mark.slow
def test_sizes_may_be_given():
    results = check_cell("gru", input_size=4, hidden_size=4, settings=Settings(fast=True))
    assert [str(result) for result in results if not result.passed] == []


def test_every_option_of_the_gated_base_is_tried():
    base = set(accepted_options(seqlab.GatedCell)) - {"input_size", "hidden_size"}
    assert base == set(OPTION_TESTS)


def test_known_failures_of_built_in_parts_name_real_parts_and_checks():
    for (kind, name), reasons in KNOWN.items():
        assert name in seqlab.available(kind)
        results = {result.name: result for result in check(kind, name)}
        assert {results[each].outcome for each in reasons} == {"expected failure"}


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
