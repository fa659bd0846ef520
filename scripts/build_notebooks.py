"""Writes docs/learn-*.ipynb from the pages of the same name; --check says which are out of date.

A notebook has the page's text, its Python blocks as cells and its commands as cells that call a
shell. What a block prints is left out: it comes when the cell is run.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(
    r"^```(python|sh)\n(.*?)^```\n(?:\n```text\n.*?^```\n)?", re.MULTILINE | re.DOTALL
)
_SETTING_UP = (
    "Made from [{page}]({page}), where what each cell prints can be read without running it. "
    "Needs seqlab in the environment of the kernel."
)


def notebook(page: Path) -> str:
    """The notebook of a page, as JSON text."""
    text, cells, at = page.read_text("utf-8"), [], 0
    for block in _BLOCK.finditer(text):
        cells.append(new_markdown_cell(_prose(text[at : block.start()])))
        cells.append(new_code_cell(_code(block[1], block[2])))
        at = block.end()
    cells.append(new_markdown_cell(_prose(text[at:])))
    cells = [cell for cell in cells if cell.source]
    cells.insert(1, new_markdown_cell(_SETTING_UP.format(page=page.name)))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # drawn by chance otherwise
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    found = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.validate(found)
    return str(nbformat.writes(found)).rstrip() + "\n"


def _prose(text: str) -> str:
    """Markdown as Jupyter reads it: formulas in a line stand between dollars."""
    return re.sub(r"\\\((.+?)\\\)", r"$\1$", text, flags=re.DOTALL).strip()


def _code(language: str, source: str) -> str:
    lines = source.rstrip()
    return (
        lines if language == "python" else re.sub("^seqlab ", "!seqlab ", lines, flags=re.MULTILINE)
    )


def main(words: Sequence[str]) -> int:
    """Write the notebooks, or with --check say which are not those of their pages."""
    wanted = {p.with_suffix(".ipynb"): notebook(p) for p in sorted(DOCS.glob("learn-*.md"))}
    there = {file: file.read_text("utf-8") for file in DOCS.glob("learn-*.ipynb")}
    old = sorted(f for f in wanted.keys() | there.keys() if wanted.get(f) != there.get(f))
    for file in old:
        if "--check" in words:
            print(f"docs/{file.name} is out of date; run scripts/build_notebooks.py")
        elif file in wanted:
            file.write_text(wanted[file], "utf-8")
        else:
            file.unlink()
    return 1 if old and "--check" in words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
