"""What a registered part still lacks: checks, documentation, a config.

``python -m seqlab.testing.completeness`` prints the page of all built-in parts, ``docs/parts.md``.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import seqlab
from seqlab import plugins, registry
from seqlab.errors import PluginError
from seqlab.testing.kit import kinds

#: Kinds that have a config group, and kinds whose documentation must show an example or equation.
WITH_CONFIG = ("cell", "wrapper", "head", "source", "optimizer", "schedule", "callback", "logger")
KEYED = ("callback", "logger")
WITH_EXAMPLE = ("cell", "wrapper", "head")
_EXAMPLE = re.compile(r">>>|\{name:|^ {2,}.* = |``[^`]* = [^`]*``", re.MULTILINE)


@dataclass(frozen=True)
class Gap:
    """Something that a part lacks."""

    kind: str
    name: str
    distribution: str
    lacks: str

    def __str__(self) -> str:
        """One line: the part, where it is from, what it lacks."""
        return f"{self.kind} '{self.name}' of {self.distribution}: {self.lacks}"


def gaps(page: str) -> list[Gap]:
    """Everything that built-in and installed parts lack.

    Args:
        page: the text of the page that lists built-in parts; a plugin's parts are looked up in
            its own README.
    """
    return [
        Gap(kind, name, part.distribution, lacks)
        for kind in registry.KINDS
        for name, part in sorted(plugins.declared(kind).items())
        for lacks in _lacks(part, page)
    ]


def _lacks(part: plugins.Declaration, page: str) -> Iterator[str]:
    try:
        loaded = registry.get(part.kind, part.name) if part.problem is None else None
    except PluginError as error:
        loaded = None
        yield str(error)
    if part.problem is not None:
        yield part.problem
    if part.kind not in kinds():
        yield f"the kit has no checks of a {part.kind}"
    if loaded is not None:
        text = documentation(loaded)
        if not text.strip():
            yield "no docstring of its own"
        elif part.kind in WITH_EXAMPLE and not _EXAMPLE.search(text):
            yield "the docstring has neither an example nor an equation"
    if not _listed(part, page):
        where = "docs/parts.md" if part.distribution == plugins.BUILT_IN else "its README"
        yield f"no entry in {where}"
    if part.kind in WITH_CONFIG and not has_config(part):
        yield f"no config in the group {group_of(part.kind)}"


def documentation(part: Any) -> str:
    """The docstring of a class, not of its base, or of a function."""
    text = vars(part).get("__doc__") if inspect.isclass(part) else getattr(part, "__doc__", "")
    return inspect.cleandoc(text or "")


def _listed(part: plugins.Declaration, page: str) -> bool:
    if part.distribution != plugins.BUILT_IN:
        return part.name in _readme(part.distribution)
    section = re.search(rf"^## {part.kind}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return section is not None and f"`{part.name}`" in section.group(1)


def _readme(distribution: str) -> str:
    return str(metadata.metadata(distribution).json.get("description", ""))


def config_folders(part: plugins.Declaration) -> list[Path]:
    """The folders of configs that come with a part's distribution."""
    if part.distribution == plugins.BUILT_IN:
        package = Path(str(seqlab.__file__)).parent
        return [folder for folder in (package / "conf", package.parent / "conf") if folder.is_dir()]
    folders = []
    for distribution, name in plugins.config_packages():
        spec = importlib.util.find_spec(name) if distribution == part.distribution else None
        folders += (
            [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
        )
    return folders


def group_of(kind: str) -> str:
    """The config group of a kind."""
    return {"schedule": "scheduler", "callback": "callbacks"}.get(kind, kind)


def has_config(part: plugins.Declaration) -> bool:
    """Whether a YAML file of the part's group names it; callbacks and loggers by a key."""
    name = re.escape(part.name)
    named = re.compile(
        rf"^{name}:" if part.kind in KEYED else rf"\bname: *[\"']?{name}[\"']?(?![\w-])",
        re.MULTILINE,
    )
    group = group_of(part.kind)
    files = [path for folder in config_folders(part) for path in (folder / group).glob("*.yaml")]
    return any(named.search(path.read_text(encoding="utf-8")) for path in files)


#: What stands above the table of a kind.
_NOTES = {
    "cell": (
        "Options: gated cells (`gru`, `lstm`, `rnn`, most of plugins) have all those of",
        "`seqlab.GatedCell`. Every other cell has `dropout`, of its input with one mask for all",
        "steps of a sequence, and `zoneout`, the probability that a unit keeps its old state, also",
        "where its class does not name them. With zoneout a linear recurrence stays linear, and",
        "the engine `scan` runs it; of a cell with a matrix for its state the units are the",
        "columns of the memory, and `loop` alone runs it, as chunks of steps decay as a whole.",
        "",
    ),
}  # fmt: skip


def parts_page() -> str:
    """The page of all built-in parts, in Markdown: name, class, first sentence of its docstring."""
    lines = [
        "# Built-in parts",
        "",
        "Every part has a name of its kind, and is asked for by that name in configs, on the",
        "command line and by `seqlab.get(kind, name)`. `seqlab list` shows these and those of the",
        "plugins that are installed; `seqlab certify KIND=NAME` holds one against the conformance",
        "kit. This page is written by `python -m seqlab.testing.completeness`.",
    ]
    for kind in registry.KINDS:
        built_in = [
            p for p in plugins.declared(kind).values() if p.distribution == plugins.BUILT_IN
        ]
        if not built_in:
            continue
        lines += ["", f"## {kind}", "", *_NOTES.get(kind, ())]
        lines += ["| name | is | what it does |", "|---|---|---|"]
        for part in sorted(built_in, key=lambda each: each.name):
            loaded = registry.get(kind, part.name)
            first = " ".join(documentation(loaded).split("\n\n")[0].split())
            shown = first.replace("|", "\\|")
            lines.append(
                f"| `{part.name}` | `{loaded.__module__}.{loaded.__qualname__}` | {shown} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(parts_page())
