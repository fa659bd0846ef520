"""``seqlab compare``: contestants on the same seeds, and what their differences mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlab import progress
from seqlab.collector import rare_collections
from seqlab.comparison.plan_file import COMPARISON
from seqlab.config.job_folder import write_words
from seqlab.console import paragraph, say
from seqlab.errors import SeqlabError
from seqlab.files import write_json
from seqlab.locks import folder_lock

if TYPE_CHECKING:
    from seqlab.comparison.finished import Group
    from seqlab.comparison.plan import Plan
    from seqlab.comparison.preparing import Job
    from seqlab.comparison.runs import FinishedRun, RunTask

#: What a sweep is compared by.
_SWEEP = {"metric": None, "level": 0.05, "quality": None}


#: Looked for before anything else is, where one is to go on.
BEGUN = COMPARISON


def run(
    settings: Mapping[str, Any],
    jobs: Sequence[Job],
    folder: Path | None,
    config_dir: str | None = None,
) -> dict[str, Any]:
    """Train every contestant with every seed, write ``compare.json`` and a page, print tables.

    A comparison that was begun in the folder goes on.

    Args:
        settings: as in ``seqlab.config.verb_specs.CompareSpec``.
        jobs: the contestants; none for ``resume`` and ``runs``.
        folder: for the plan, the runs and the answer; None: where the finished runs lie.
        config_dir: where else configs lie.

    Returns:
        The content of ``compare.json``.

    Raises:
        SeqlabError: bad input, or a run failed; the message names it.
    """
    if settings["runs"] is not None:
        return _of_finished(settings, folder)
    if folder is None:
        raise ValueError("a comparison that trains needs a folder")
    with rare_collections(), progress.stage("starting", summary=False):
        from seqlab.comparison.plan import Plan
        from seqlab.comparison.preparing import new_plan, other_comparison, show_plan
        from seqlab.training.lightning_advice import quiet

    with quiet(), folder_lock(folder):
        begun = Plan.read(folder) if COMPARISON.is_in(folder) else None
        plan = new_plan(settings, jobs, folder) if jobs or begun is None else begun
        if begun is not None and not plan.same_as(begun):
            raise other_comparison(folder)
        plan = dataclasses.replace(begun or plan, seeds=_seeds(settings["seeds"], begun))
        plan.write(folder)
        show_plan(plan, folder)
        return _trained(plan, settings, folder, config_dir)


def _seeds(given: int | list[int] | None, begun: Plan | None) -> tuple[int, ...]:
    """Those of a comparison that was begun stay, with the new ones after them."""
    if given is None:
        return tuple(range(5)) if begun is None else begun.seeds
    wanted = range(given) if isinstance(given, int) else given
    return tuple(dict.fromkeys([*(begun.seeds if begun else ()), *wanted]))


def _trained(
    plan: Plan, settings: Mapping[str, Any], folder: Path, config_dir: str | None
) -> dict[str, Any]:
    from seqlab.comparison.runs import carry_out, measured, tasks_of

    begin = partial(_begin, config_dir=config_dir)
    tasks = tasks_of(plan, folder)
    jobs, budget = settings["jobs"], settings["budget"]
    runs = carry_out(tasks, jobs=jobs, budget=budget, begin=begin, end=measured)
    return _planned(plan, runs, settings, folder)


def _planned(
    plan: Plan, runs: Sequence[FinishedRun], settings: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    from seqlab.comparison.result import answer, looked_before

    found = answer(
        plan.entries,
        runs,
        settings["level"],
        settings["quality"],
        terms={"match": plan.match, "matched_seconds": plan.seconds},
        looked=looked_before(folder, plan.seeds),
    )
    return _given(found, folder)


def _begin(task: RunTask, config_dir: str | None) -> None:
    write_words(task.folder, task.words, config_dir)


def _given(found: dict[str, Any], folder: Path) -> dict[str, Any]:
    from seqlab.comparison.page import compare_page
    from seqlab.comparison.plan import RESULT
    from seqlab.comparison.result import show

    write_json(folder / RESULT, found)
    # a sweep's folder has a report of its own
    sweep = COMPARISON.is_in(folder) and not COMPARISON.is_own(folder, "entries")
    page = compare_page(found).write(folder / ("compare.html" if sweep else "report.html"))
    show(found)
    say(f"comparison  {folder / RESULT}")
    say(f"report      {page}")
    return found


def _of_finished(settings: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """Compare runs that have ended; by default the answer goes where they lie."""
    with rare_collections(), progress.stage("starting", summary=False):
        from seqlab.comparison.contestants import check_contestants
        from seqlab.comparison.finished import finished_folders, groups_of
        from seqlab.comparison.plan import Plan
        from seqlab.comparison.runs import measured, tasks_of

    places = [settings["runs"]] if isinstance(settings["runs"], str) else settings["runs"]
    if len(places) == 1 and COMPARISON.is_own(Path(places[0]), "entries"):
        plan = Plan.read(Path(places[0]))
        done = [measured(task) for task in tasks_of(plan, Path(places[0])) if task.done]
        return _planned(plan, done, settings, folder or Path(places[0]))
    folders = [run for place in places for run in finished_folders(Path(place))]
    groups = groups_of(folders, settings["metric"])
    check_contestants([group.contestant for group in groups])
    return _measured(groups, settings, folder or Path(places[0]))


def after_sweep(folders: Sequence[Path]) -> None:
    """The table that a sweep of training runs ends with, where it has more than one run.

    Args:
        folders: of its finished runs.
    """
    from seqlab.comparison.finished import groups_of, show_single

    groups = groups_of([path for path in folders if (path / "result.json").is_file()], None)
    shared = set.intersection(*(set(group.tasks) for group in groups)) if groups else set()
    if len(groups) > 1 and len(shared) > 1:
        try:
            _measured(groups, _SWEEP, folders[0].parent)
        except SeqlabError as error:  # the runs are whole all the same
            paragraph(f"not compared: {error}")
    elif groups:
        show_single(groups)


def _measured(groups: Sequence[Group], settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    from seqlab.comparison.result import answer
    from seqlab.comparison.runs import measured

    tasks = [task for group in groups for task in group.tasks.values()]
    runs = []
    with progress.stage("measuring runs", len(tasks), unit="runs", summary=False) as stage:
        for task in tasks:
            runs.append(measured(task, keep=False))
            stage.advance()
    entries = [group.entry() for group in groups]
    return _given(answer(entries, runs, settings["level"], settings["quality"]), folder)
