"""The trials of a sweep in Optuna's journal: which there are, and who has which.

A worker claims a trial under a lock, and holds a file of that trial locked as long as it lives. So
no more trials begin than were asked for, whoever begins them, and one whose worker was killed is
known at once, by the system and not by a clock: it is marked as failed, and counts as any other.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from seqlab.errors import ConfigError, RunError
from seqlab.locks import wait_for_lock
from seqlab.sweeping.plan import Plan
from seqlab.sweeping.space import Dimension
from seqlab.training.randomness import mix

JOURNAL = "journal.log"
#: So many failures, and nothing else, end a sweep: the rest would fail too.
HOPELESS = 5
_NAME = "sweep"
_SEEDS = 2**32


class Claim:
    """A trial that this process is to carry out, for the time of a ``with`` block.

    Attributes:
        trial: Optuna's.
        values: the point of the space.
    """

    def __init__(self, trial: Trial, alive: Path, descriptor: int) -> None:
        self.trial, self.values = trial, dict(trial.params)
        self._alive, self._descriptor = alive, descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._alive.unlink(missing_ok=True)
        os.close(self._descriptor)


class Sweep:
    """The journal of a sweep, as one of its processes sees it.

    Args:
        folder: of the sweep.
        plan: what it has set out to do.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        backend = JournalFileBackend(str(folder / JOURNAL), _JournalLock(folder / JOURNAL))
        least = plan.mode == "min"
        with self._alone():
            self.study = optuna.create_study(
                storage=JournalStorage(backend), study_name=_NAME,
                direction=StudyDirection.MINIMIZE if least else StudyDirection.MAXIMIZE,
                load_if_exists=True, pruner=_pruner(plan), sampler=_sampler(plan, 0),
            )  # fmt: skip

    def trials(self) -> list[FrozenTrial]:
        """All that have begun, in their order."""
        return self.study.get_trials(deepcopy=False)

    def claim(self) -> Claim | None:
        """The next trial, taken; None: there is none left."""
        with self._alone():
            self._settle()
            trials = self.trials()
            if len(trials) >= self.plan.trials or _hopeless(trials):
                return None
            number = len(trials)
            if self.plan.sampler == "grid" and number >= len(grid_of(self.plan.space)):
                return None
            # the number alone says what is drawn, whichever process draws
            self.study.sampler = _sampler(self.plan, number)
            path = self._alive(number)
            path.parent.mkdir(exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            wait_for_lock(descriptor)
            trial = self.study.ask({d.name: _distribution(d) for d in self.plan.space})
            return Claim(trial, path, descriptor)

    def settle(self) -> list[int]:
        """Mark the trials as failed whose process has gone; gives their numbers."""
        with self._alone():
            return self._settle()

    def _settle(self) -> list[int]:
        gone = [
            trial.number
            for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if not _is_held(self._alive(trial.number))
        ]
        for number in gone:
            self.study.tell(number, state=TrialState.FAIL)
            self._alive(number).unlink(missing_ok=True)
        return gone

    def _alive(self, number: int) -> Path:
        return self.folder / ".alive" / f"{number:04d}"

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with _locked(self.folder / ".claims"):
            yield


def _hopeless(trials: list[FrozenTrial]) -> bool:
    ended = [trial for trial in trials if trial.state.is_finished()]
    return len(ended) >= HOPELESS and all(trial.state == TrialState.FAIL for trial in ended)


class _JournalLock(JournalFileOpenLock):
    """A lock that goes with its process, and mends what a process left that died as it wrote."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._held: contextlib.AbstractContextManager[None] | None = None

    def acquire(self) -> bool:
        """Wait for it."""
        self._held = _locked(self._journal.with_suffix(".lock"))
        self._held.__enter__()
        _drop_half_line(self._journal)
        return True

    def release(self) -> None:
        """Let it go."""
        if self._held is not None:
            self._held.__exit__(None, None, None)
            self._held = None


def _drop_half_line(journal: Path) -> None:
    """Cut off a last line that has no end; the next would be written behind it, and lost."""
    with journal.open("r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        if not size:
            return
        stream.seek(size - 1)
        if stream.read(1) == b"\n":
            return
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        wait_for_lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not wait_for_lock(descriptor, seconds=0.0)
    finally:
        os.close(descriptor)


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.kind == "choice":
        return CategoricalDistribution(dimension.choices)
    if dimension.low is None or dimension.high is None:
        raise RunError(f"sweep.space: {dimension.name} has no ends")
    if dimension.kind == "int":
        low, high, step = int(dimension.low), int(dimension.high), int(dimension.step or 1)
        return IntDistribution(low, high, log=dimension.log, step=step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _sampler(plan: Plan, number: int) -> optuna.samplers.BaseSampler:
    seed = mix(plan.seed, number) % _SEEDS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is experimental in Optuna
        drawn = optuna.samplers.RandomSampler(seed=seed)
        if plan.sampler == "grid":
            return optuna.samplers.PartialFixedSampler(grid_of(plan.space)[number], drawn)
        return drawn if plan.sampler == "random" else optuna.samplers.TPESampler(seed=seed)


def _pruner(plan: Plan) -> optuna.pruners.BasePruner:
    least = max(1, plan.warmup)
    if plan.pruner == "median":
        return optuna.pruners.MedianPruner(
            n_startup_trials=plan.startup, n_warmup_steps=plan.warmup
        )
    if plan.pruner == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=least)
    if plan.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=least)
    return optuna.pruners.NopPruner()


def grid_of(space: Sequence[Dimension]) -> list[dict[str, Any]]:
    """All points, the last dimension changing fastest.

    Raises:
        ConfigError: a dimension has no end of values.
    """
    names = [dimension.name for dimension in space]
    return [dict(zip(names, point, strict=True)) for point in product(*map(_values, space))]


def _values(dimension: Dimension) -> list[Any]:
    if dimension.kind == "choice":
        return list(dimension.choices)
    whole = dimension.kind == "int" and not dimension.log
    step = dimension.step or (1 if whole else None)
    if step is None or dimension.low is None or dimension.high is None:
        raise ConfigError(
            f"sweep.sampler=grid: {dimension.name} has no end of values; give a list of choices, "
            "or a step"
        )
    count = round((dimension.high - dimension.low) / step) + 1
    return [dimension.low + place * step for place in range(count)]
