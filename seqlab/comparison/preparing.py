"""From composed jobs to a plan: names, sizes, lengths, and what a step costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab import console, progress
from seqlab.comparison.contestants import Contestant, check_contestants, names_of
from seqlab.comparison.matching import match_parameters, match_seconds
from seqlab.comparison.models import Cost, DataSets, costs, parameter_count
from seqlab.comparison.plan import Entry, Plan
from seqlab.comparison.plan_file import COMPARISON
from seqlab.errors import ConfigError, RunError

#: A composed job: its name where it was given one, its words, its spec.
Job = tuple[str | None, Sequence[str], Mapping[str, Any]]


def contestants_of(jobs: Sequence[Job]) -> list[Contestant]:
    """The contestants that jobs are.

    Each run has one thread unless the config says otherwise, so that its numbers are the same
    whatever else runs at the same time.

    Raises:
        ConfigError: they are too few, two have one name, or one trains without end.
    """
    names = names_of([words for _, words, _ in jobs])
    found = [
        Contestant(given or name, tuple(words), spec)
        for (given, words, spec), name in zip(jobs, names, strict=True)
    ]
    check_contestants(found)
    return [one.one_threaded() for one in found]


def new_plan(settings: Mapping[str, Any], jobs: Sequence[Job], folder: Path) -> Plan:
    """Decide sizes and lengths.

    Args:
        settings: as in ``seqlab.config.verb_specs.CompareSpec``.
        jobs: the contestants.
        folder: of the comparison; the costs in a plan that lies there are not measured again.

    Raises:
        SeqlabError: the contestants do not fit together, or their data are not as described.
    """
    found, data, match = contestants_of(jobs), DataSets(), settings["match"]
    for contestant in found:
        if "test" not in data.of(contestant).splits:
            raise ConfigError(f"compare: the source of '{contestant.name}' has no test rows")
    if match == "parameters":
        with progress.stage("matching sizes", summary=False):
            found = match_parameters(found, data, settings["parameters"])
    measured, seconds = _costs(found, data, folder), None
    if match == "seconds":
        found, seconds = match_seconds(found, measured, settings["seconds"])
    entries = [
        Entry(one, parameter_count(one.spec, data.of(one).info), cost)
        for one, cost in zip(found, measured, strict=True)
    ]
    return Plan(tuple(entries), (), match, seconds, settings["metric"])


def _costs(found: Sequence[Contestant], data: DataSets, folder: Path) -> list[Cost]:
    if not COMPARISON.is_in(folder):
        return costs(found, data)
    known = {entry.contestant.name: entry.cost for entry in Plan.read(folder).entries}
    if known.keys() != {one.name for one in found}:
        raise other_comparison(folder)
    return [known[one.name] for one in found]


def other_comparison(folder: Path) -> RunError:
    """That a folder holds a comparison of something else."""
    return RunError(f"{folder} holds another comparison; choose another by hydra.run.dir=FOLDER")


def show_plan(plan: Plan, folder: Path) -> None:
    """Print who will train, how large and how long."""
    rows = [
        [
            entry.contestant.name,
            str(entry.contestant.spec["encoder"]["cell"].get("hidden_size", "-")),
            f"{entry.parameters:,}",
            "-" if entry.cost.step_ms is None else f"{entry.cost.step_ms:.3g}",
        ]
        for entry in plan.entries
    ]
    match = {
        "parameters": "equal numbers of parameters",
        "seconds": f"{plan.seconds} s of training each",
        "none": "sizes and lengths as configured",
    }[plan.match]
    header = ["contestant", "hidden size", "parameters", "ms a step"]
    console.table(f"{match}; seeds {', '.join(map(str, plan.seeds))}", header, rows)
    console.say(f"if it is stopped: seqlab compare resume={folder}")
