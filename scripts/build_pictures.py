"""Draw the pictures of the pages in docs: ``python scripts/build_pictures.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import seqlab
from seqlab.microscope.fresh import compare_fresh
from seqlab.pages import Lines
from seqlab.pages.drawing import as_file

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
LENGTH = 200


def fresh(name: str, **options: Any) -> Any:
    """A function from sizes to a cell."""
    return lambda inputs, units: seqlab.get("cell", name)(inputs, units, **options)


def vanishing_gradient() -> Lines:
    """The curves of fresh cells, and of gates that begin open."""
    cells = {name: fresh(name) for name in ("rnn", "gru", "lstm")}
    cells |= {f"{name}, chrono": fresh(name, chrono=LENGTH) for name in ("gru", "lstm")}
    found = compare_fresh(cells, length=LENGTH, hidden_size=32, rows=4, seed=0)
    curves = {name: entry["gradient"] for name, entry in found.items()}
    return Lines(curves, x="steps back", y="norm of the gradient", log_y=True)


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    title = "Gradient of the last output by earlier states"
    file = FOLDER / "vanishing-gradient.svg"
    file.write_text(as_file(vanishing_gradient(), title), encoding="utf-8")
    print(f"{file}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
