"""docs/which-cell.md and .json from the answers of `scripts/which-cell run`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Answer = Mapping[str, Any]

_HEAD = """# Which cell for what

LSTM or GRU? Here {cells} are compared on {count} tasks, by `scripts/which-cell`.
On each task all cells have the same data, the same number of weights (those of the whole model),
the same optimiser and steps, and {seeds} seeds. `seqlab compare` says who is better and how sure
that is, counting other seeds and other test rows ([how](compare.md)). The chance of any false
verdict in a task, all its pairs together, is at most 5 %.

{notes}
"""
_GROUPS = {
    "real": ("Real tasks", "The experiments of seqlab-datasets, shortened to a minute or less."),
    "memory": (
        "Memory",
        (
            "The classic tests (Hochreiter and Schmidhuber, 1997; copying as in Arjovsky et al., "
            "2016). The number is that of the blanks in copying, of all steps in adding and order."
        ),
    ),
}
_KEPT = (
    "name", "values", "mean", "low", "high", "parameters", "step_ms", "seconds",
    "seconds_to_quality", "memory_bytes", "steps", "engine", "hidden_size",
)  # fmt: skip
_PAIR = ("a", "b", "difference", "low", "high", "probability_a_better", "verdict", "p_value",
         "more_seeds", "rows_needed", "error_change")  # fmt: skip
_FACTS = ("task", "title", "kind", "words", "machine", "wall_seconds", "metric", "mode", "rows",
          "seeds", "quality", "match", "versions")  # fmt: skip


def collect(answers: Path) -> list[dict[str, Any]]:
    """What the page needs of the answers in a folder, by name of the task."""
    found = []
    for file in sorted(answers.glob("*.json")):
        answer = json.loads(file.read_text("utf-8"))
        kept = {key: answer[key] for key in _FACTS}
        kept["contestants"] = [
            {key: one.get(key) for key in _KEPT} | {"hidden_size": _size(one)}
            for one in answer["contestants"]
        ]
        kept["pairs"] = [{key: pair.get(key) for key in _PAIR} for pair in answer["pairs"]]
        found.append(_rounded(kept))
    return found


def _size(contestant: Mapping[str, Any]) -> int | None:
    words = dict(word.partition("=")[::2] for word in contestant["overrides"])
    size = words.get("encoder.cell.hidden_size")
    return None if size is None else int(size)


def _rounded(value: Any) -> Any:
    """Six digits are enough for a page."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(own) for key, own in value.items()}
    return [_rounded(own) for own in value] if isinstance(value, list) else value


def write_page(answers: Path, docs: Path, order: Sequence[str]) -> None:
    """Write both files.

    Args:
        answers: the folder; tasks without an answer there stay as docs/which-cell.json has them.
        docs: where to.
        order: of the tasks.
    """
    target = docs / "which-cell.json"
    before = json.loads(target.read_text("utf-8")) if target.is_file() else []
    by_task = {answer["task"]: answer for answer in [*before, *collect(answers)]}
    found = sorted(by_task.values(), key=lambda answer: order.index(answer["task"]))
    lines = ",\n".join(json.dumps(answer, ensure_ascii=False) for answer in found)
    target.write_text(f"[\n{lines}\n]\n", "utf-8")
    target.with_suffix(".md").write_text(markdown(found), "utf-8")
    print(f"wrote {target.with_suffix('.md')}: {len(found)} tasks")


def markdown(found: Sequence[Answer]) -> str:
    """The page."""
    notes = Path(__file__).with_name("which_cell_notes.md").read_text("utf-8").strip()
    cells = list(dict.fromkeys(one["name"] for a in found for one in a["contestants"]))
    seeds = sorted({len(answer["seeds"]) for answer in found})
    head = _HEAD.format(
        count=len(found), cells=", ".join(cells), notes=notes, seeds=" or ".join(map(str, seeds))
    )
    lines = [head, *_summary(found, cells), *_lstm_gru(found), *_ranks(found, cells)]
    for kind, (title, text) in _GROUPS.items():
        group = [answer for answer in found if answer["kind"] == kind]
        lines += [f"## {title}", "", text, ""] if group else []
        for answer in group:
            lines += _details(answer)
    return "\n".join([*lines, *_method(found)]).rstrip() + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in (header, *rows)]
    return [lines[0], "|" + " --- |" * len(header), *lines[1:], ""]


