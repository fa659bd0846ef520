"""``seqlab inspect bundle=DIR input=FILE``: what a trained model does with some rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from seqlab import progress
from seqlab.bundle.place import local_bundle
from seqlab.console import number, say, table
from seqlab.errors import DataError
from seqlab.files import check_page_folder, write_json
from seqlab.schema import Count, check_value
from seqlab.verbs.arguments import read_arguments
from seqlab.verbs.predict import check_format, opened, rows_of

NUMBERS, PAGE = "inspect.json", "report.html"
CHOICES = {
    "bundle": "DIR",
    "input": "FILE",
    "output": "DIR",
    "format": "NAME",
    "rows": "ROWS",
    "examples": "ROWS",
}
HELP = """usage: seqlab inspect bundle=DIR input=FILE [output=DIR] [rows=64] [examples=3]

Looks at a trained model while it reads the rows of a file: how far the gradient of the loss reaches
back in each layer and direction, products of Jacobians, gates, saturated and dead units, attention,
states, and what each input step contributes. Prints a table and writes inspect.json and
report.html, a page that needs no network.

  input=      read as predict reads it; with the column of the target, the loss is followed, and
              without it the encoder's output
  output=     a folder (BUNDLE-inspect beside the bundle)
  format=     of the input, unless the file's ending says it
  rows=       rows to measure on, from the first (64)
  examples=   rows to show one by one (3)
"""


def run(words: Sequence[str]) -> int:
    """Measure, print, write; always 0.

    Raises:
        ConfigError: a word is not understood.
        BundleError: the bundle cannot be loaded.
        DataError: a row does not fit; file and row are named.
    """
    given = read_arguments(words, CHOICES, required=("bundle", "input"))
    counts = {key: _count(key, given.get(key), n) for key, n in (("rows", 64), ("examples", 3))}
    source = given["input"]
    check_format(source, given.get("format"))
    local_bundle(given["bundle"])
    bundle = Path(given["bundle"])
    output = Path(given.get("output", f"{bundle.resolve()}-inspect"))
    check_page_folder(output, NUMBERS, PAGE)
    with opened(source) as stream:
        with progress.stage("starting", summary=False):
            from seqlab.bundle import load
            from seqlab.microscope import rows as microscope_rows
            from seqlab.microscope.inspect_page import inspect_page
            from seqlab.microscope.inspection import inspect

            trained = load(given["bundle"])
        read = list(islice(rows_of(trained, stream, source, given.get("format")), counts["rows"]))
    if not read:
        raise DataError(f"{source}: there is no row to look at")
    values = [value for _, value in read]
    rows, _ = microscope_rows.encode(trained.processor, values, lambda i: read[i][0])
    with progress.stage("looking", summary=False):
        found = inspect(trained, rows, shown=counts["examples"])
    found = {"bundle": str(bundle), "input": source, **found}
    write_json(output / NUMBERS, found)
    page = inspect_page(found).write(output / PAGE)
    _show(found)
    say(f"\nnumbers  {output / NUMBERS}\npage     {page}")
    return 0


def _count(key: str, text: str | None, default: int) -> int:
    value: Any = int(text) if text is not None and text.isdecimal() else text
    checked: int = check_value(default if value is None else value, Count, key)
    return checked


def _show(found: dict[str, Any]) -> None:
    rows = []
    for layer in [*found["layers"], *found["decoder"]]:
        memory = layer.get("memory") or {}
        units = layer["units"]
        rows.append(
            [
                layer["name"],
                layer["cell"],
                *(number(memory.get(key)) for key in ("half_life", "rate", "reach")),
                f"{len(units['dead'])}/{units['units']}",
                f"{len(units['saturated'])}/{units['units']}",
            ]
        )
    header = ["layer", "cell", "half-life", "rate", "reach", "dead", "saturated"]
    of = "loss" if found["of"] == "loss" else "output"
    table(f"how far the gradient of the {of} reaches back, in steps", header, rows)
