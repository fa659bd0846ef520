"""The options of parts, read from their source files: nothing is imported or run.

The file of ``package.module:Class`` is found by the path of its top-level package, since asking
Python for ``package.module`` would import ``package``. A part's own imports take seconds (torch,
datasets), and a wrong word in a config should be told at once. What cannot be read with certainty
is not said here; it is checked after the import.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union

_MOST_BYTES = 2**20
_MOST_HOPS = 5
#: The modules of bounds.
_BOUNDS = ("seqlab.schema", "seqlab.bounds")
#: Where reading ends: the base classes of these take no options; ``*`` stands for all of them.
_WITHOUT_OPTIONS = {
    "abc": ("*",),
    "typing": ("*",),
    "torch": ("Module", "Optimizer"),
    "pytorch_lightning": ("Callback", "Checkpoint", "Logger"),
}
_PLAIN: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str, "Any": Any}
#: What takes types in brackets.
_GENERIC: dict[str, Any] = {
    "tuple": tuple, "list": list, "dict": dict, "Sequence": Sequence, "Mapping": Mapping,
}  # fmt: skip


class Option(NamedTuple):
    """One option: its annotation as far as it could be read (else ``Any``), and its words."""

    hint: Any
    annotation: str


class Definition(NamedTuple):
    """Where a class or function is defined."""

    node: ast.ClassDef | ast.FunctionDef
    module: str
    path: Path


def options_of(target: str) -> dict[str, Option] | None:
    """The parameters of a class's ``__init__``, in order, those of its bases included.

    Args:
        target: ``package.module:Class``, as an entry point gives it.

    Returns:
        None where they cannot be told without importing the class.

    Example:
        >>> list(options_of("seqlab.cells.min_gru:MinGRUCell"))[:2]
        ['input_size', 'hidden_size']
    """
    found = definition_of(target)
    return None if found is None else _options(found)


def class_constant(target: str, name: str) -> Any:
    """The plain value that a class, or the nearest of its bases, gives an attribute.

    Args:
        target: as for ``options_of``.
        name: of the attribute.

    Returns:
        None where it cannot be told without importing the class, too.

    Example:
        >>> class_constant("seqlab.training.schedules:CosineSchedule", "needs_length")
        True
    """
    found = definition_of(target)
    return None if found is None else _constant(found, name)


def _constant(found: Definition, name: str) -> Any:
    for node in found.node.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if name in map(ast.unparse, targets) and isinstance(node.value, ast.Constant):
            return node.value.value
    for base in found.node.bases if isinstance(found.node, ast.ClassDef) else ():
        parent = _find(found.module, base.id) if isinstance(base, ast.Name) else None
        if parent is not None and (value := _constant(parent, name)) is not None:
            return value
    return None


def definition_of(target: str) -> Definition | None:
    """The class or function that an entry point's target names, through a few imports."""
    module, _, name = target.partition(":")
    return _find(module, name.split(".")[0])


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
def syntax_tree(path: Path) -> ast.Module | None:
    """A file's syntax; None where it is too large or no Python."""
    try:
        return None if path.stat().st_size > _MOST_BYTES else ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def origin_of(module: str, path: Path, node: ast.ImportFrom) -> str:
    """The module that ``from ..x import name`` means inside a module."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    base = parts[: len(parts) - node.level + (path.name == "__init__.py")]
    return ".".join([*base, *([node.module] if node.module else [])])


def _find(module: str, name: str) -> Definition | None:
    for _ in range(_MOST_HOPS):
        path = module_file(module)
        tree = syntax_tree(path) if path else None
        if path is None or tree is None:
            return None
        step = _defined(tree, name)
        if step is None:
            return None
        if isinstance(step, ast.ClassDef | ast.FunctionDef):
            return Definition(step, module, path)
        node, name = step
        module = origin_of(module, path, node)
    return None


def _defined(
    tree: ast.Module, name: str
) -> ast.ClassDef | ast.FunctionDef | tuple[ast.ImportFrom, str] | None:
    for node in _statements(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return node, alias.name
    return None


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Those of a file, and the imports that it shows to type checkers: it has them lazily."""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from node.body
        else:
            yield node


def _options(found: Definition) -> dict[str, Option] | None:
    if _changes_signature(found.node, found.path):
        return None
    a_class = isinstance(found.node, ast.ClassDef)
    own = next((n for n in found.node.body if _is_init(n)), None) if a_class else found.node
    options: dict[str, Option] = {}
    if isinstance(own, ast.FunctionDef):
        if _changes_signature(own, found.path) or own.args.vararg:
            return None
        options = dict(_parameters(own.args, syntax_tree(found.path) or ast.Module([], [])))
        if own.args.kwarg is None:
            return options
    for base in found.node.bases if isinstance(found.node, ast.ClassDef) else (None,):
        theirs = _base_options(found, base)
        if theirs is None:
            return None
        options = {**theirs, **options}
    return options


