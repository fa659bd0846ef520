"""Docstrings of installed parts, read from their source files: nothing is imported or run."""

from __future__ import annotations

import ast
import inspect
import re
from typing import NamedTuple

from seqlab.source_signatures import definition_of

_SECTIONS = ("Args:", "Raises:", "Returns:", "Example:", "Examples:", "Class attributes:")


class Description(NamedTuple):
    """What a docstring says: its first sentence on one line, and its main equation, or ``""``."""

    summary: str = ""
    equation: str = ""


def describe(target: str) -> Description:
    """The summary and the equation of an entry point's target, without importing it.

    The equation is taken from the first indented block of lines ``left = right`` with a single
    name on the left: its last line for h or y, or its last; without such a block it is the last
    such piece of code in double back quotes.

    Args:
        target: ``package.module:Class``.

    Returns:
        Empty strings where there is no source, no class or no docstring.

    Example:
        >>> describe("seqlab.cells.rnn:RNNCell").equation
        'h_t = act(W x_t + U h_{t-1} + b)'
    """
    text = docstring_of(target)
    return Description(_summary(text), _equation(text)) if text else Description()


def docstring_of(target: str) -> str:
    """The cleaned docstring of a target, or ``""``; see ``describe``."""
    found = definition_of(target)
    return (ast.get_docstring(found.node) or "") if found else ""


def _summary(text: str) -> str:
    """The first paragraph's first sentence, on one line."""
    paragraph = " ".join(inspect.cleandoc(text).split("\n\n")[0].split())
    ends = re.search(r"(?<!et al)(?<!e\.g)(?<!i\.e)\.(?= [A-Z])", paragraph)
    return paragraph[: ends.end()] if ends else paragraph


def equation_block(text: str) -> list[str]:
    """The first indented block of equations of a docstring, one a line."""
    block: list[str] = []
    for line in inspect.cleandoc(text).splitlines():
        if line.strip() in _SECTIONS or (block and not line.startswith("    ")):
            break
        if line.startswith("    ") and _is_equation(line):
            block.append(line.strip())
    return block


def _equation(text: str) -> str:
    block = equation_block(text)
    if block:
        shown = [line for line in block if line[0] in "hy"] or block
        return re.split(r"\s{2,}", shown[-1])[0].rstrip(",;")
    body = " ".join(text.split())
    pieces = [piece for piece in re.findall(r"``([^`]+)``", body) if _is_equation(piece)]
    return pieces[-1] if pieces else ""


def _is_equation(text: str) -> bool:
    return re.match(r"\s*[A-Za-z][\w{}'-]*\s=\s\S", text) is not None
