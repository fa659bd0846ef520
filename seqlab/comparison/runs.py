"""The runs of a comparison: ordinary run folders, one after another or several at once."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from seqlab.bundle import load
from seqlab.comparison.blocks import TestValue, kept_value, test_value
from seqlab.comparison.contestants import Contestant
from seqlab.comparison.plan import Plan
from seqlab.comparison.shown import Comparing
from seqlab.console import say
from seqlab.devices import global_settings
from seqlab.errors import RunError, SeqlabError
from seqlab.failures import machine_failure
from seqlab.files import reading, write_json
from seqlab.training.run import train

_VALUE = "test_value.json"


@dataclass(frozen=True)
class RunTask:
    """One run: a contestant with a seed.

    Attributes:
        contestant: who trains.
        seed: with what.
        folder: the run's folder.
        words: the command line that would do the same.
        metric: what its test rows are measured by; None: the metric it is selected by.
    """

    contestant: Contestant
    seed: int
    folder: Path
    words: tuple[str, ...] = ()
    metric: str | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return (self.folder / "result.json").is_file()


def tasks_of(plan: Plan, folder: Path) -> list[RunTask]:
    """The runs of a comparison, in rounds of seeds.

    Args:
        plan: the comparison.
        folder: where it lies.
    """
    return [
        RunTask(
            entry.contestant,
            seed,
            folder / "runs" / entry.contestant.folder / f"seed-{seed}",
            words=(*entry.contestant.overrides, f"seed={seed}"),
            metric=plan.metric,
        )
        for seed in plan.seeds
        for entry in plan.entries
    ]


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended, and what it wrote into ``result.json``."""

    name: str
    seed: int
    folder: Path
    result: Mapping[str, Any]

    @classmethod
    def of(cls, task: RunTask) -> EndedRun:
        """What lies in the folder of a run that has ended."""
        return EndedRun(task.contestant.name, task.seed, task.folder, _result(task))


@dataclass(frozen=True)
class FinishedRun(EndedRun):
    """What a comparison needs of a run."""

    test: TestValue


R = TypeVar("R", bound=EndedRun)


def carry_out(
    tasks: Sequence[RunTask],
    *,
    jobs: int,
    budget: float | None,
    begin: Callable[[RunTask], None],
    end: Callable[[RunTask], R],
    name: str = "comparing",
) -> list[R]:
    """Do what is left of the runs, and take what is needed of all of them.

    Args:
        tasks: in rounds, one seed of every contestant after another.
        jobs: how many at once, each in a process of its own.
        budget: seconds after which no further round of seeds begins, if two are done; None: no
            limit.
        begin: called when a run's folder is taken, to write down more about it.
        end: gives what is needed of a run that has ended.
        name: of the stage that is shown.
    """
    seeds = list(dict.fromkeys(task.seed for task in tasks))
    groups = [tasks] if budget is None else [[t for t in tasks if t.seed == s] for s in seeds]
    clock = _Budget(budget)
    found: list[R] = []
    with Comparing(len(tasks), name) as shown:
        for group in groups:
            if not clock.has_room(sum(not task.done for task in group)):
                say(f"budget={budget:g}: no room for seed {group[0].seed} and those after it")
                break
            for run, trained in _finished(group, jobs, begin, end):
                found.append(run)
                shown.one_more(run.name, run.seed, trained=trained)
                if trained:
                    say(shown.line(run.result))
            clock.round_done()
    order = {(task.contestant.name, task.seed): place for place, task in enumerate(tasks)}
    return sorted(found, key=lambda run: order[run.name, run.seed])


class _Budget:
    """Whether there is time for another round of seeds."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.began = self.last = time.monotonic()
        self.rounds = 0
        self.longest = 0.0

    def has_room(self, left: int) -> bool:
        if self.seconds is None or self.rounds < 2 or not left:
            return True
        return time.monotonic() - self.began + self.longest <= self.seconds

    def round_done(self) -> None:
        now = time.monotonic()
        self.longest = max(self.longest, now - self.last)
        self.last = now
        self.rounds += 1


def _finished(
    tasks: Sequence[RunTask],
    jobs: int,
    begin: Callable[[RunTask], None],
    end: Callable[[RunTask], R],
) -> Iterator[tuple[R, bool]]:
    if jobs == 1 or len(tasks) == 1:
        for task in tasks:
            yield _carry_out(task, begin, end)
        return
    from joblib import Parallel, delayed

    yield from Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(_carry_out)(task, begin, end) for task in tasks
    )


def _carry_out(
    task: RunTask, begin: Callable[[RunTask], None], end: Callable[[RunTask], R]
) -> tuple[R, bool]:
    """One run, from where it is; and whether there was anything left to train."""
    trained = not task.done
    try:
        if trained:
            with logged(task.folder / "train.log"):
                train(task.contestant.run_spec(task.seed), task.folder, lambda: begin(task))
        return end(task), trained
    except SeqlabError as error:
        raise type(error)(f"{task.contestant.name}, seed {task.seed}: {error}") from error
    except Exception as error:
        failure = machine_failure(error)
        if failure is None:
            raise
        raise type(failure)(f"{task.contestant.name}, seed {task.seed}: {failure}") from error


def measured(task: RunTask, *, keep: bool = True) -> FinishedRun:
    """A finished run with its value on the test rows.

    Args:
        task: the run; it has ended.
        keep: write the value into the run's folder, and take it from there.
    """
    result = _result(task)
    file = task.folder / _VALUE
    known = kept_value(file) if keep else None
    if known is None or task.metric not in (None, known.metric):
        threads = task.contestant.spec["trainer"].get("num_threads")
        with global_settings(threads or 1):  # small batches: more would wait for each other
            trained = load(task.folder / "bundle")
            mode = result["monitor"]["mode"]
            wanted = task.metric or result["monitor"]["name"]
            known = test_value(trained, trained.config["source"], wanted, mode)
        if keep:
            write_json(file, asdict(known), indent=0)
    return FinishedRun(task.contestant.name, task.seed, task.folder, result, known)


def _result(task: RunTask) -> Any:
    file = task.folder / "result.json"
    with reading(file, RunError, "what a run wrote"):
        return json.loads(file.read_text("utf-8"))


@contextlib.contextmanager
def logged(file: Path) -> Iterator[None]:
    """What a run prints goes into a file of its own, for the time of a block."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
        yield