def _changes_signature(node: ast.ClassDef | ast.FunctionDef, path: Path) -> bool:
    """Whether a decorator may give it another signature, as ``seqlab.schema.checked`` does not."""
    from seqlab.schema import checked

    names = _known_names(syntax_tree(path) or ast.Module([], []))
    return any(names[ast.unparse(word)] is not checked for word in node.decorator_list)


def _is_init(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def _base_options(found: Definition, base: ast.expr | None) -> dict[str, Option] | None:
    """The options that a base class takes; none where it is one of ``_WITHOUT_OPTIONS``."""
    if base is None:  # a function's ``**rest`` goes anywhere
        return None
    tree = syntax_tree(found.path)
    words = ast.unparse(base.value if isinstance(base, ast.Subscript) else base).split(".")
    for node in tree.body if tree else ():
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                known = alias.asname or alias.name.split(".")[0]
                whole = getattr(node, "module", None) or alias.name
                outside = not getattr(node, "level", 0)
                top = whole.split(".", maxsplit=1)[0]
                if known != words[0] or not outside:
                    continue
                name = alias.name if len(words) == 1 else words[-1]
                if {"*", name} & set(_WITHOUT_OPTIONS.get(top, ())):
                    return {}
    if len(words) != 1:
        return None
    parent = _find(found.module, words[0])
    return None if parent is None else _options(parent)


def _parameters(arguments: ast.arguments, tree: ast.Module) -> Iterator[tuple[str, Option]]:
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        if argument.arg != "self":
            node = argument.annotation
            text = "" if node is None else ast.unparse(node)
            yield argument.arg, Option(_hint(node, _known_names(tree)), text)


class _Names(dict[str, Any]):
    """The bounds that a file imports, and the annotations that it or its imports name."""

    def __init__(self, tree: ast.Module) -> None:
        from seqlab import schema

        self.tree = tree
        super().__init__(
            {
                alias.asname or alias.name: getattr(schema, alias.name, Any)
                for node in tree.body
                if isinstance(node, ast.ImportFrom) and node.module in _BOUNDS
                for alias in node.names
            }
        )

    def __missing__(self, name: str) -> Any:
        """A name is looked for when it is asked for: files that are not needed stay unread."""
        self[name] = Any  # one that names itself
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                self[name] = _hint(node.value, self)
        if self[name] is Any and isinstance(step := _defined(self.tree, name), tuple):
            node, there = step
            ours = not node.level and (node.module or "").startswith("seqlab.")
            path = module_file(node.module or "") if ours else None
            tree = syntax_tree(path) if path else None
            self[name] = _known_names(tree)[there] if tree else Any
        return self[name]


@functools.cache
def _known_names(tree: ast.Module) -> _Names:
    return _Names(tree)


def _hint(node: ast.expr | None, names: Mapping[str, Any]) -> Any:
    """An annotation of plain types, bounds, literals and unions of these; ``Any`` for others."""
    if isinstance(node, ast.Name):
        return _PLAIN[node.id] if node.id in _PLAIN else names[node.id]
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        sides = [_hint(node.left, names), _hint(node.right, names)]
        return Any if Any in sides else Union[tuple(sides)]  # noqa: UP007 - made at run time
    return _subscript_hint(node, names) if isinstance(node, ast.Subscript) else Any


def _subscript_hint(node: ast.Subscript, names: Mapping[str, Any]) -> Any:
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    word = ast.unparse(node.value)
    if word == "Literal":
        values = tuple(part.value for part in parts if isinstance(part, ast.Constant))
        return Literal[values] if len(values) == len(parts) else Any
    if word == "Annotated":
        hint = _hint(parts[0], names)
        for made in filter(None, (_range(bound, names) for bound in parts[1:])):
            hint = Annotated[hint, made]
        return hint
    kinds = [_hint(part, names) for part in parts]
    whole = _GENERIC.get(word)
    # what a list or mapping holds may be unknown
    return Any if whole is None or (whole is tuple and Any in kinds) else whole[tuple(kinds)]


def _range(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The ``Range`` that a call makes of numbers; None for any other bound."""
    from seqlab.schema import Range

    if not isinstance(node, ast.Call) or names[ast.unparse(node.func)] is not Range:
        return None
    ends = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
    known = len(ends) == len(node.keywords) and not node.args
    return Range(**ends) if known else None  # type: ignore[arg-type]
