"""``seqlab gradients cell=rnn,lstm,gru``: how far the gradient reaches back in fresh cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seqlab import progress, registry
from seqlab.console import number, say, table
from seqlab.construct import check_options
from seqlab.errors import ConfigError, did_you_mean
from seqlab.files import check_page_folder, write_json
from seqlab.schema import Count, Whole, check_value
from seqlab.verbs.arguments import option_value, read_arguments

NUMBERS, PAGE = "gradients.json", "report.html"
CHOICES = {
    "cell": "NAME,NAME",
    "length": "STEPS",
    "hidden_size": "UNITS",
    "rows": "ROWS",
    "seed": "NUMBER",
    "output": "DIR",
}
DEFAULTS = {"length": 200, "hidden_size": 32, "rows": 4, "seed": 0}
HELP = """usage: seqlab gradients cell=NAME[,NAME] [length=200] [cell.OPTION=VALUE] [output=DIR]

Draws each cell anew, runs it over random sequences and follows the gradient of the last output
back, step by step: the norm by distance, exact products of Jacobians, half-life, gates. Prints a
table and writes gradients.json and report.html, a page that needs no network.

  cell=          registered cells, a plugin's too; seqlab list kind=cell
  length=        steps of a sequence (200)
  hidden_size=   units of each cell, and the width of the input (32)
  rows=          sequences; the curves are means over them (4)
  seed=          of inputs and weights (0)
  output=        a folder (gradients)
  cell.OPTION=   an option of every cell; NAME.OPTION= of the cell of that name: a plain word, or
                 JSON, such as 'cell.recurrent_initializer={"name": "orthogonal", "gain": 0.5}'
"""


def run(words: Sequence[str]) -> int:
    """Measure, print, write; always 0.

    Raises:
        ConfigError: a word is not understood.
        SeqlabError: a cell or an option is unknown or refused.
        RunError: the folder has a page of something else.
    """
    options = [word for word in words if "." in word.partition("=")[0]]
    given = read_arguments([w for w in words if w not in options], CHOICES, required=("cell",))
    names = given["cell"].split(",")
    sizes = {key: _number(key, given.get(key), default) for key, default in DEFAULTS.items()}
    cells = _cells(names, _options(options, names))
    output = Path(given.get("output", "gradients"))
    check_page_folder(output, NUMBERS, PAGE)

    with progress.stage("starting", summary=False):
        from seqlab.microscope.fresh import compare_fresh
        from seqlab.microscope.gradients_page import gradients_page
    with progress.stage("following gradients", summary=False):
        found = compare_fresh(cells, **sizes)
    write_json(output / NUMBERS, {**sizes, "cells": found})
    page = gradients_page(found, **sizes).write(output / PAGE)
    _show(found, sizes["length"])
    say(f"\nnumbers  {output / NUMBERS}\npage     {page}")
    return 0


def _number(key: str, text: str | None, default: int) -> int:
    value = default if text is None else option_value(key, text)
    checked: int = check_value(value, Whole if key == "seed" else Count, key)
    return checked


def _options(words: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The options of each cell; those of ``cell`` are everybody's.

    Raises:
        ConfigError: a word has another form, or names a cell that is not asked for.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in ("cell", *names)}
    for word in words:
        key, equals, value = word.partition("=")
        owner, _, option = key.partition(".")
        if not equals or not value or not option:
            raise ConfigError(f"'{word}' is not understood: expected cell.OPTION=VALUE")
        if owner not in found:
            raise ConfigError(
                f"{key}: no cell '{owner}' is asked for, {did_you_mean(owner, found)}"
            )
        found[owner][option] = option_value(key, value)
    return {name: {**found["cell"], **found[name]} for name in names}


def _cells(
    names: Sequence[str], options: dict[str, dict[str, Any]]
) -> dict[str, Callable[[int, int], Any]]:
    """A function from sizes to the cell, for each name.

    Raises:
        SeqlabError: a cell or an option is unknown.
    """
    found: dict[str, Callable[[int, int], Any]] = {}
    for name in names:
        cell = registry.get("cell", name)
        check_options("cell", name, options[name], given=2, where=name)

        def make(inputs: int, units: int, cell: Any = cell, name: str = name) -> Any:
            return cell(inputs, units, **options[name])

        found[name] = make
    return found


def _show(found: dict[str, dict[str, Any]], length: int) -> None:
    def steps(value: float | None) -> str:
        return f"over {length}" if value is None else f"{value:.1f}"

    rows = [
        [
            name,
            f"{entry['parameters']:,}",
            steps(entry["memory"]["half_life"]),
            number(entry["memory"]["rate"]),
            f"{entry['gradient'][0][1]:.2e}",
            f"{entry['gradient'][-1][1]:.2e}",
        ]
        for name, entry in found.items()
    ]
    header = ["cell", "parameters", "half-life", "rate", "1 step back", f"{length} steps back"]
    table("the gradient of the last output by earlier states", header, rows)
