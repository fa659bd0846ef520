"""Who has which trial: none twice, none too many, and those of the dead are failed."""

from __future__ import annotations

import dataclasses
import os
import threading

import pytest
from optuna.trial import TrialState
from seqlab.sweeping.plan import Plan
from seqlab.sweeping.result import found_in
from seqlab.sweeping.space import read_space
from seqlab.sweeping.study import JOURNAL, Sweep

SPACE = read_space({"cell": ["lstm", "gru"], "lr": {"log": [1e-4, 0.1]}, "size": {"int": [1, 9]}})
PLAN = Plan(SPACE, (), 9, "tpe", "median", 2, 1, 0, "accuracy", "max")


def states(sweep):
    return [trial.state for trial in sweep.trials()]


def drop(claim):
    """What the system does for a process that is killed: its lock goes, its file stays."""
    os.close(claim._descriptor)


def test_no_more_trials_than_asked_for(tmp_path):
    sweep = Sweep(tmp_path, PLAN)
    count = 0
    while (claim := sweep.claim()) is not None:
        with claim:
            sweep.study.tell(claim.trial, claim.values["lr"])
        count += 1
    assert count == 9
    assert states(sweep) == [TrialState.COMPLETE] * 9
    more = Sweep(tmp_path, dataclasses.replace(PLAN, trials=10))
    assert more.claim().trial.number == 9
    assert more.claim() is None


def test_claims_at_the_same_time(tmp_path):
    Sweep(tmp_path, PLAN)
    numbers = []

    def work():
        sweep = Sweep(tmp_path, PLAN)
        while (claim := sweep.claim()) is not None:
            with claim:
                numbers.append(claim.trial.number)
                sweep.study.tell(claim.trial, claim.values["lr"])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(9))


def test_the_trial_of_a_dead_process_is_failed_once(tmp_path):
    first, second = Sweep(tmp_path, PLAN), Sweep(tmp_path, PLAN)
    lost, kept = first.claim(), second.claim()
    assert first.settle() == []
    drop(lost)
    assert second.settle() == [0]
    assert first.settle() == []
    assert states(first) == [TrialState.FAIL, TrialState.RUNNING]
    second.study.tell(kept.trial, 0.5)
    found = found_in(first)
    assert found["counts"] == {"complete": 1, "pruned": 0, "failed": 1, "running": 0}
    assert found["trials"][0]["error"] == "its process was killed"
    assert found["best"]["number"] == 1


def test_what_is_drawn_depends_on_seed_and_number_alone(tmp_path):
    def points(folder, plan, again):
        folder.mkdir()
        sweep, found = Sweep(folder, plan), []
        while (claim := sweep.claim()) is not None:
            with claim:
                found.append(claim.values)
                sweep.study.tell(claim.trial, claim.values["lr"])
            if again:
                sweep = Sweep(folder, plan)
        return found

    plan = dataclasses.replace(PLAN, trials=14)
    reference = points(tmp_path / "a", plan, again=False)
    assert points(tmp_path / "b", plan, again=True) == reference
    assert points(tmp_path / "c", dataclasses.replace(plan, seed=1), again=False) != reference
    assert len({point["lr"] for point in reference}) == 14


def test_a_line_that_a_dead_process_did_not_end(tmp_path):
    sweep = Sweep(tmp_path, PLAN)
    with sweep.claim() as claim:
        sweep.study.tell(claim.trial, 0.1)
    with (tmp_path / JOURNAL).open("ab") as stream:
        stream.write(b'{"op_code":6,"wor')
    other = Sweep(tmp_path, PLAN)
    with other.claim() as claim:
        other.study.tell(claim.trial, 0.2)
    assert [trial.value for trial in sweep.trials()] == [0.1, 0.2]
    assert [trial.value for trial in Sweep(tmp_path, PLAN).trials()] == [0.1, 0.2]


def test_a_grid_takes_each_point_once(tmp_path):
    space = read_space({"cell": ["lstm", "gru"], "size": {"int": [1, 3]}})
    plan = dataclasses.replace(PLAN, space=space, sampler="grid")
    sweep, found = Sweep(tmp_path, plan), []
    while (claim := sweep.claim()) is not None:
        with claim:
            found.append((claim.values["cell"], claim.values["size"]))
            sweep.study.tell(claim.trial, 0.0)
    assert found == [("lstm", 1), ("lstm", 2), ("lstm", 3), ("gru", 1), ("gru", 2), ("gru", 3)]


def test_five_failures_and_nothing_else_end_it(tmp_path):
    sweep, count = Sweep(tmp_path, PLAN), 0
    while (claim := sweep.claim()) is not None:
        with claim:
            sweep.study.tell(claim.trial, state=TrialState.FAIL)
        count += 1
    assert count == 5
    assert found_in(sweep)["best"] is None


@pytest.mark.parametrize("pruner", ["median", "halving", "hyperband", "none"])
def test_pruners_give_up_what_is_worse(tmp_path, pruner):
    plan = dataclasses.replace(PLAN, pruner=pruner, trials=12)
    sweep, given_up = Sweep(tmp_path, plan), []
    while (claim := sweep.claim()) is not None:
        number = claim.trial.number
        with claim:
            for step in range(1, 10):
                claim.trial.report(float(-number), step)
                if claim.trial.should_prune():
                    given_up.append(number)
                    sweep.study.tell(claim.trial, state=TrialState.PRUNED)
                    break
            else:
                sweep.study.tell(claim.trial, float(-number))
    assert 0 not in given_up
    assert bool(given_up) == (pruner != "none")
