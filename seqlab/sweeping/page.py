"""The page of a sweep: how it went, what mattered, every trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.console import number
from seqlab.pages import Bars, Lines, Page, Points

#: Curves of validation that are drawn, the best first.
_CURVES = 8
_CURVED = "Each line is a trial; those that end early were given up."
_IMPORTANCE = (
    "How much of the difference between good trials and the others each key makes, by PED-ANOVA "
    "(Watanabe, Bansal and Hutter 2023). It speaks of this space alone: a key that was never near "
    "a bad value seems unimportant."
)


def sweep_page(found: Mapping[str, Any]) -> Page:
    """The page of what stands in ``sweep.json``.

    Args:
        found: its content; a trial came to its end.
    """
    best, metric = found["best"], f"val_{found['metric']}"
    page = Page("A sweep", _lead(found))
    counts = ", ".join(f"{count} {state}" for state, count in found["counts"].items() if count)
    less = "less" if found["mode"] == "min" else "more"
    page.text(
        f"{counts}; {less} {metric} is better. "
        f"Sampler {found['sampler']}, pruner {found['pruner']}."
    )
    page.section("The best trial", f"Train it again: `{found['again']}`")
    page.table(["key", "value"], list(best["values"].items()), "Where in the space it lies")
    if best["test"]:
        page.table(
            ["metric", "test"], list(best["test"].items()), "On the test rows, which chose nothing"
        )
    page.section("How it went")
    page.figure(_history(found), "Best so far", "After each trial.")
    page.figure(_points(found), "Every trial")
    curves = _curves(found)
    if curves:
        page.figure(Lines(curves, x="validation", y=metric), "Validations", _CURVED)
    _add_keys(page, found, metric)
    _add_trials(page, found, metric)
    return page


def _lead(found: Mapping[str, Any]) -> str:
    best = found["best"]
    return (
        f"Of {len(found['trials'])} trials number {best['number']} is best: "
        f"val_{found['metric']} {number(best['value'])}."
    )


def _complete(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry for entry in found["trials"] if entry["state"] == "complete"]


def _history(found: Mapping[str, Any]) -> Lines:
    pick = min if found["mode"] == "min" else max
    best: list[tuple[int, float]] = []
    for entry in _complete(found):
        value = entry["value"] if not best else pick(best[-1][1], entry["value"])
        best.append((entry["number"], value))
    return Lines({"best so far": best}, x="trial", y=f"val_{found['metric']}")


def _points(found: Mapping[str, Any]) -> Points:
    """Trials by number: at their best weights, or where they were given up."""
    series = {"complete": [(entry["number"], entry["value"]) for entry in _complete(found)]}
    pruned = [
        (entry["number"], entry["validations"][-1])
        for entry in found["trials"]
        if entry["state"] == "pruned" and entry["validations"]
    ]
    if pruned:
        series["given up"] = pruned
    return Points(series, x="trial", y=f"val_{found['metric']}")


def _curves(found: Mapping[str, Any]) -> dict[str, list[tuple[int, float]]]:
    def order(entry: Mapping[str, Any]) -> tuple[bool, float]:
        value = entry["value"] if entry["value"] is not None else entry["validations"][-1]
        return entry["value"] is None, value if found["mode"] == "min" else -value

    known = [entry for entry in found["trials"] if len(entry["validations"]) > 1]
    return {
        f"trial {entry['number']}": list(enumerate(entry["validations"], 1))
        for entry in sorted(known, key=order)[:_CURVES]
    }


def _add_keys(page: Page, found: Mapping[str, Any], metric: str) -> None:
    """What each key did."""
    page.section("What mattered", _IMPORTANCE if found["importance"] else "")
    if shares := found["importance"]:
        values = [round(share, 4) for share in shares.values()]
        page.figure(Bars(_short(list(shares)), {"share": values}, y="share"), "Importance")
    done = _complete(found)
    for name in found["space"]:
        pairs = [(entry["values"][name], entry["value"]) for entry in done]
        if all(isinstance(value, int | float) for value, _ in pairs):
            plot = Points({"trials": pairs}, x=name, y=metric, log_x=name in found["log"])
            page.figure(plot, name)
        else:
            page.table(["value", "trials", "best", "mean"], _by_choice(pairs, found["mode"]), name)


def _short(keys: Sequence[str]) -> list[str]:
    """Keys by their last words, where these tell them apart.

    >>> _short(["optimizer.lr", "encoder.cell.hidden_size"]), _short(["a.size", "b.size"])
    (['lr', 'hidden_size'], ['a.size', 'b.size'])
    """
    last = [key.rpartition(".")[2] for key in keys]
    return last if len(set(last)) == len(last) else list(keys)


def _by_choice(pairs: Sequence[tuple[Any, float]], mode: str) -> list[list[Any]]:
    pick = min if mode == "min" else max
    groups: dict[str, list[float]] = {}
    for choice, value in pairs:
        groups.setdefault(str(choice), []).append(value)
    return [
        [choice, len(values), pick(values), sum(values) / len(values)]
        for choice, values in groups.items()
    ]


def _add_trials(page: Page, found: Mapping[str, Any], metric: str) -> None:
    page.section("Trials", "Each is a run folder of its own, `trials/NUMBER`.")
    names = list(found["space"])
    page.table(
        ["trial", "state", metric, *names, "validations", "seconds"],
        [
            [entry["number"], entry["state"], entry["value"],
             *(entry["values"].get(name) for name in names),
             len(entry["validations"]), entry["seconds"]]
            for entry in found["trials"]
        ],
        "All trials",
    )  # fmt: skip
    failures = [entry for entry in found["trials"] if entry["state"] == "failed"]
    if failures:
        page.items(f"Trial {entry['number']}: {entry['error']}" for entry in failures)
