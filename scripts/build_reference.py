"""Writes docs/reference: a page for each built-in part and one for the Python interface.

python scripts/build_reference.py            writes the pages, and removes pages of parts that went
python scripts/build_reference.py --check    writes nothing; exit code 1 if a page would change

All text comes from docstrings; what is said of cells is traced from their code.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import seqlab
from seqlab import plugins, registry
from seqlab.construct import accepted_options
from seqlab.introspection.card import WIDTHS, CellCard, cell_card
from seqlab.introspection.svg import as_svg

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
#: Kinds whose parts are small functions: one page for all of a kind.
TOGETHER = ("activation", "initializer", "regularizer", "constraint")
#: The collection of cells, which has pages of its own.
ZOO = "seqlab-zoo"
#: What authors of plugins build on, beside the names of ``seqlab`` itself.
CONTRACTS = (
    "seqlab.construct:construct",
    "seqlab.options.resolve:resolve_activation",
    "seqlab.options.resolve:resolve_initializer",
    "seqlab.options.resolve:resolve_object",
    "seqlab.schema:check_order",
    "seqlab.schema:checked",
    "seqlab.types:Batch",
    "seqlab.types:Encoded",
    "seqlab.types:EncoderInfo",
    "seqlab.types:FeatureInfo",
    "seqlab.types:TargetInfo",
    "seqlab.data.ragged:Ragged",
    "seqlab.data.transforms.base:Row",
    "seqlab.heads.metrics.base:Outcome",
    "seqlab.testing.kit:check",
    "seqlab.testing.kit:check_cell",
    "seqlab.testing.parametrize:parametrize_with_checks",
)
#: Modules whose names for types stand in signatures and annotations.
TYPES = (
    "seqlab.bounds", "seqlab.types", "seqlab.data.part", "seqlab.data.raw_columns",
    "seqlab.data.tokenizers.base", "seqlab.data.transforms.base",
)  # fmt: skip
_SECTION = re.compile(r"(Args|Raises|Returns|Class attributes|Examples?)::?$")


def pages() -> dict[str, str]:
    """All pages by path inside the folder."""
    made = {"index.md": _index(), "python.md": _python()}
    for kind in registry.KINDS:
        names = _built_in(kind)
        if kind in TOGETHER:
            sections = [_section(kind, name, "## ") for name in names]
            made[f"{kind}.md"] = f"# Every {kind}\n\n" + "\n".join(sections)
            continue
        for name in names:
            text = _section(kind, name, "# ")
            if kind == "cell":
                card = cell_card(name)
                text += _card(card)
                if card.diagram is not None:
                    made[f"{kind}/{name}.svg"] = as_svg(card.diagram, f"{name}: one step")
            made[f"{kind}/{name}.md"] = text
    for name in _built_in("cell", ZOO):
        card = cell_card(name)
        made[f"zoo/{name}.md"] = _section("cell", name, "# ") + _card(card)
        if card.diagram is not None:
            made[f"zoo/{name}.svg"] = as_svg(card.diagram, f"{name}: one step")
    return made


def main(words: list[str]) -> int:
    """Write or check the pages."""
    wanted = pages()
    present = {
        path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8")
        for path in FOLDER.rglob("*")
        if path.is_file()
    }
    stale = sorted(n for n in {*wanted, *present} if wanted.get(n) != present.get(n))
    if "--check" in words:
        for name in stale:
            print(f"docs/reference/{name} is out of date: run scripts/build_reference.py")
        return int(bool(stale))
    for name in stale:
        target = FOLDER / name
        if name not in wanted:
            target.unlink()
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(wanted[name], encoding="utf-8")
    print(f"{len(wanted)} pages, {len(stale)} changed")
    return 0


def _built_in(kind: str, distribution: str = plugins.BUILT_IN) -> list[str]:
    declared = plugins.declared(kind).values()
    return sorted(part.name for part in declared if part.distribution == distribution)


def _index() -> str:
    lines = ["# Reference", "", "Written from the docstrings by `scripts/build_reference.py`.", "",
             "- [The Python interface](python.md)"]  # fmt: skip
    for kind in registry.KINDS:
        names = _built_in(kind)
        if not names:
            continue
        if kind in TOGETHER:
            lines.append(f"- [{kind}]({kind}.md): {', '.join(names)}")
        else:
            links = ", ".join(f"[{name}]({kind}/{name}.md)" for name in names)
            lines.append(f"- {kind}: {links}")
    links = ", ".join(f"[{name}](zoo/{name}.md)" for name in _built_in("cell", ZOO))
    lines.append(f"- cell, with `pip install seqlab-zoo`: {links}")
    return "\n".join(lines) + "\n"


def _section(kind: str, name: str, level: str) -> str:
    part = registry.get(kind, name)
    options = list(accepted_options(part).items())
    shown = ", ".join(f"`{_option(*item)}`" for item in options)
    takes = f"\nTakes {shown}.\n" if options else ""
    title = f"{level}{name}\n\n`{part.__module__}.{part.__qualname__}`\n\n"
    return title + markdown(inspect.getdoc(part) or "") + takes


def _option(name: str, parameter: inspect.Parameter) -> str:
    empty = parameter.default is inspect.Parameter.empty
    return name if empty else f"{name}={parameter.default!r}"


def _python() -> str:
    lines = ["# The Python interface", "", "What `import seqlab` gives, and the bases of parts."]
    objects = [(name, getattr(seqlab, name)) for name in sorted(seqlab.__all__)]
    objects = [
        (f"seqlab.{name}", thing)
        for name, thing in objects
        if inspect.isroutine(thing) or inspect.isclass(thing)
    ]
    for target in CONTRACTS:
        module, _, name = target.partition(":")
        objects.append((f"{module}.{name}", getattr(importlib.import_module(module), name)))
    for title, thing in objects:
        signature = _made_by(thing) if inspect.isclass(thing) else _signature(thing)
        lines += ["", f"## {title}", "", *([f"`{signature}`", ""] if signature else [])]
        lines.append(markdown(inspect.getdoc(thing) or ""))
        if inspect.isclass(thing):
            lines += _members(thing)
    lines += ["", "## Names of types", "", "Options are checked by annotations such as these.", ""]
    for module in TYPES:
        text = inspect.getsource(importlib.import_module(module))
        for name, code, said in _told(text):
            lines.append(f"- `{module}.{name}`: {said}" + ("" if code is None else f" `{code}`"))
    return "\n".join(lines) + "\n"


def _made_by(thing: type) -> str:
    """The class with what it is made of; empty where nothing of this project says it."""
    init = next(
        (vars(base)["__init__"] for base in thing.__mro__ if "__init__" in vars(base)), None
    )
    if not (getattr(init, "__module__", None) or "").startswith("seqlab"):
        return ""
    own = list(inspect.signature(init).parameters.values())[1:]
    found = inspect.Signature(own).replace(return_annotation=inspect.Signature.empty)
    written = {f"{p.name}: {p.annotation!r}": f"{p.name}: {p.annotation}" for p in own}
    text = str(found)
    for quoted, plain in written.items():
        text = text.replace(quoted, plain, 1)
    return f"{thing.__name__}{text}"


def _members(thing: type) -> list[str]:
    """What a class has, and its bases that have no section of their own."""
    shown = {getattr(seqlab, name) for name in seqlab.__all__}
    lines: dict[str, str] = {}
    for base in thing.__mro__:
        if base is not thing and (base in shown or not base.__module__.startswith("seqlab")):
            continue
        attributes = {name: f"- `{name}`: {said}" for name, _, said in _told(_source(base))}
        lines = {**attributes, **_methods(base), **lines}
    return ["", *lines.values()] if lines else []


def _source(thing: type) -> str:
    try:
        return inspect.cleandoc("\n" + inspect.getsource(thing))
    except (OSError, TypeError):  # made while the program runs
        return ""


def _told(text: str) -> list[tuple[str, str | None, str]]:
    """Names that a comment ``#:`` stands above, their values on one line, and what it says."""
    found, said = [], ""
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("#: "):
            said += f" {bare[3:]}"
            continue
        name = re.match(r"([A-Za-z]\w*)(?:: [^=]+)?(?: = (.*))?$", bare)
        if said and name and name[1] != "return":
            found.append((name[1], name[2], _inline(said.strip())))
        said = ""
    return found


