"""Docstrings of installed parts, read from their source files: nothing is imported or run.

The file of ``package.module:Class`` is found by the path of its top-level package, since asking
Python for ``package.module`` would import ``package``.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import re
from pathlib import Path
from typing import NamedTuple

_MOST_BYTES = 2**20
_MOST_HOPS = 5
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
    module, _, name = target.partition(":")
    for _ in range(_MOST_HOPS):
        path = module_file(module)
        found = _names(path).get(name.split(".")[0]) if path else None
        if isinstance(found, tuple):
            module, name = _absolute(module, path, found)
            continue
        return found or ""
    return ""


def module_file(module: str) -> Path | None:
    """The file of a module, found by path; only finders look, and no module is imported."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if not rest and spec.origin and spec.origin.endswith(".py"):
        return Path(spec.origin)
    for root in spec.submodule_search_locations or ():
        place = Path(root, *rest)
        for candidate in (place.with_suffix(".py"), place / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


@functools.cache
def _names(path: Path) -> dict[str, str | tuple[int, str, str]]:
    """The top-level names of a file: docstrings of classes and functions, origins of imports."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, str | tuple[int, str, str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = ast.get_docstring(node) or ""
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                origin = (node.level, node.module or "", alias.name)
                found[alias.asname or alias.name] = origin
    return found


def _absolute(module: str, path: Path | None, origin: tuple[int, str, str]) -> tuple[str, str]:
    """The module and name that ``from ..x import name`` means inside a module."""
    level, source, name = origin
    if not level:
        return source, name
    parts = module.split(".")
    is_package = path is not None and path.name == "__init__.py"
    base = parts[: len(parts) - level + (1 if is_package else 0)]
    return ".".join([*base, *([source] if source else [])]), name


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
