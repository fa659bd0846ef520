"""The page of ``seqlab compare``: the verdicts first, then how sure they are and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.comparison.verdicts import pair_sentence
from seqlab.pages import Intervals, Page, Points

_MEANS = (
    "Each contestant was trained with every seed. A point is the mean of its seeds on the test "
    "rows; the bar says where it may lie with other seeds and other test rows. Bars of two "
    "contestants may overlap and one still be better: runs of one seed share their luck, which "
    "the differences below leave out."
)
_PAIRS = (
    "The difference of runs with the same seed. Where the bar leaves the dotted line at 0 out, "
    "one is better; where it does not, the runs do not tell. Bars are wider the more pairs there "
    "are, so that all verdicts together hold."
)
_MINUS = "\N{NO-BREAK SPACE}\N{MINUS SIGN}\N{NO-BREAK SPACE}"
_COST = (
    "Milliseconds are for forward, backward and update of one batch, measured in turns. The "
    "seconds to a quality are those of training steps until validation was as good as all "
    "contestants get."
)


def compare_page(found: Mapping[str, Any]) -> Page:
    """The page of what stands in ``compare.json``.

    Args:
        found: its content.
    """
    contestants, pairs, metric = found["contestants"], found["pairs"], found["metric"]
    names = [one["name"] for one in contestants]
    basis = f"{len(found['seeds'])} seeds, {found['rows']:,} test rows, by {metric}"
    page = Page(" against ".join(names) if len(names) < 4 else "A comparison", _lead(found))
    page.text(f"{basis}; {'more' if found['mode'] == 'max' else 'less'} is better.")
    page.section("Verdicts")
    page.items(pair_sentence(pair) for pair in pairs)
    page.section("On the test rows", _MEANS)
    page.figure(_intervals(contestants, "name", "mean", metric), f"Test {metric}")
    page.table(
        ["contestant", "mean", "low", "high", *(f"seed {seed}" for seed in found["seeds"])],
        [
            [one["name"], one["mean"], one["low"], one["high"], *one["values"]]
            for one in contestants
        ],
        f"Test {metric} of every run",
    )
    _add_pairs(page, pairs, metric)
    _add_costs(page, found)
    page.section("What this rests on")
    page.items(found["notes"])
    return page


def _lead(found: Mapping[str, Any]) -> str:
    decided = [pair for pair in found["pairs"] if pair["verdict"] != "undecided"]
    if not decided:
        return "No difference was found that other seeds or other test rows could not undo."
    return " ".join(
        f"{pair[pair['verdict']]} is better than {pair['b' if pair['verdict'] == 'a' else 'a']}."
        for pair in decided
    )


def _intervals(
    found: Sequence[Mapping[str, Any]], name: str, value: str, metric: str, *, zero: bool = False
) -> Intervals:
    """Rows whose interval is known; of a single seed nothing is."""
    rows = [(one[name], one[value], one["low"], one["high"])
            for one in found if one["low"] is not None]  # fmt: skip
    return Intervals(rows, x=metric, zero=zero)


def _add_pairs(page: Page, pairs: list[dict[str, Any]], metric: str) -> None:
    page.section("Pairs", _PAIRS)
    named = [{**pair, "pair": f"{pair['a']}{_MINUS}{pair['b']}"} for pair in pairs]
    title = f"Differences of {metric}"
    page.figure(_intervals(named, "pair", "difference", metric, zero=True), title)
    page.table(
        ["pair", "difference", "low", "high", "P(first better)", "P(new run better)",
         "p", "permutation p", "verdict"],
        [
            [p["pair"], p["difference"], p["low"], p["high"], p["probability_a_better"],
             p["fresh_run_a_better"], p["p_value"], p["permutation_p_value"],
             p["verdict"] if p["verdict"] == "undecided" else p[p["verdict"]]]
            for p in named
        ],
        "Every pair",
    )  # fmt: skip


def _add_costs(page: Page, found: Mapping[str, Any]) -> None:
    contestants, metric = found["contestants"], found["metric"]
    page.section("Quality against cost", _COST)
    kinds = {"step_ms": "milliseconds a step", "parameters": "parameters"}
    if found["match"] == "parameters":  # all in one place
        del kinds["parameters"]
    for key, what in kinds.items():
        points = {one["name"]: [(one[key], one["mean"])] for one in contestants if one[key]}
        page.figure(Points(points, x=what, y=metric), f"Test {metric} by {what}")
    page.table(
        ["contestant", "parameters", "ms a step", "s a run", "s to quality", "MB"],
        [
            [one["name"], one["parameters"], one["step_ms"], one["seconds"],
             one["seconds_to_quality"],
             None if one["memory_bytes"] is None else one["memory_bytes"] / 1e6]
            for one in contestants
        ],
        "What they cost",
    )  # fmt: skip