def _methods(thing: type) -> dict[str, str]:
    lines = {}
    for name, member in vars(thing).items():
        own = inspect.isfunction(member) or isinstance(member, property)
        text = inspect.getdoc(member) if own and not name.startswith("_") else None
        if text:
            signature = "" if isinstance(member, property) else _signature(member)
            first = " ".join(text.split("\n\n")[0].split())
            lines[name] = f"- `{name}{signature}`: {_inline(first)}"
    return lines


def _signature(function: Any) -> str:
    """A signature with its annotations as they are written."""
    return re.sub(r"((?:: |-> |= )?)'([^']*)'", _unquoted, str(inspect.signature(function)))


def _unquoted(found: re.Match[str]) -> str:
    return found[0] if found[1] == "= " else f"{found[1]}{found[2]}"


def markdown(text: str) -> str:
    """A docstring as Markdown: sections become lists; equations and examples become code."""
    made = []
    for title, lines in _blocks(text):
        body = inspect.cleandoc("\n".join(["", *lines]))
        if title.startswith("Example"):
            made.append(f"**{title}**\n\n```python\n{body}\n```")
        elif title:
            made.append(f"**{title}**\n\n{_inline(_items(body))}")
        elif body.startswith(">>>"):
            made.append(f"```python\n{body}\n```")
        elif lines[0].startswith("    "):
            made.append(f"```text\n{body}\n```")
        else:
            made.append(_inline(body))
    return "\n\n".join(made) + "\n"


