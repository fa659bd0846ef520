"""The kit on parts of one's own: expected failures, other options, classes nobody registered."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
import seqlab
import torch
from seqlab import plugins
from seqlab.errors import OptionError, UnknownNameError
from seqlab.testing import (
    Settings,
    check,
    check_cell,
    check_head,
    check_merge,
)
from seqlab.testing.certificate import make_entry
from seqlab.testing.kit import KNOWN

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


def test_known_failures_of_built_in_parts_name_real_parts_and_checks():
    for (kind, name), reasons in KNOWN.items():
        assert name in seqlab.available(kind)
        results = {result.name: result for result in check(kind, name)}
        assert {results[each].outcome for each in reasons} == {"expected failure"}
