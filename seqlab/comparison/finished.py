"""Runs that exist, such as those of a sweep, as contestants and seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab import console
from seqlab.comparison.contestants import Contestant, key_of, names_of
from seqlab.comparison.models import Cost
from seqlab.comparison.plan import Entry
from seqlab.comparison.runs import RunTask
from seqlab.config.job_folder import words_of
from seqlab.errors import RunError
from seqlab.files import reading

#: What two runs of one contestant may differ in.
_FREE = ("seed", "resume", "samples", "logger")
_FREE_WORDS = ("seed", "resume", "samples", "logger")


class Group:
    """The finished runs of one contestant.

    Attributes:
        contestant: what they have in common.
        tasks: the runs by seed, each ended.
        results: the content of their ``result.json``.
    """

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self.tasks: dict[int, RunTask] = {}
        self.results: dict[int, Mapping[str, Any]] = {}

    def entry(self) -> Entry:
        """What is known of its cost: the time of its runs, validation included."""
        runs = list(self.results.values())
        milliseconds = [1000 * run["seconds"] / run["steps"] for run in runs if run["steps"]]
        step_ms = round(sum(milliseconds) / len(milliseconds), 4) if milliseconds else None
        return Entry(self.contestant, runs[0]["parameters"], Cost(step_ms, None, None))


def finished_folders(place: Path) -> list[Path]:
    """The folders below a place that hold a finished run.

    Raises:
        RunError: there is none.
    """
    found = sorted(path.parent for path in place.rglob("result.json") if _is_run(path.parent))
    if not found:
        raise RunError(f"runs={place}: no finished run lies there (result.json, spec.json, bundle)")
    return found


def _is_run(folder: Path) -> bool:
    return (folder / "spec.json").is_file() and (folder / "bundle").is_dir()


def groups_of(folders: Sequence[Path], metric: str | None) -> list[Group]:
    """Runs by what they have in common, which is all but the seed.

    Args:
        folders: of finished runs.
        metric: by which they will be measured.
    """
    found: dict[str, Group] = {}
    words: list[list[str]] = []
    for folder in folders:
        spec, result = (_json(folder / name) for name in ("spec.json", "result.json"))
        common = {key: value for key, value in spec.items() if key not in _FREE}
        key = json.dumps(common, sort_keys=True)
        if key not in found:
            own = [
                w for w in words_of(folder) if key_of(w) not in _FREE_WORDS and w[:6] != "hydra."
            ]
            words.append(own)
            found[key] = Group(Contestant(str(folder), tuple(own), spec))
        group, seed = found[key], int(spec["seed"])
        if seed in group.tasks:
            console.paragraph(f"{folder}: a run of {group.tasks[seed].folder} again, left out")
            continue
        group.tasks[seed] = RunTask(group.contestant, seed, folder, metric=metric)
        group.results[seed] = result
    return _named(list(found.values()), words)


def _named(groups: list[Group], words: Sequence[Sequence[str]]) -> list[Group]:
    """Names from the words in which they differ; where these do not tell, from the folders."""
    names = names_of(words)
    if len(set(names)) < len(names):
        names = [group.contestant.name for group in groups]
    for group, name in zip(groups, names, strict=True):
        contestant = Contestant(name, group.contestant.overrides, group.contestant.spec)
        group.contestant = contestant
        group.tasks = {
            seed: RunTask(contestant, seed, task.folder, metric=task.metric)
            for seed, task in group.tasks.items()
        }
    return groups


def _json(file: Path) -> Any:
    with reading(file, RunError, "what a run wrote"):
        return json.loads(file.read_text("utf-8"))


def show_single(groups: Sequence[Group]) -> None:
    """Print what runs of single seeds reached; they say nothing of which contestant is better."""
    names = dict.fromkeys(
        name for group in groups for run in group.results.values() for name in run["test"]
    )
    columns = {
        group.contestant.name: {
            name: _mean([run["test"].get(name) for run in group.results.values()]) for name in names
        }
        for group in groups
    }
    rows = [
        [name, *(console.number(value) for value in values.values()), str(len(group.tasks))]
        for group, (name, values) in zip(groups, columns.items(), strict=True)
    ]
    console.say("")
    console.table("test", ["run", *names, "seeds"], rows)
    console.paragraph("which is better is not told by single seeds; sweep seed=0,1,2 too")


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) and known else None
