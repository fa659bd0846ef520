"""The learners' page: every block runs, and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "learn-gates.md"
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def printed_by(blocks):
    """Run blocks in one namespace; what each python block prints."""
    namespace: dict = {}
    found = []
    for kind, source in blocks:
        if kind == "python":
            stream = io.StringIO()
            with contextlib.redirect_stdout(stream):
                exec(compile(source, str(PAGE), "exec"), namespace)  # noqa: S102  # our own page
            found.append(stream.getvalue())
    return found, namespace


@pytest.fixture(scope="module")
def blocks():
    return BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def expected(blocks):
    """The text below each python block; empty where it prints nothing."""
    wanted: list[str] = []
    for kind, source in blocks:
        if kind == "python":
            wanted.append("")
        else:
            wanted[-1] += source
    return wanted


def test_the_page_prints_what_it_says(blocks):
    found, namespace = printed_by(blocks)
    assert found == expected(blocks)
    assert sum(bool(text) for text in found) >= 10
    assert namespace["h_new"].shape == (2,)


def test_a_wrong_number_on_the_page_would_be_seen(blocks):
    changed = [
        (kind, source.replace("0.6652", "0.6651")) if kind == "text" else (kind, source)
        for kind, source in blocks
    ]
    assert printed_by(blocks)[0] != expected(changed)


def test_every_gate_has_its_equation(blocks):
    text = PAGE.read_text(encoding="utf-8")
    for symbol in ("f_t", "i_t", "g_t", "c_t", "o_t", "z_t", "r_t", "n_t", "h_t"):
        assert f"{symbol} =" in text
    assert len(blocks) > 20
