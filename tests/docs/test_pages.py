"""The pages of docs: reference up to date, links that lead somewhere, and a site that builds."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def build_reference():
    path = ROOT / "scripts" / "build_reference.py"
    spec = importlib.util.spec_from_file_location("build_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_docstrings_say(build_reference, capsys):
    code = build_reference.main(["--check"])
    assert code == 0, capsys.readouterr().out


def test_a_changed_page_is_written_and_an_old_one_removed(
    build_reference, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(build_reference, "FOLDER", tmp_path)
    monkeypatch.setattr(build_reference, "pages", lambda: {"cell/a.md": "new\n", "b.md": "b\n"})
    (tmp_path / "gone.md").write_text("old\n")
    (tmp_path / "b.md").write_text("b\n")
    assert build_reference.main(["--check"]) == 1
    assert "docs/reference/gone.md is out of date" in capsys.readouterr().out
    assert build_reference.main([]) == 0
    assert sorted(p.name for p in tmp_path.rglob("*.md")) == ["a.md", "b.md"]
    assert build_reference.main(["--check"]) == 0


DOCSTRING = """One line with ``code``.

    h_t = x_t      first

    y_t = h_t      second

Args:
    size: how many,
        in all.
    **options: the rest.

Example:
    >>> 1 + 1
    2
"""


def test_docstrings_become_markdown(build_reference):
    assert build_reference.markdown(DOCSTRING) == (
        "One line with `code`.\n\n"
        "```text\nh_t = x_t      first\n```\n\n```text\ny_t = h_t      second\n```\n\n"
        "**Args**\n\n- `size`: how many,\n  in all.\n- `**options`: the rest.\n\n"
        "**Example**\n\n```python\n>>> 1 + 1\n2\n```\n"
    )


def prose(page):
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """What may stand behind # in a link to a page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page):
    """Links to a file that is not there, or to a heading that the file has not."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if ":" in path or (target.exists() and not anchor):
            continue
        if not target.is_file() or anchor not in anchors(target):
            yield f"{page.name}: {link}"


def test_links_between_pages_lead_somewhere(tmp_path):
    pages = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("plugins/*/README.md")]
    assert [link for page in pages for link in broken_links(page)] == []
    page = tmp_path / "page.md"
    page.write_text("# A `word`, two\n\n[a](#a-word-two) [b](#gone) [c](gone.md) [d](page.md#e)\n")
    assert list(broken_links(page)) == ["page.md: #gone", "page.md: gone.md", "page.md: page.md#e"]


def test_files_that_pages_name_are_there():
    named = re.compile(r"(?<![\w/])((?:plugins/[\w-]+/)?(?:tests|scripts)/[\w/]+\.\w+)")
    pages = [*ROOT.glob("*.md"), *DOCS.glob("*.md")]
    found = [(page.name, file) for page in pages for file in named.findall(prose(page))]
    assert [(page, file) for page, file in found if not (ROOT / file).exists()] == []
    assert len(found) > 20


def test_the_site_builds_without_a_warning(tmp_path):
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site/reference/cell/gru.html").read_text("utf-8")
    assert 'class="arithmatex"' in page
    assert 'src="gru.svg"' in page
