"""The page of a GPU's benchmarks: ``bench_cuda_page.py FILE.json`` writes FILE.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_INTRODUCTION = """# Benchmarks on a GPU

Made by `scripts/bench device=cuda`. Median milliseconds by CUDA events and, in parentheses, the
median over the rounds of the ratio to the first column's time in the same round: torch's layer of
the cell's kind, which cuDNN runs, and `nn.GRU` for cells that cuDNN does not have. Sizes are B, T,
D, H. A turn starts on an empty queue, so that launches count where they are the limit. An em dash
stands where a contestant refuses the cell or was not asked.
"""


def markdown(results: dict[str, Any]) -> str:
    """All tables as text."""
    facts = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    notes = Path(__file__).with_name("bench_cuda_notes.md").read_text(encoding="utf-8")
    lines = [_INTRODUCTION, f"Measured on: {facts}.", "", notes]
    kinds = dict.fromkeys((c["pass"], c["precision"]) for c in results["contests"])
    for title, precision in kinds:
        found = [c for c in results["contests"]
                 if (c["pass"], c["precision"]) == (title, precision)]  # fmt: skip
        lines += [f"## {title.capitalize()}, {precision}", "", *_table(found, _time), ""]
    found = [c for c in results["contests"] if any("mib" in e and e["mib"] is not None
             for e in c["contestants"].values())]  # fmt: skip
    if found:
        first = [c for c in found if (c["pass"], c["precision"]) == next(iter(kinds))]
        lines += ["## Memory", "", "Growth of the peak in a call, MiB; the first table's contests.",
                  "", *_table(first, _memory), ""]  # fmt: skip
    lines += _choices(results["contests"]) + _first_calls(results["contests"])
    lines += _failures(results)
    return "\n".join(lines).rstrip() + "\n"


def _table(contests: list[dict[str, Any]], show: Any) -> list[str]:
    """A table for each first column; contestants that ran nowhere in it are left out."""
    lines: list[str] = []
    for base in dict.fromkeys(next(iter(c["contestants"])) for c in contests):
        mine = [c["contestants"] for c in contests if next(iter(c["contestants"])) == base]
        names = dict.fromkeys(name for entries in mine for name in entries)
        columns = [name for name in names if any("ms" in entries.get(name, {}) for entries in mine)]
        lines += [""] * bool(lines)
        lines += [f"| cell | B, T, D, H | {' | '.join(columns)} |",
                  "|" + " --- |" * (len(columns) + 2)]  # fmt: skip
        for contest in contests:
            if next(iter(contest["contestants"])) != base:
                continue
            size = ", ".join(map(str, contest["size"]))
            shown = " | ".join(show(contest["contestants"].get(name, {})) for name in columns)
            lines.append(f"| {contest['cell']} | {size} | {shown} |")
    return lines


def _time(entry: dict[str, Any]) -> str:
    if "ms" not in entry:
        return "failed" if "failed" in entry else "—"
    return f"{entry['ms']:.2f} ({entry['ratio']:.2f})"


def _memory(entry: dict[str, Any]) -> str:
    return "—" if entry.get("mib") is None else f"{entry['mib']:.1f}"


def _choices(contests: list[dict[str, Any]]) -> list[str]:
    """What ``auto`` chose, by cell."""
    found: dict[str, set[str]] = {}
    for contest in contests:
        if engine := contest["contestants"].get("auto", {}).get("engine"):
            found.setdefault(contest["cell"], set()).add(engine)
    if not found:
        return []
    said = "; ".join(f"{cell}: {', '.join(sorted(names))}" for cell, names in found.items())
    return ["## What auto chose", "", f"{said}.", ""]


def _first_calls(contests: list[dict[str, Any]]) -> list[str]:
    """Seconds that contestants took before they were fast."""
    slowest: dict[str, float] = {}
    for contest in contests:
        for name, entry in contest["contestants"].items():
            slowest[name] = max(slowest.get(name, 0.0), entry.get("first_s", 0.0))
    said = ", ".join(f"{name} {seconds:.1f}" for name, seconds in slowest.items() if seconds >= 1)
    return ["## First calls", "", f"Seconds of the slowest first call, compiling included: {said}.",
            ""] if said else []  # fmt: skip


def _failures(results: dict[str, Any]) -> list[str]:
    found = {f"- {c['cell']}, {name}: {entry['failed']}" for c in results["contests"]
             for name, entry in c["contestants"].items() if "failed" in entry}  # fmt: skip
    lines = ["## What failed", "", *sorted(found), ""] if found else []
    if results.get("left out"):
        lines += [f"The time was over before {len(results['left out'])} contests.", ""]
    return lines


if __name__ == "__main__":
    source = Path(sys.argv[1])
    source.with_suffix(".md").write_text(markdown(json.loads(source.read_text())), encoding="utf-8")
