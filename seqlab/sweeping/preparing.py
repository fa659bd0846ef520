"""From settings to a plan: every corner of the space is a config that holds, or nothing begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab import console, progress
from seqlab.build import build_model
from seqlab.comparison.plan_file import SWEEP
from seqlab.config.sweep_app import without
from seqlab.construct import construct
from seqlab.data.module import DataModule
from seqlab.errors import DataError, RunError
from seqlab.files import check_writable
from seqlab.sweeping.corners import check_corners
from seqlab.sweeping.plan import Plan
from seqlab.sweeping.space import read_space
from seqlab.sweeping.study import grid_of
from seqlab.training.monitor import monitor_of

_TRIALS = 20
_ONE_THREAD = "trainer.num_threads=1"


def new_plan(
    settings: Mapping[str, Any], words: Sequence[str], folder: Path, config_dir: str | None
) -> Plan:
    """The plan of a sweep, written into its folder.

    Each trial has one thread unless the words say otherwise, so that its numbers are the same
    however many workers there are.

    Args:
        settings: as in ``seqlab.config.verb_specs.SweepSettings``.
        words: the overrides that all trials share.
        folder: of the sweep.
        config_dir: where else configs lie.

    Raises:
        SeqlabError: the space, a config in it, or the data are not right; the folder is taken.
    """
    space = read_space(settings["space"])
    _check_free(folder)
    points = len(grid_of(space)) if settings["sampler"] == "grid" else None
    shared = without(words, [dimension.name for dimension in space])
    with progress.stage("checking the space", summary=False, lines=False):
        first = check_corners(space, shared, config_dir)
    if first["trainer"].get("num_threads") is None:
        shared = (*shared, _ONE_THREAD)
    metric, mode = _objective(first)
    asked = settings["trials"] or points or _TRIALS
    options = {key: settings[key] for key in ("sampler", "pruner", "startup", "warmup", "seed")}
    plan = Plan(
        space, shared, asked if points is None else min(points, asked),
        metric=metric, mode=mode, config_dir=config_dir, **options,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(folder)
    plan.write(folder)
    _show(plan, folder)
    return plan


def begun_plan(folder: Path, trials: int | None) -> Plan:
    """The plan of a sweep that was begun, with more trials if they are asked for.

    Raises:
        RunError: there is none in the folder.
    """
    plan = Plan.read(folder)
    if trials is not None and trials != plan.trials:
        plan = dataclasses.replace(plan, trials=trials)
        plan.write(folder)
    _show(plan, folder)
    return plan


def _check_free(folder: Path) -> None:
    if SWEEP.is_in(folder):
        raise RunError(
            f"{folder} holds a sweep already; go on with it by seqlab sweep resume={folder}, "
            "or choose another by hydra.run.dir=FOLDER"
        )


def _objective(spec: Mapping[str, Any]) -> tuple[str, str]:
    """The monitored metric, from a model that is not trained; this reads the data too."""
    source = construct("source", spec["source"], where="source")
    data = DataModule(source, spec["data"], seed=spec["seed"])
    data.prepare()
    if "validation" not in data.splits:
        raise DataError("sweep: there are no validation rows to choose by; set data.validation=0.1")
    head = build_model(spec, data.info).head
    kept = (spec.get("callbacks") or {}).get("checkpoint") or {}
    return monitor_of(kept, head, "callbacks.checkpoint")


def _show(plan: Plan, folder: Path) -> None:
    console.table(
        f"{plan.trials} trials by {plan.sampler}, best val_{plan.metric} ({plan.mode}), "
        f"pruner {plan.pruner}",
        ["key", "from"],
        [[dimension.name, str(dimension)] for dimension in plan.space],
    )
    console.say(f"if it is stopped: seqlab sweep resume={folder}")
