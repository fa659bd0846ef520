"""``compare.json``: the answer of a comparison, and the tables that it is shown as."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqlab import console
from seqlab.bundle.manifest import versions
from seqlab.comparison.plan import RESULT, Entry
from seqlab.comparison.runs import FinishedRun
from seqlab.comparison.verdicts import Scores, judge, own_interval, sentence
from seqlab.errors import DataError, RunError
from seqlab.files import reading
from seqlab.memory import size_text

CHOSEN = (
    "Each run kept the weights of its best validation; sizes, lengths and seeds were set before. "
    "Nothing was chosen by the test rows: they were looked at once, for the finished runs."
)
INTERVALS = (
    "An interval counts other seeds and other test rows; those of pairs are corrected for how "
    "many pairs there are (Holm). The chance of any false verdict is at most the level."
)
PEEKED = (
    "Seeds were added after a first look; each look is a chance of a false verdict, so the "
    "level holds for the first one only."
)


class Table(NamedTuple):
    """A table for people: its title, names of columns, rows of text."""

    title: str
    header: list[str]
    rows: list[list[str]]


def answer(
    entries: Sequence[Entry],
    runs: Sequence[FinishedRun],
    level: float,
    quality: float | None,
    *,
    terms: Mapping[str, Any] | None = None,
    looked: bool = False,
) -> dict[str, Any]:
    """What finished runs say; seeds that not every contestant has are left out.

    Args:
        entries: the contestants.
        runs: of them.
        level: the chance of a false verdict.
        quality: the validation value that the time to reach it is asked for; None: what the last
            of the contestants reaches in the end.
        terms: what was made equal, to be kept beside the answer.
        looked: whether an answer was given before, of fewer seeds.

    Raises:
        DataError: the runs were not tested on the same rows, or by the same metric.
    """
    names = [entry.contestant.name for entry in entries]
    seeds = _shared_seeds(names, runs)
    by_name = {name: [r for s in seeds for r in runs if (r.name, r.seed) == (name, s)]
               for name in names}  # fmt: skip
    first = _same_test([run for own in by_name.values() for run in own])
    scores: Scores = {
        name: (
            np.array([run.test.value for run in own]),
            np.array([run.test.resampled for run in own]),
        )
        for name, own in by_name.items()
    }
    goal = _goal(by_name) if quality is None else quality
    pairs = judge(scores, first.mode, level, first.rows)
    return {
        "metric": first.metric,
        "mode": first.mode,
        "split": "test",
        "rows": first.rows,
        "seeds": seeds,
        "level": level,
        "quality": goal,
        "contestants": [
            {
                "name": entry.contestant.name,
                "overrides": list(entry.contestant.overrides),
                "values": [float(f"{v:.7g}") for v in scores[entry.contestant.name][0]],
                **own_interval(scores[entry.contestant.name], first.mode, level),
                **_costs(entry, by_name[entry.contestant.name], goal),
            }
            for entry in entries
        ],
        "pairs": pairs,
        "sentence": sentence(pairs, first.metric, len(seeds), first.rows),
        "notes": [CHOSEN, INTERVALS, *([PEEKED] if looked else [])],
        "match": None,
        "matched_seconds": None,
        **(terms or {}),
        "looked_again": looked,
        "versions": versions(),
    }


def looked_before(folder: Path, seeds: Sequence[int]) -> bool:
    """Whether an answer lies there that was given of fewer seeds, or after such a one."""
    file = folder / RESULT
    if not file.is_file():
        return False
    with reading(file, RunError, "the answer of a comparison"):
        before = json.loads(file.read_text("utf-8"))
        return bool(before["looked_again"] or set(before["seeds"]) < set(seeds))


def _shared_seeds(names: Sequence[str], runs: Sequence[FinishedRun]) -> list[int]:
    have = [{run.seed for run in runs if run.name == name} for name in names]
    shared = set.intersection(*have) if have else set()
    if not shared:
        raise DataError("compare: the contestants have no seed in common, so nothing is paired")
    return sorted(shared)


def _same_test(runs: Sequence[FinishedRun]) -> Any:
    first = runs[0].test
    for run in runs:
        for what, own, others in (
            ("by the metric", run.test.metric, first.metric),
            ("on rows", run.test.rows, first.rows),
            ("on rows with the digest", run.test.digest[:12], first.digest[:12]),
        ):
            if own != others:
                raise DataError(
                    f"compare: {run.folder} was tested {what} {own}, and {runs[0].folder} "
                    f"{what} {others}; only runs on the same test rows can be compared"
                )
    return first


def _goal(by_name: Mapping[str, Sequence[FinishedRun]]) -> float | None:
    """The validation value that every contestant reaches in at least half of its runs."""
    ends = []
    for runs in by_name.values():
        monitor = runs[0].result["monitor"]
        found = [run.result["validation"].get(monitor["name"]) for run in runs]
        if any(value is None for value in found):
            return None
        pick = statistics.median_low if monitor["mode"] == "max" else statistics.median_high
        ends.append(pick(found))
    worst = min if next(iter(by_name.values()))[0].result["monitor"]["mode"] == "max" else max
    return float(worst(ends))


def _costs(entry: Entry, runs: Sequence[FinishedRun], goal: float | None) -> dict[str, Any]:
    reached = [_steps_to(run, goal) for run in runs]
    known = sorted(steps for steps in reached if steps is not None)
    steps = known[(len(runs) - 1) // 2] if len(known) > (len(runs) - 1) // 2 else None
    step_ms = entry.cost.step_ms
    return {
        "parameters": entry.parameters,
        "seconds": round(statistics.mean(run.result["seconds"] for run in runs), 3),
        "step_ms": step_ms,
        "memory_bytes": entry.cost.memory,
        "steps": [run.result["steps"] for run in runs],
        "validation": [run.result["validation"].get(run.result["monitor"]["name"]) for run in runs],
        "seconds_to_quality": _seconds(steps, step_ms),
        "runs": [str(run.folder) for run in runs],
    }


def _seconds(steps: int | None, step_ms: float | None) -> float | None:
    return None if steps is None or step_ms is None else round(steps * step_ms / 1000, 3)


def _steps_to(run: FinishedRun, goal: float | None) -> int | None:
    """The first step at which a run's validation was that good."""
    monitor, path = run.result["monitor"], Path(run.folder) / "metrics.csv"
    if goal is None or not path.is_file():
        return None
    sign = 1 if monitor["mode"] == "max" else -1
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            text = row.get(f"val_{monitor['name']}")
            # the file has six digits
            if text and sign * (float(text) - goal) >= -1e-5 * abs(goal):
                return int(row["step"])
    return None