def _summary(found: Sequence[Answer], cells: Sequence[str]) -> list[str]:
    rows = []
    for answer in found:
        beaten, own = _losers(answer), {one["name"]: one for one in answer["contestants"]}
        values = [
            ""
            if name not in own
            else ("{}" if name in beaten else "**{}**").format(_number(own[name]["mean"]))
            for name in cells
        ]
        better = "more" if answer["mode"] == "max" else "less"
        rows.append([_link(answer), f"{answer['metric']} ({better})", *values])
    return [
        "## At a glance", "",
        ("Means over the seeds, on the test rows; whether more or less is better stands beside the "
        "metric. **Bold**: no other cell is shown to be better on this task. Several in bold are "
        "not equal: between them it is undecided."), "",
        *_table(["task", "metric", *cells], rows),
    ]  # fmt: skip


def _losers(answer: Answer) -> set[str]:
    return {
        pair["b" if pair["verdict"] == "a" else "a"]
        for pair in answer["pairs"]
        if pair["verdict"] != "undecided"
    }


def _link(answer: Answer) -> str:
    return f"[{answer['task']}](#{answer['task']})"


def _lstm_gru(found: Sequence[Answer]) -> list[str]:
    rows, count = [], Counter[str]()
    for answer in found:
        pair = _oriented(answer, "lstm", "gru")
        if pair is None:
            continue
        own = {one["name"]: one for one in answer["contestants"]}
        count[pair["better"]] += 1
        rows.append([
            _link(answer), _signed(pair["difference"]), _within(pair),
            pair["better"] if pair["better"] != "undecided" else f"undecided{_needed(pair)}",
            _ratio(own["gru"]["step_ms"], own["lstm"]["step_ms"]),
            f"{_seconds(own['lstm'])} / {_seconds(own['gru'])}",
        ])  # fmt: skip
    told = (
        f"The LSTM is better on {count['lstm']} tasks, the GRU on {count['gru']}, and "
        f"{count['undecided']} of {sum(count.values())} are undecided."
    )
    return [
        "## LSTM or GRU", "", told, "",
        "Steps were timed in turns, beside other work on the machine: their ratios are rough.", "",
        *_table(
            ["task", "LSTM - GRU", "interval", "better", "GRU's step / LSTM's",
             "s to quality, LSTM / GRU"], rows),
    ]  # fmt: skip


def _oriented(answer: Answer, a: str, b: str) -> dict[str, Any] | None:
    """The pair of two cells as a minus b, with the name of the better one."""
    for pair in answer["pairs"]:
        if {pair["a"], pair["b"]} == {a, b}:
            better = pair[pair["verdict"]] if pair["verdict"] != "undecided" else "undecided"
            if pair["a"] == a:
                return {**pair, "better": better}
            turned = {"difference": -pair["difference"], "low": _minus(pair["high"])}
            return {**pair, **turned, "high": _minus(pair["low"]), "better": better}
    return None


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _needed(pair: Mapping[str, Any]) -> str:
    if pair["more_seeds"]:
        plural = "s" * (pair["more_seeds"] != 1)
        return f", about {pair['more_seeds']:,} more seed{plural}"
    if pair["rows_needed"]:
        return f", at least {pair['rows_needed']:,} test rows"
    return ", more than a thousand seeds for a difference as small as the one seen"


def _ranks(found: Sequence[Answer], cells: Sequence[str]) -> list[str]:
    """Who beats whom on how many tasks."""
    wins = Counter(
        (pair[pair["verdict"]], pair["b" if pair["verdict"] == "a" else "a"])
        for answer in found
        for pair in answer["pairs"]
        if pair["verdict"] != "undecided"
    )
    rows = [
        [f"**{a}**", *("" if a == b else str(wins[a, b]) for b in cells),
         str(sum(a not in _losers(answer) for answer in found))]
        for a in cells
    ]  # fmt: skip
    return [
        "## Who beats whom", "",
        ("On how many tasks the cell of the row is better than that of the column, where that is "
        f"decided; last, on how many of the {len(found)} no other is shown to be better."), "",
        *_table(["better", *cells, "unbeaten"], rows),
    ]  # fmt: skip


