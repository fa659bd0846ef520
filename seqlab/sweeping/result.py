"""What came of a sweep: ``sweep.json``, the best bundle, tables, the page."""

from __future__ import annotations

import json
import shlex
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from seqlab import console
from seqlab.bundle.manifest import MANIFEST, versions
from seqlab.bundle.saving import check_place
from seqlab.errors import RunError
from seqlab.files import atomic_folder, write_json
from seqlab.sweeping.crew import outcome, reason, shown
from seqlab.sweeping.page import sweep_page
from seqlab.sweeping.plan import BUNDLE, PAGE, RESULT, Plan, trial_folder
from seqlab.sweeping.study import HOPELESS, Sweep
from seqlab.sweeping.worker import trial_words

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}
_SHOWN = 5


def answer(folder: Path, plan: Plan) -> dict[str, Any]:
    """Write down and print what came of the trials, and keep the best model.

    Args:
        folder: of the sweep.
        plan: what it set out to do.

    Returns:
        The content of ``sweep.json``.

    Raises:
        RunError: no trial came to its end; the message has the reason of the first.
    """
    sweep = Sweep(folder, plan)
    found = found_in(sweep)
    write_json(folder / RESULT, found)
    best = found["best"]
    if best is None:
        raise RunError(_nothing(sweep.trials(), plan, folder))
    _keep(Path(best["folder"]) / "bundle", folder / BUNDLE)
    page = sweep_page(found).write(folder / PAGE)
    _show(found, plan)
    for name, path in (("sweep", folder / RESULT), ("report", page), ("bundle", folder / BUNDLE)):
        console.say(f"{name:<8} {path}")
    return found


def found_in(sweep: Sweep) -> dict[str, Any]:
    """The content of ``sweep.json``, from the journal and the trials' folders."""
    plan, trials = sweep.plan, sweep.trials()
    entries = [_entry(trial, plan, sweep.folder) for trial in trials]
    done = [entry for entry in entries if entry["state"] == "complete"]
    pick = min if plan.mode == "min" else max
    best = pick(done, key=lambda entry: entry["value"]) if done else None
    counts = {state: sum(entry["state"] == state for entry in entries) for state in _COUNTED}
    return {
        "format": 1,
        "metric": plan.metric,
        "mode": plan.mode,
        "sampler": plan.sampler,
        "pruner": plan.pruner,
        "seed": plan.seed,
        "space": {dimension.name: str(dimension) for dimension in plan.space},
        "log": [dimension.name for dimension in plan.space if dimension.log],
        "words": list(plan.words),
        "asked": plan.trials,
        "counts": counts,
        "best": best,
        "again": None if best is None else _command(best["words"], plan.config_dir),
        "importance": _importance(sweep.study, plan),
        "trials": entries,
        "versions": {**versions(), "optuna": optuna.__version__},
    }


_COUNTED = ("complete", "pruned", "failed", "running")


def _entry(trial: FrozenTrial, plan: Plan, folder: Path) -> dict[str, Any]:
    place = trial_folder(folder, trial.number)
    began, ended = trial.datetime_start, trial.datetime_complete
    seconds = round((ended - began).total_seconds(), 3) if began and ended else None
    result = place / "result.json"
    test = json.loads(result.read_text("utf-8"))["test"] if result.is_file() else None
    state = _STATES[trial.state]
    failed = {"error": reason(trial)}
    return {
        "number": trial.number,
        "state": state,
        "value": trial.value if state == "complete" else None,
        "values": dict(trial.params),
        "words": list(trial_words(plan, trial.params)),
        "validations": [trial.intermediate_values[i] for i in sorted(trial.intermediate_values)],
        "seconds": seconds,
        "test": test,
        "folder": str(place),
        **(failed if state == "failed" else {}),
    }


def _importance(study: optuna.Study, plan: Plan) -> dict[str, float] | None:
    """The share of each key in what made trials good; None: too few trials tell.

    By PED-ANOVA (Watanabe, Bansal, Hutter, 2023).
    """
    values = {t.value for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}
    if len(values) < 4 or len(plan.space) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is experimental in Optuna
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: round(float(share), 6) for name, share in found.items()}


def _keep(bundle: Path, target: Path) -> None:
    """Copy the best bundle to where it is looked for."""
    check_place(target)
    with atomic_folder(target, MANIFEST) as new:
        shutil.copytree(bundle, new, dirs_exist_ok=True)


def _nothing(trials: Sequence[FrozenTrial], plan: Plan, folder: Path) -> str:
    reasons = [outcome(trial, plan) for trial in trials if trial.state == TrialState.FAIL]
    told = f"the first {reasons[0]}" if reasons else "none began"
    ended = f"{len(trials)} trials" if len(trials) != HOPELESS else f"the first {HOPELESS} trials"
    return f"sweep: {ended} gave no model; {told}; what each printed is in {folder / 'trials'}"


def _show(found: Mapping[str, Any], plan: Plan) -> None:
    counts, best = found["counts"], found["best"]
    done = sorted(
        (entry for entry in found["trials"] if entry["state"] == "complete"),
        key=lambda entry: entry["value"],
        reverse=found["mode"] == "max",
    )
    names = [dimension.name for dimension in plan.space]
    console.say("")
    console.table(
        ", ".join(f"{count} {state}" for state, count in counts.items() if count),
        ["trial", f"val_{found['metric']}", *(name.rpartition(".")[2] for name in names)],
        [
            [
                str(entry["number"]),
                console.number(entry["value"]),
                *(shown(entry["values"][name]) for name in names),
            ]
            for entry in done[:_SHOWN]
        ],
    )
    if found["importance"]:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in found["importance"].items())
        console.paragraph(f"what made trials good: {shares}")
    if best["test"]:
        parts = "  ".join(f"{name} {console.number(v)}" for name, v in best["test"].items())
        console.paragraph(f"trial {best['number']} on the test rows, which chose nothing: {parts}")
    console.say(f"again: {found['again']}")


def _command(words: Sequence[str], config_dir: str | None) -> str:
    """The command that trains the same model, quoted for a shell."""
    place = [] if config_dir is None else ["--config-dir", config_dir]
    return shlex.join(["seqlab", "train", *place, *words])
