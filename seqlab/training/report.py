"""``report.html`` in a run's folder: result, curves, samples, confusion, predicted numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqlab.console import number, shorten
from seqlab.pages import Heatmap, Lines, Page, Points
from seqlab.pages.page import as_code, plain, written
from seqlab.training.metrics_file import read_table
from seqlab.training.microscope import FILE, read_looks
from seqlab.training.summary import Predicted, Samples

#: A validation loss this much above its best, in parts of it, has turned.
_TURNED = 0.05
#: More classes have no room in a picture.
_CLASSES = 40
#: So many numbers ahead make a curve.
_AHEAD = 3
#: So many times the horizon is shown of what came before.
_BEFORE = 4
_CURVES = 4
_POINTS = 500


@dataclass(frozen=True)
class Report:
    """What a page about a run is made of.

    Attributes:
        folder: the run's; ``metrics.csv`` is read from it.
        spec: of the run.
        result: the content of ``result.json``.
        samples: decoded test rows.
        classes: ``classes`` and ``confusion`` of the test rows, as ``evaluate`` has them.
        numbers: expected and predicted values of test rows.
    """

    folder: Path
    spec: Mapping[str, Any]
    result: Mapping[str, Any]
    samples: Samples
    classes: Mapping[str, Any] = field(default_factory=dict)
    numbers: Sequence[Predicted] = ()

    def write(self, path: Path) -> Path:
        """Write the page."""
        page = Page(f"Run {self.folder.name}", self._lead())
        self._add_result(page)
        self._add_curves(page)
        self._add_samples(page)
        self._add_classes(page)
        self._add_calibration(page)
        self._add_numbers(page)
        add_looks(page, read_looks(self.folder / FILE))
        self._add_settings(page)
        return page.write(path)

    def _lead(self) -> str:
        name, split = self.result["monitor"]["name"], "test"
        value = self.result["test"].get(name)
        if value is None:
            split, value = "validation", self.result["validation"].get(name)
        cell, head = self.spec["encoder"]["cell"]["name"], self.spec["head"]["name"]
        made = f"{cell} with a {head} head, {self.result['parameters']:,} parameters"
        if value is None:
            return f"{made}."
        guess = (self.result.get("baseline") or {}).get(name)
        beside = "" if guess is None else f" (counting alone reaches {number(guess)})"
        return f"{name} {number(value)} on the {split} rows{beside}: {made}."

    def _add_result(self, page: Page) -> None:
        result = self.result
        columns = {split: result[split] for split in ("test", "validation") if result.get(split)}
        for found in filter(None, [result.get("baseline"), *result.get("other_baselines", ())]):
            guess = dict(found)
            columns[f"baseline: {guess.pop('name')}"] = guess
        page.section(
            "Result",
            f"{result['steps']:,} optimiser steps in {written(result['seconds'])} seconds with "
            f"engine {result['engine']}; training ended by {result['ended']}. The weights of step "
            f"{result['best_step']:,} are kept: those with the best validation "
            f"{result['monitor']['name']}.",
        )
        names = dict.fromkeys(name for values in columns.values() for name in values)
        if names:
            rows = [[name, *(values.get(name) for values in columns.values())] for name in names]
            page.table(["metric", *columns], rows, "Measured with the kept weights")

    def _add_curves(self, page: Page) -> None:
        rows = read_table(self.folder / "metrics.csv")
        curves = {name: _curve(rows, name) for name in (rows[0] if rows else ())}
        losses = {name: curves[name] for name in ("train_loss", "val_loss") if curves.get(name)}
        if not losses:
            return
        best = {"kept": float(self.result["best_step"])}
        page.section("Curves", _what_curves_say(losses))
        page.figure(Lines(losses, x="step", y="loss", marks=best), "Loss by step")
        measured = [n for n in curves if n.startswith("val_") and n != "val_loss" and curves[n]]
        for name in measured[:_CURVES]:
            plot = Lines({name: curves[name]}, x="step", y=name[4:], marks=best)
            page.figure(plot, f"Validation {name[4:]} by step")
        rates = curves.get("lr") or []
        if len({value for _, value in rates}) > 1:
            page.figure(Lines({"lr": rates}, x="step", y="rate"), "Learning rate by step")

    def _add_samples(self, page: Page) -> None:
        if self.samples.generated:
            page.section("Samples", "Texts that the model wrote by itself.")
            page.items(as_code(shorten(text)) for text in self.samples.generated)
        if self.samples.rows:
            self._add_rows(page)

    def _add_rows(self, page: Page) -> None:
        """Rows beside their answers; of numbers none is right or wrong."""
        header, count = ["input", "expected", "predicted"], len(self.samples.rows)
        rows = [[_readable(value) for value in row[:3]] for row in self.samples.rows]
        text = "Test rows, spread evenly."
        if not self.numbers:
            good = [row[3] for row in self.samples.rows]
            text = f"Test rows, spread evenly: {sum(good)} of {count} are right."
            rows = [[*row, "yes" if right else "no"] for row, right in zip(rows, good, strict=True)]
            header.append("right")
        if names := self.samples.targets:
            header.insert(1, "target")
            rows = [[row[0], name, *row[1:]] for row, name in zip(rows, names, strict=True)]
        page.section("Samples", text)
        page.table(header, rows, "Answers beside what was expected")

    def _add_classes(self, page: Page) -> None:
        several = self.classes.get("targets") or {}
        for name, classes in several.items():
            _add_classes(page, classes, f"Classes of {name}")
        if self.classes and not several:
            _add_classes(page, self.classes, "Classes")

    def _add_calibration(self, page: Page) -> None:
        found = self.result.get("calibration")
        if not found:
            return
        split = "test" if "test" in found else "validation"
        error = {way: f"{100 * value:.2f} %" for way, value in found[split].items()}
        page.section(
            "Calibration",
            f"A temperature of {written(found['temperature'])}, fitted on the validation rows, "
            f"takes the calibration error of the {split} rows from {error['before']} to "
            f"{error['after']}: how far the probability of an answer is from the share that is "
            "right.",
        )
        bins = {
            f"{way} ({error[way]})": [(bin_["confidence"], bin_["accuracy"]) for bin_ in bins]
            for way, bins in found["reliability"].items()
        }
        page.figure(
            Points(
                bins,
                x="probability of the answer",
                y="share that is right",
                joined=True,
                diagonal=True,
            ),
            f"Reliability on the {split} rows",
            "Each point is a fifteenth of the range of probabilities. Answers on the dotted line "
            "are as often right as they say; below it they are too sure.",
        )

    def _add_numbers(self, page: Page) -> None:
        if not self.numbers:
            return
        page.section("Predicted numbers", f"{len(self.numbers)} test rows, spread evenly.")
        for index, place in enumerate(_evenly(len(self.numbers)), 1):
            if len(self.numbers[place].expected) >= _AHEAD:
                _add_forecast(page, index, self.numbers[place])
        pairs = [pair for p in self.numbers for pair in zip(p.expected, p.predicted, strict=True)]
        page.figure(
            Points({"rows": pairs[:_POINTS]}, x="expected", y="predicted", diagonal=True),
            "Predicted beside expected",
            "Exact answers would lie on the dotted line.",
        )

    def _add_settings(self, page: Page) -> None:
        page.section("Settings")
        given = [row for row in _flat(self.spec) if row[1]]
        page.table(["key", "value"], given, "The config of the run, without what is not set")
        versions = [[name, value] for name, value in self.result["versions"].items()]
        page.table(["package", "version"], versions, "Versions")


def _add_classes(page: Page, classes: Mapping[str, Any], title: str) -> None:
    """How the classes of one target were answered."""
    page.section(title, _hardest(classes["classes"]))
    confusion = classes.get("confusion")
    if confusion and len(confusion["names"]) <= _CLASSES:
        names = confusion["names"]
        shares = [[count / max(sum(row), 1) for count in row] for row in confusion["counts"]]
        page.figure(
            Heatmap(
                shares, names, names, x="predicted", y="right", value="share of the row",
                bounds=(0.0, 1.0), show_values=len(names) <= 8,
            ),
            "Confusion on the test rows",
            "Each line is a class: how its rows or steps were answered.",
        )  # fmt: skip
    header = ["class", "precision", "recall", "f1", "support"]
    rows = [[entry[key] for key in header] for entry in classes["classes"]]
    page.table(header, rows, "Each class on the test rows")


def _add_forecast(page: Page, index: int, row: Predicted) -> None:
    """What was, what came, and what was said of it."""
    before = row.before[-_BEFORE * len(row.expected) :]
    ahead = range(1, len(row.expected) + 1)
    bounds = [row.low, row.high] if row.low and row.high else []
    series = {
        "before": list(zip(range(1 - len(before), 1), before, strict=True)),
        "expected": list(zip(ahead, row.expected, strict=True)),
        "predicted": list(zip(ahead, row.predicted, *bounds, strict=True)),
    }
    page.figure(
        Lines({k: v for k, v in series.items() if v}, x="step", y="value", dashed=["predicted"]),
        f"Forecast {index}",
        "The band lies between the outer quantiles." if bounds else "",
    )


def add_looks(page: Page, looks: Sequence[Mapping[str, Any]]) -> None:
    """What the callback ``microscope`` saw during the run."""
    if not looks:
        return
    page.section(
        "Inside the layers",
        f"{len(looks)} looks by the callback `microscope`, with rows of the batch of each step; "
        "`seqlab inspect` shows more of the finished model.",
    )
    for index, layer in enumerate(looks[-1]["layers"][:_CURVES]):
        seen = [(look["step"], look["layers"][index]) for look in looks]
        curves = {
            f"step {step:,}": entry["gradient"]
            for step, entry in (seen[0], seen[len(seen) // 2], seen[-1])
            if entry.get("gradient")
        }
        name = layer["name"]
        page.figure(
            Lines(curves, x="steps back", y="norm", log_y=True),
            f"{name}: gradient of the loss by earlier states",
            "At the beginning, in the middle and at the end of the run.",
        )
        gates = {
            gate: [(step, entry["gates"][gate]["mean"]) for step, entry in seen]
            for gate in layer["gates"]
        }
        if gates and len(seen) > 1:
            page.figure(Lines(gates, x="step", y="mean"), f"{name}: gates while it learns")


def _curve(rows: Sequence[Mapping[str, float | None]], name: str) -> list[tuple[float, float]]:
    found = [(row["step"], row.get(name)) for row in rows]
    return [(int(x), y) for x, y in found if x is not None and y is not None]


def _what_curves_say(losses: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """What is to be seen, with the numbers of this run."""
    train, validation = losses.get("train_loss"), losses.get("val_loss")
    text = ""
    if train and len(train) > 1:
        text = f"The training loss went from {written(train[0][1])} to {written(train[-1][1])}. "
    if not validation:
        return text
    step, best = min(validation, key=lambda point: point[1])
    last = validation[-1][1]
    text += f"The validation loss was lowest at step {written(step)} ({written(best)})"
    if last > best + abs(best) * _TURNED:
        return (
            f"{text} and ended at {written(last)}: from there on the model learnt its training "
            "rows by heart. More rows, dropout, weight decay or a smaller model help."
        )
    if step == validation[-1][0]:
        return f"{text}, at the end: longer training may still help."
    return f"{text} and ended at {written(last)}."


def _hardest(classes: Sequence[Mapping[str, Any]]) -> str:
    seen = [entry for entry in classes if entry["support"]]
    if not seen:
        return ""
    worst, best = min(seen, key=lambda e: e["f1"]), max(seen, key=lambda e: e["f1"])
    if worst["f1"] == best["f1"]:
        return f"All {len(seen)} classes in the test rows have an F1 of {number(best['f1'])}."
    return (
        f"Of {len(seen)} classes in the test rows {as_code(worst['class'])} is hardest (F1 "
        f"{number(worst['f1'])}, {worst['support']:,} cases) and {as_code(best['class'])} easiest "
        f"({number(best['f1'])})."
    )


def _readable(value: Any) -> str:
    """A value on one line; numbers with four digits."""
    if isinstance(value, list | tuple) and all(isinstance(part, float | int) for part in value):
        return shorten(" ".join(map(written, value)))
    return written(value) if isinstance(value, float) else plain(shorten(value))


def _evenly(count: int, wanted: int = 3) -> list[int]:
    return sorted({(2 * i + 1) * count // (2 * wanted) for i in range(wanted)})


def _flat(value: Any, key: str = "") -> list[list[str]]:
    """The leaves of a config with their whole keys."""
    if isinstance(value, Mapping) and value:
        return [row for k, v in value.items() for row in _flat(v, f"{key}.{k}" if key else str(k))]
    return [[key, shorten("" if value is None else value)]]
