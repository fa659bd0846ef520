"""One worker of a sweep: claims a trial, trains it as an ordinary run, says what came of it."""

from __future__ import annotations

import math
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Mapping
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from seqlab.comparison.runs import logged
from seqlab.config.job_folder import write_words
from seqlab.config.overrides import expand
from seqlab.config.sweep_app import trial_spec
from seqlab.errors import RunError, SeqlabError
from seqlab.failures import machine_failure
from seqlab.sweeping.plan import Plan, trial_folder
from seqlab.sweeping.space import words_of
from seqlab.sweeping.study import Claim, Sweep
from seqlab.training.lightning_advice import quiet
from seqlab.training.run import Result, train
from seqlab.training.watched import HaltedError

ERROR = "error"


def work(folder: Path, plan: Plan) -> Iterator[int]:
    """Carry out trials until none is left; gives the number of each when it has ended.

    Args:
        folder: of the sweep.
        plan: what it has set out to do.
    """
    sweep = Sweep(folder, plan)
    while (claim := sweep.claim()) is not None:
        with claim:
            _carry_out(claim, sweep)
        yield claim.trial.number


def work_alone(folder: Path, plan: Plan) -> None:
    """Be a worker process, as long as the one that started it lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for _ in work(folder, plan):
        pass


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _carry_out(claim: Claim, sweep: Sweep) -> None:
    """One trial; its failure is noted, and is not the end of the sweep."""
    trial, study = claim.trial, sweep.study
    folder = trial_folder(sweep.folder, trial.number)
    try:
        with quiet(), logged(folder / "train.log"):
            value = _value(_trained(claim, sweep, folder), sweep.plan)
    except HaltedError:
        study.tell(trial, state=TrialState.PRUNED)
    except SeqlabError as error:
        _failed(claim, sweep, str(error))
    except Exception as error:  # noqa: BLE001 - other trials go on; the log has the traceback
        failure = machine_failure(error)
        if failure is None:
            with (folder / "train.log").open("a", encoding="utf-8") as log:
                traceback.print_exception(error, file=log)
        _failed(claim, sweep, str(failure or f"{type(error).__name__}: {error}"))
    else:
        study.tell(trial, value)


def _trained(claim: Claim, sweep: Sweep, folder: Path) -> Result:
    plan, trial = sweep.plan, claim.trial
    words = trial_words(plan, claim.values)
    spec = trial_spec(words, plan.config_dir)

    def watch(count: int, value: float) -> bool:
        if math.isfinite(value):
            trial.report(value, count)
        return plan.pruner != "none" and count > plan.warmup and trial.should_prune()

    begin = partial(write_words, folder, words, plan.config_dir)
    return train(spec, folder, begin, watch=watch)


def trial_words(plan: Plan, values: Mapping[str, Any]) -> tuple[str, ...]:
    """The overrides of a trial, as a run's folder keeps them."""
    return tuple(map(expand, (*plan.words, *words_of(plan.space, values))))


def _value(result: Result, plan: Plan) -> float:
    monitor = result.values["monitor"]
    if (monitor["name"], monitor["mode"]) != (plan.metric, plan.mode):
        raise RunError(
            f"its best weights were chosen by val_{monitor['name']}, those of the first trial by "
            f"val_{plan.metric}; set callbacks.checkpoint.monitor for all"
        )
    if not math.isfinite(result.objective):
        raise RunError(f"val_{plan.metric} was never a finite number")
    return result.objective


def _failed(claim: Claim, sweep: Sweep, reason: str) -> None:
    claim.trial.set_user_attr(ERROR, reason)
    sweep.study.tell(claim.trial, state=TrialState.FAIL)
