"""The page of ``seqlab inspect``: what a trained model does with some rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.console import shorten
from seqlab.microscope.gate_plots import add_gates
from seqlab.microscope.memory_text import (
    HALF_LIFE,
    JACOBIANS,
    MEMORY_HEADER,
    WHY,
    fate,
    memory_row,
    steps,
)
from seqlab.pages import Bars, Heatmap, Lines, Page, Points
from seqlab.pages.page import as_code, written

#: Fewer states make no path; more have no room for their names.
_PATH, _NAMED = 5, 40
_ANSWERS = ("text", "tags", "labels", "label", "values")


def inspect_page(found: Mapping[str, Any]) -> Page:
    """The page of what ``inspect`` returned, with ``bundle`` and ``input``."""
    layers = found["layers"]
    page = Page("Inside a trained model", _lead(found))
    page.text(
        f"`{found['bundle']}`, looked at while it read {found['rows']} rows of `{found['input']}`, "
        f"{found['steps']} steps together."
    )
    _add_gradients(page, found)
    _add_decoder(page, found["decoder"])
    _add_jacobians(page, [*layers, *found["decoder"]])
    add_gates(page, {e["name"]: e for e in [*layers, *found["decoder"]]})
    for number, example in enumerate(found["examples"], 1):
        _add_example(page, number, example, found)
    return page


def _lead(found: Mapping[str, Any]) -> str:
    known = [layer for layer in found["layers"] if layer.get("gradient")]
    if not known:
        return ""
    layer = max(known, key=lambda e: e["memory"]["half_life"] or 1e9)
    longest = layer["gradient"][-1][0]
    of = "loss" if found["of"] == "loss" else "output"
    return (
        f"Half of the gradient of the {of} is left after "
        f"{steps(layer['memory']['half_life'], longest)} in {layer['name']} ({layer['cell']}), "
        "the layer that remembers longest."
    )


def _add_gradients(page: Page, found: Mapping[str, Any]) -> None:
    known = [layer for layer in found["layers"] if layer.get("gradient")]
    page.section("The gradient by distance", WHY)
    if not known:
        page.text("No layer was run once from the first step to the last, so there is no curve.")
        return
    of = (
        "the loss at step t by the state k steps before"
        if found["of"] == "loss"
        else "the output at step t, in a random direction, by the state k steps before (the rows "
        "have no target, so there is no loss)"
    )
    page.figure(
        Lines({e["name"]: e["gradient"] for e in known}, x="steps back", y="norm", log_y=True),
        f"Gradient of the {found['of']} by earlier states",
        f"The norm of the gradient of {of}: a mean over rows and over up to 8 steps of a row.",
    )
    page.figure(
        Lines({e["name"]: list(enumerate(e["state_norm"], 1)) for e in known}, x="step", y="norm"),
        "Size of the state",
        "The mean norm over the rows: it grows while a layer collects, and falls as it forgets.",
    )
    page.text(HALF_LIFE)
    page.table(
        MEMORY_HEADER,
        [memory_row(e["name"], e["gradient"], e["memory"]) for e in known],
        "Memory of each layer",
    )
    page.items(
        f"{e['name']}: the gradient {fate(e['memory'])}; its half-life is "
        f"{steps(e['memory']['half_life'], e['gradient'][-1][0])}."
        for e in known
    )


def _add_decoder(page: Page, cells: Sequence[Mapping[str, Any]]) -> None:
    """The same for the cells that write the answer."""
    known = [cell for cell in cells if cell.get("gradient")]
    if known:
        page.section("The decoder: the gradient by distance")
        page.figure(
            Lines({e["name"]: e["gradient"] for e in known}, x="steps back", y="norm", log_y=True),
            "Gradient of the loss by earlier states of the decoder",
            "Steps are those of the answer, which was given (teacher forcing): the norm of the "
            "gradient of the loss at step t by the decoder's state k steps before. What goes "
            "to the encoder, by way of the attention, is in the section above.",
        )
        page.table(
            MEMORY_HEADER,
            [memory_row(e["name"], e["gradient"], e["memory"]) for e in known],
            "Memory of the decoder",
        )
    page.items(f"{e['name']}: {e['reason']}." for e in cells if e.get("reason"))


def _add_jacobians(page: Page, layers: Sequence[Mapping[str, Any]]) -> None:
    page.section("Products of Jacobians", JACOBIANS)
    known = {e["name"]: e["jacobian"]["norm"] for e in layers if e.get("jacobian", {}).get("norm")}
    if known:
        page.figure(
            Lines(known, x="steps back", y="spectral norm", log_y=True),
            "Largest growth of a change of the state",
            "Along the first rows, from their last step.",
        )
    page.items(
        f"{e['name']}: {e['jacobian']['reason']}."
        for e in layers
        if e.get("jacobian", {}).get("reason")
    )


def _add_example(
    page: Page, number: int, example: Mapping[str, Any], found: Mapping[str, Any]
) -> None:
    answer = next((example["answer"][k] for k in _ANSWERS if k in example["answer"]), None)
    page.section(f"Row {number}", as_code(shorten(" ".join(example["steps"]))))
    if answer is not None:
        page.text(f"The answer: {as_code(shorten(answer))}")
    names = example["steps"]
    if example["contributions"]:
        most = max(range(len(names)), key=lambda i: abs(example["contributions"][i]))
        what = "rise of the loss" if found["of"] == "loss" else "change of the scores"
        page.figure(
            Bars(names, {what: example["contributions"]}, y=what),
            f"Row {number}: what each step contributes",
            f"The {what} when the vector of the step is replaced by zeros. The largest is step "
            f"{most + 1} ({as_code(names[most])}) with {written(example['contributions'][most])}.",
        )
    for name, weights in example["attention"].items():
        _add_attention(page, number, name, weights, example)
    for name, layer in example["layers"].items():
        _add_layer(page, number, name, layer, names)
    if example["layers"]:
        _add_path(page, number, list(example["layers"].items())[-1], names)


def _add_attention(
    page: Page, number: int, name: str, weights: list[list[float]], example: Mapping[str, Any]
) -> None:
    tokens = example["answer"].get("text") if len(weights) > 1 else None
    rows = tokens.split() if isinstance(tokens, str) and " " in tokens else list(tokens or "")
    rows = [*rows, "end"] if len(rows) + 1 == len(weights) else []
    page.figure(
        Heatmap(
            [row[: len(example["steps"])] for row in weights], rows, example["steps"],
            x="input", y="answer" if len(weights) > 1 else "", value="weight", bounds=(0.0, 1.0),
        ),
        f"Row {number}: attention ({name})",
        "How much each input step counts for each step of the answer.",
    )  # fmt: skip


def _add_layer(
    page: Page, number: int, name: str, layer: Mapping[str, Any], names: list[str]
) -> None:
    if layer["gates"] and len(names) > 1:
        gates = {gate: list(enumerate(values, 1)) for gate, values in layer["gates"].items()}
        page.figure(Lines(gates, x="step", y="mean of the units"), f"Row {number}: gates of {name}")
    outputs = list(map(list, zip(*layer["outputs"], strict=True)))
    page.figure(
        Heatmap(outputs, (), names, x="", y="unit", value="output", diverging=True),
        f"Row {number}: outputs of {name}",
        "One line a unit: what it keeps, and when it changes its mind.",
    )


def _add_path(
    page: Page, number: int, last: tuple[str, Mapping[str, Any]], names: list[str]
) -> None:
    """The path of the layer next to the output, where there is one to be seen."""
    name, layer = last
    if len(layer["path"]) < _PATH:
        return
    labels = {name: names} if len(names) <= _NAMED else {}
    page.figure(
        Points(
            {name: [(a, b) for a, b in layer["path"]]}, x="first component", y="second component",
            labels=labels, joined=True,
        ),
        f"Row {number}: path of the state of {name}",
        "The plane in which the states of this row differ most; steps close to each other stand "
        "for similar memories.",
    )  # fmt: skip