def tables(found: Mapping[str, Any]) -> list[Table]:
    """The content of ``compare.json`` as tables: contestants, what they cost, pairs."""
    metric, contestants = found["metric"], found["contestants"]
    better = {name for pair in found["pairs"] if (name := _winner(pair))}
    own = [
        [
            one["name"] + " *" * (one["name"] in better),
            console.number(one["mean"]),
            _within(one),
            f"{min(one['values']):.4g} .. {max(one['values']):.4g}",
        ]
        for one in contestants
    ]
    cost = [
        [
            one["name"],
            f"{one['parameters']:,}",
            f"{one['step_ms']:.3g}" if one["step_ms"] is not None else "-",
            f"{one['seconds']:.1f}",
            "-" if (reached := one["seconds_to_quality"]) is None else f"{reached:.1f}",
            "-" if one["memory_bytes"] is None else size_text(one["memory_bytes"]),
        ]
        for one in contestants
    ]
    pairs = [
        [
            f"{pair['a']} - {pair['b']}",
            f"{pair['difference']:+.4g}",
            _within(pair),
            f"{pair['probability_a_better']:.3f}",
            f"{pair['p_value']:.2g}",
            _winner(pair) or "undecided",
        ]
        for pair in found["pairs"]
    ]
    goal = found["quality"]
    to_quality = "s to quality" if goal is None else f"s to val {goal:.4g}"
    title = f"test {metric}, {len(found['seeds'])} seeds, {found['rows']:,} rows (* beats another)"
    return [
        Table(title, ["contestant", "mean", f"{1 - found['level']:.0%} interval", "seeds"], own),
        Table("cost", ["contestant", "parameters", "ms a step", "s a run", to_quality, "memory"],
              cost),
        Table("pairs", ["pair", "difference", "interval", "P(first better)", "p", "better"], pairs),
    ]  # fmt: skip


def _winner(pair: Mapping[str, Any]) -> str | None:
    return pair[pair["verdict"]] if pair["verdict"] in ("a", "b") else None


def _within(found: Mapping[str, Any]) -> str:
    return "-" if found["low"] is None else f"{found['low']:.4g} .. {found['high']:.4g}"


def show(found: Mapping[str, Any]) -> None:
    """Print the tables and the sentence."""
    for table in tables(found):
        if table.rows:
            console.say("")
            console.table(*table)
    console.say("")
    for line in (found["sentence"], *found["notes"]):
        if line:
            console.paragraph(line)
