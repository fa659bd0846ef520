"""The workers of a sweep: one here, or several processes that are watched and replaced."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from seqlab import progress
from seqlab.console import say
from seqlab.errors import RunError
from seqlab.sweeping.plan import Plan
from seqlab.sweeping.space import Dimension
from seqlab.sweeping.study import Sweep
from seqlab.sweeping.worker import ERROR, work, work_alone

#: Seconds between two looks at what the workers have done.
_LOOK = 0.5


def carry_out(folder: Path, plan: Plan, *, workers: int) -> None:
    """Do what is left of the trials.

    Other processes may work on the same sweep; the trials they have are waited for.

    Args:
        folder: of the sweep.
        plan: what it has set out to do.
        workers: trials at once.

    Raises:
        RunError: workers ended before they had claimed a trial.
    """
    sweep = Sweep(folder, plan)
    sweep.settle()
    with progress.stage("sweeping", plan.trials, unit="trials", summary=False) as stage:
        told = _Told(sweep, stage)
        told.silently()
        if workers == 1:
            for _ in work(folder, plan):
                told.news()
        else:
            _Crew(folder, plan, workers).run(told)
        while any(not trial.state.is_finished() for trial in sweep.trials()):
            time.sleep(_LOOK)
            sweep.settle()
            told.news()
        told.news()


class _Crew:
    """Worker processes."""

    def __init__(self, folder: Path, plan: Plan, workers: int) -> None:
        self.folder, self.plan = folder, plan
        left = plan.trials - len(Sweep(folder, plan).trials())
        self.wanted = max(0, min(workers, left))
        # forked processes would inherit the threads of torch and break
        self.context = multiprocessing.get_context("spawn")
        self.running: list[Any] = []

    def run(self, told: _Told) -> None:
        """Until every worker has ended by itself."""
        try:
            for _ in range(self.wanted):
                self._start()
            while self.running:
                wait([process.sentinel for process in self.running], timeout=_LOOK)
                self._look_after(told)
                told.news()
        finally:
            for process in self.running:
                process.kill()
                process.join()
            told.sweep.settle()

    def _start(self) -> None:
        process = self.context.Process(target=work_alone, args=(self.folder, self.plan))
        process.start()
        self.running.append(process)

    def _look_after(self, told: _Told) -> None:
        """Replace workers that were killed; one that had no trial yet would only be so again."""
        dead = [process for process in self.running if process.exitcode is not None]
        for process in dead:
            self.running.remove(process)
            process.join()
            if process.exitcode == 0:
                continue
            lost = told.sweep.settle()
            say(f"a worker ended with code {process.exitcode}; " + _lost(lost))
            if not lost:
                raise RunError(
                    f"a worker of the sweep ended with code {process.exitcode} and had no trial; "
                    f"go on by seqlab sweep resume={self.folder}"
                )
            self._start()


def _lost(numbers: list[int]) -> str:
    if not numbers:
        return "it had no trial"
    return f"trial {', '.join(map(str, numbers))} counts as failed, another worker begins"


class _Told:
    """Says of each trial once that it has ended."""

    def __init__(self, sweep: Sweep, stage: progress.Stage) -> None:
        self.sweep, self.stage = sweep, stage
        self.known: set[int] = set()
        self.best: float | None = None

    def silently(self) -> None:
        """Those that had ended before."""
        self._take(speak=False)
        self.stage.start_counting(len(self.known))

    def news(self) -> None:
        """Those that have ended since."""
        self._take(speak=True)

    def _take(self, *, speak: bool) -> None:
        for trial in self.sweep.trials():
            if trial.state.is_finished() and trial.number not in self.known:
                self.known.add(trial.number)
                line = self._line(trial)
                if speak:
                    self.stage.advance()
                    say(line)

    def _line(self, trial: FrozenTrial) -> str:
        plan = self.sweep.plan
        parts = [f"trial {trial.number}", outcome(trial, plan)]
        if trial.state == TrialState.COMPLETE and self._is_best(trial.value, plan.mode):
            self.best = trial.value
            parts.append("best so far")
        return "  ".join([*parts, point(plan.space, trial.params)])

    def _is_best(self, value: float | None, mode: str) -> bool:
        if value is None:
            return False
        return self.best is None or (value < self.best if mode == "min" else value > self.best)


def outcome(trial: FrozenTrial, plan: Plan) -> str:
    """What came of a trial, in words."""
    if trial.state == TrialState.COMPLETE:
        return f"val_{plan.metric} {trial.value:.4g}"
    if trial.state == TrialState.PRUNED:
        count = len(trial.intermediate_values)
        return f"given up after {count} validation{'s' * (count != 1)}"
    return f"failed: {reason(trial)}"


def reason(trial: FrozenTrial) -> str:
    """Why a trial failed."""
    return str(trial.user_attrs.get(ERROR, "its process was killed"))


def point(space: tuple[Dimension, ...], values: Mapping[str, Any]) -> str:
    """A point of the space, for people: short keys, numbers of four digits."""
    return " ".join(
        f"{dimension.name.rpartition('.')[2]}={shown(values[dimension.name])}"
        for dimension in space
        if dimension.name in values
    )


def shown(value: Any) -> str:
    """A value for people."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