def _blocks(text: str) -> list[tuple[str, list[str]]]:
    """Paragraphs, indented blocks and sections, each with its title or ``""``."""
    found: list[tuple[str, list[str]]] = []
    fresh = True
    for line in text.splitlines():
        indented = line.startswith("    ")
        title = found[-1][0] if found else ""
        if _SECTION.match(line):
            found.append((line.rstrip(":"), []))
        elif not line.strip():
            fresh = True
            if title:
                found[-1][1].append("")
            continue
        elif title and indented:
            found[-1][1].append(line)
        elif fresh or title or not found:
            found.append(("", [line]))
        else:
            found[-1][1].append(line)
        fresh = False
    return [(title, lines) for title, lines in found if lines]


def _items(text: str) -> str:
    lines = []
    for line in text.splitlines():
        item = re.match(r"(\*{0,2}\w[\w, ]*): (.*)", line)
        if item:
            lines.append(f"- `{item[1]}`: {item[2]}")
        else:
            lines.append(f"  {line.strip()}" if line.startswith(" ") else line)
    return "\n".join(lines)


def _inline(text: str) -> str:
    return re.sub(r"(?<!`)``([^`]+)``(?!`)", r"`\1`", text)


def _card(card: CellCard) -> str:
    """What is traced from a cell's code, as Markdown."""
    rows = [f"| `{p.name}` | `[{', '.join(map(str, p.shape))}]` | {p.numbers} |"
            for p in card.parameters]  # fmt: skip
    sizes = [f"| {n} | {card.size(n, n):,} | {card.cost(n, n):,} |" for n in WIDTHS]
    counts = ", ".join(f"{count} {name}" for name, count in card.operations.items())
    lines = [
        "", "## Parameters", "", "D inputs, H units.", "", "| name | shape | numbers |",
        "|---|---|---|", *rows, f"| all | | {card.size} |", "",
        "## Cost of a step", "",
        f"Multiply-adds in matrix products, for one sequence: {card.products}.",
        *([f"Multiply-adds in the memory: {card.memory}."] if card.memory else []),
        *([f"Elementwise operations for each unit: {counts}."] if counts else []), "",
        "| D = H | parameters | operations |", "|---|---|---|", *sizes, "",
        "## Equations, as traced from the code", "",
    ]  # fmt: skip
    if card.diagram is None:
        return "\n".join([*lines, f"This cell's code cannot be traced: {card.reason}.", ""])
    plain = "\n".join(f"{left} = {right}" for left, right in card.equations)
    picture = f"![The values of one step of {card.name} and what they are made from]"
    lines += [f"$$\n{card.latex}\n$$", "", f"```text\n{plain}\n```", "",
              f"{picture}({card.name}.svg)", ""]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
