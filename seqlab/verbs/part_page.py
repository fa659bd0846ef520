"""The page of one part, for ``seqlab list KIND=NAME``."""

from __future__ import annotations

import inspect
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqlab import registry
from seqlab.construct import accepted_options
from seqlab.errors import ConfigError, did_you_mean
from seqlab.introspection.docstrings import describe
from seqlab.schema import check_choice
from seqlab.testing.certificate import certificate_status, read_certificate
from seqlab.verbs.arguments import named_part

FORMATS = ("text", "json")
CELL_FORMATS = (*FORMATS, "latex", "mermaid", "svg")
_SUFFIXES = {".json": "json", ".tex": "latex", ".mmd": "mermaid", ".svg": "svg"}


def show(words: Sequence[str]) -> None:
    """Print the page that the words ask for, or write it to their ``output``.

    Without ``format`` the suffix of ``output`` decides: .json, .tex, .mmd, .svg, else text.

    Raises:
        ConfigError: a word is not understood.
        SeqlabError: the part cannot be used, or does not take its options.
    """
    kind, name, options, given = _read(words)
    output = Path(given["output"]) if "output" in given else None
    default = _SUFFIXES.get(output.suffix.lower(), "text") if output else "text"
    form = given.get("format", default)
    formats = CELL_FORMATS if kind == "cell" else FORMATS
    check_choice(form, formats, "format")
    text = _cell(name, options, form) if kind == "cell" else _other(kind, name, form)
    if output is None:
        sys.stdout.write(text)
        return
    from seqlab.files import atomic_writer

    with atomic_writer(output) as stream:
        stream.write(text.encode())


def _read(words: Sequence[str]) -> tuple[str, str, dict[str, Any], dict[str, str]]:
    """Kind, name, options of the part, and the settings.

    Raises:
        ConfigError: a word has another form, or there are two parts.
    """
    settings = ("format", "output")
    part = named_part(words, FORMATS) or ""
    kind, name = part.partition("=")[0], ""
    options: dict[str, Any] = {}
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not value:
            raise ConfigError(f"'{word}' is not understood: expected {kind}=NAME or {kind}.OPTION=")
        if key in registry.KINDS and name and key not in settings:
            raise ConfigError(f"{key}: one part at a time, and {kind}={name} is given")
        if key in given:
            raise ConfigError(f"{key}: given twice")
        if word == part:
            name = value
        elif key.startswith(f"{kind}.") and kind == "cell":
            options[key.partition(".")[2]] = _value(value)
        elif key in settings:
            given[key] = value
        else:
            raise ConfigError(f"{key}: unknown key, {did_you_mean(key, [kind, *settings])}")
    return kind, name, options, given


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _cell(name: str, options: dict[str, Any], form: str) -> str:
    from seqlab.introspection.card import cell_card
    from seqlab.introspection.diagram import as_mermaid
    from seqlab.introspection.svg import as_svg

    card = cell_card(name, options)
    if form == "text":
        return f"{_heading('cell', name)}\n\n{card.as_text()}"
    if form == "json":
        return _json({**_facts("cell", name), **card.as_dict()})
    if card.diagram is None:
        raise ConfigError(f"format: cell '{name}' has no {form}: {card.reason}")
    if form == "latex":
        return card.latex + "\n"
    if form == "mermaid":
        return as_mermaid(card.diagram) + "\n"
    return as_svg(card.diagram, f"{name}: one step")


def _other(kind: str, name: str, form: str) -> str:
    return _json(_facts(kind, name)) if form == "json" else f"{_heading(kind, name)}\n"


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _facts(kind: str, name: str) -> dict[str, Any]:
    part = registry.get(kind, name)
    owner, version = registry.owner_of(kind, name)
    target = f"{part.__module__}:{part.__qualname__}"
    return {
        "kind": kind,
        "name": name,
        "distribution": owner,
        "version": version,
        "target": target,
        "certificate": certificate_status(kind, name, read_certificate(owner)),
        **describe(target)._asdict(),
        "documentation": inspect.getdoc(part) or "",
        "accepts": {key: _default(value) for key, value in accepted_options(part).items()},
    }


def _default(parameter: inspect.Parameter) -> str:
    return "" if parameter.default is inspect.Parameter.empty else repr(parameter.default)


def _heading(kind: str, name: str) -> str:
    facts = _facts(kind, name)
    status = f", {facts['certificate']}" if facts["certificate"] else ""
    accepts = [f"{key}={value}" if value else key for key, value in facts["accepts"].items()]
    wrapped = textwrap.fill(", ".join(accepts), 96, initial_indent="  ", subsequent_indent="  ")
    return (
        f"{kind} '{name}' of {facts['distribution']} {facts['version']} ({facts['target']}){status}"
        f"\n\n{facts['documentation']}\n\ntakes\n{wrapped or '  nothing'}"
    )
