"""The learners' notebooks: those of their pages, and they run."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("learn-*.md"))
OUTPUT = re.compile(r"^```python\n.*?^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def build_notebooks():
    path = ROOT / "scripts" / "build_notebooks.py"
    spec = importlib.util.spec_from_file_location("build_notebooks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebooks_are_those_of_the_pages(build_notebooks, capsys):
    assert build_notebooks.main(["--check"]) == 0, capsys.readouterr().out


def test_a_changed_page_is_seen_and_an_old_notebook_removed(build_notebooks, tmp_path, monkeypatch):
    monkeypatch.setattr(build_notebooks, "DOCS", tmp_path)
    page = tmp_path / "learn-a.md"
    page.write_text(
        "# A\n\nWhat \\(x\n+ y\\) is:\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\nEnd.\n"
    )
    (tmp_path / "learn-gone.ipynb").write_text("{}")
    assert build_notebooks.main(["--check"]) == 1
    assert build_notebooks.main([]) == 0
    assert [file.name for file in tmp_path.glob("*.ipynb")] == ["learn-a.ipynb"]
    assert build_notebooks.main(["--check"]) == 0
    page.write_text(page.read_text().replace("print(1)", "print(2)"))
    assert build_notebooks.main(["--check"]) == 1


def test_cells_have_the_text_the_code_and_the_commands_and_no_output(build_notebooks, tmp_path):
    page = tmp_path / "learn-a.md"
    page.write_text(
        "# A\n\nWhat \\(x\n+ y\\) is:\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n"
        "```text\nkept\n```\n\n```sh\nseqlab list \\\n  kind=cell\n```\n"
    )
    cells = json.loads(build_notebooks.notebook(page))["cells"]
    title, note, code, kept, command = ("".join(cell["source"]) for cell in cells)
    assert title == "# A\n\nWhat $x\n+ y$ is:"
    assert "[learn-a.md](learn-a.md)" in note
    assert (code, command) == ("print(1)", "!seqlab list \\\n  kind=cell")
    assert kept == "```text\nkept\n```"
    assert all(cell.get("outputs", []) == [] for cell in cells)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_notebook_prints_what_the_page_says(page, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    monkeypatch.setenv("PATH", path)
    book = nbformat.read(page.with_suffix(".ipynb"), as_version=4)
    nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    found = [
        "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
        for cell in cells
        if not cell.source.startswith("!")
    ]
    assert found == OUTPUT.findall(page.read_text("utf-8"))