def _details(answer: Answer) -> Iterator[str]:
    better = "more is better" if answer["mode"] == "max" else "less is better"
    goal = answer["quality"]
    yield f"### {answer['task']}"
    yield ""
    yield (
        f"{answer['title'][0].upper()}{answer['title'][1:]}. {answer['metric']}, {better}; "
        f"{len(answer['seeds'])} seeds, {answer['rows']:,} test rows, "
        f"{answer['contestants'][0]['steps'][0]:,} steps."
    )
    yield ""
    beaten = _losers(answer)
    rows = [
        [
            one["name"] if one["name"] in beaten else f"**{one['name']}**",
            _number(one["mean"]), _within(one), _text(one["hidden_size"]),
            f"{one['parameters']:,}", one["engine"], f"{one['step_ms']:.3g}", _seconds(one),
        ]
        for one in answer["contestants"]
    ]  # fmt: skip
    quality = "s to quality" if goal is None else f"s to {_number(goal)}"
    header = ["cell", "mean", "95 % interval", "units", "weights", "engine", "ms a step", quality]
    yield from _table(header, rows)
    yield from _verdicts(answer)
    yield ""
    yield from ("```sh", f"seqlab compare {_shell(answer)}", "```", "")


def _verdicts(answer: Answer) -> Iterator[str]:
    decided = [pair for pair in answer["pairs"] if pair["verdict"] != "undecided"]
    for pair in decided:
        winner, loser = (pair["a"], pair["b"]) if pair["verdict"] == "a" else (pair["b"], pair["a"])
        yield (
            f"- {winner} is better than {loser}: {pair['a']} - {pair['b']} is "
            f"{_signed(pair['difference'])} ({_within(pair)})"
        )
    undecided = [pair for pair in answer["pairs"] if pair["verdict"] == "undecided"]
    if undecided:
        each = [f"{p['a']} - {p['b']} {_within(p)}{_needed(p)}" for p in undecided]
        yield f"- undecided: {'; '.join(each)}"


def _shell(answer: Answer) -> str:
    """The command, with the data from their package as everybody has them."""
    words = [
        word
        for word in answer["words"]
        if not (word.startswith("source") and "experiment=" + answer["task"] in answer["words"])
    ]
    own = [*words, f"seeds={len(answer['seeds'])}"]
    return " ".join(f'"{word}"' if set(word) & set("{}[] ") else word for word in own)


def _method(found: Sequence[Answer]) -> list[str]:
    machines = dict.fromkeys(
        f"{a['machine']['cores']} cores {a['machine']['processor'].replace('_', '-')}, "
        f"Python {a['machine']['python']}, torch {a['versions']['torch']}"
        for a in found
    )
    minutes = sum(answer["wall_seconds"] for answer in found) / 60
    return [
        "## How it was measured", "",
        (f"On {'; '.join(machines)}. Each run has one thread; other runs and other work went on "
        "beside it, also while the milliseconds of a step were measured, in turns, so they compare "
        "cells and not machines. "
        f"All comparisons together took {minutes:.0f} minutes, added up. The numbers, with each "
        "seed's, are in [which-cell.json](which-cell.json)."), "",
        ("`seconds to quality` are those of training steps until validation was as good as every "
        "cell gets in at least half of its runs. `scripts/which-cell run` does all again; it can "
        "be stopped and goes on. The commands above do one task."),
    ]  # fmt: skip


def _within(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return "-"
    return f"{_number(found['low'])} .. {_number(found['high'])}"


def _number(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 10 else f"{value:.4g}"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + _number(value)


def _seconds(one: Mapping[str, Any]) -> str:
    seconds = one["seconds_to_quality"]
    return "-" if seconds is None else f"{seconds:.1f}"


def _text(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _ratio(a: float | None, b: float | None) -> str:
    return "-" if not a or not b else f"{a / b:.2f}"
