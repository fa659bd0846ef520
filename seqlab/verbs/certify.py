"""``seqlab certify cell=NAME [cell.OPTION=VALUE ...]``: run the conformance kit on a part."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab import plugins, progress, registry
from seqlab.errors import ConfigError, did_you_mean
from seqlab.schema import check_choice
from seqlab.verbs.arguments import named_part, option_value

_SETTINGS = ("format", "output", "fast", "only")
FORMATS = ("text", "json", "html")
HELP = """usage: seqlab certify KIND=NAME ... [KIND.OPTION=VALUE ...] [format=text|json|html]
                      [output=FILE] [fast=true] [only=CHECK,CHECK]

Runs every check of the conformance kit on a registered part: cell=NAME, wrapper=NAME, head=NAME,
source=NAME, merge=NAME, engine=NAME and every other kind of `seqlab list`. NAME may be `all`.

  cell.layer_norm=true   gives the part an option (JSON, or a plain word)
  format=                of standard output
  output=FILE            also writes FILE: a page if it ends in .html, text if in .txt, else JSON.
                         A plugin ships PACKAGE/seqlab_certificate.json, and `seqlab list` shows it
  fast=true              leaves out the checks that take seconds
  only=                  runs these checks and what they need

A part is certified if no check fails and none of its contract is skipped or expected to fail.
Exit code 0 if all parts are certified, 1 if one is not, 2 for a wrong word.
"""


def run(words: Sequence[str]) -> int:
    """Certify the parts that are named.

    Returns:
        0 if all are certified, else 1.

    Raises:
        ConfigError: a word is not understood.
        RunError: the output file cannot be written.
    """
    parts, options, given = _read(words)
    with progress.stage("starting", summary=False):
        from seqlab.testing.certificate import make_certificate, make_entry
        from seqlab.testing.kit import EXAMPLES, make_run
        from seqlab.testing.result import Settings

    only = tuple(name for name in given.get("only", "").split(",") if name)
    settings = Settings(fast=given.get("fast") == "true", only=only)
    runs = [(kind, name, make_run(kind, name, options.get(kind), settings)) for kind, name in parts]
    entries = []
    with progress.stage("certifying", len(runs), unit="parts") as stage:
        for kind, name, each in runs:
            stage.notes["part"] = f"{kind} {name}"
            used = options.get(kind) or EXAMPLES.get((kind, name))
            entries.append(make_entry(kind, name, each.results(), used, len(each.checks)))
            stage.advance()
    certificate = make_certificate(entries)
    if "output" in given:
        _write(Path(given["output"]), certificate)
    sys.stdout.write(_as(given.get("format", "text"), certificate))
    return int(not all(entry["passed"] for entry in entries))


def _read(
    words: Sequence[str],
) -> tuple[list[tuple[str, str]], dict[str, dict[str, Any]], dict[str, str]]:
    """The parts, their options by kind, and the settings that words give.

    Raises:
        ConfigError: a word has another form, or names nothing that exists.
    """
    parts: list[tuple[str, str]] = []
    options: dict[str, dict[str, Any]] = {}
    given: dict[str, str] = {}
    first = named_part(words)
    for word in words:
        key, equals, value = word.partition("=")
        kind, dot, option = key.partition(".")
        if not equals or not value:
            raise ConfigError(f"'{word}' is not understood: expected cell=NAME or another kind")
        if kind not in (*registry.KINDS, *_SETTINGS) or (
            dot and kind in _SETTINGS and kind != "format"
        ):
            raise ConfigError(
                f"{key}: unknown key, {did_you_mean(key, [*registry.KINDS, *_SETTINGS])}"
            )
        if dot:
            options.setdefault(kind, {})[option] = option_value(key, value)
        elif kind in _SETTINGS and word != first:
            given[kind] = value
        else:
            parts += _named(kind, value)
    if not parts:
        raise ConfigError("certify needs a part: cell=NAME, wrapper=NAME, head=NAME, ...")
    _check_settings(given)
    alone = sorted(set(options) - {kind for kind, _ in parts})
    if alone:
        raise ConfigError(
            f"{alone[0]}.*: options for a {alone[0]}, and no {alone[0]}=NAME is given"
        )
    return parts, options, given


def _named(kind: str, name: str) -> list[tuple[str, str]]:
    known = registry.available(kind)
    if name == "all":
        return [(kind, each) for each in known]
    if name not in known:
        if name in (declared := plugins.declared(kind)):
            declared[name].check()
        raise ConfigError(f"{kind}: unknown name '{name}', {did_you_mean(name, known)}")
    return [(kind, name)]


def _check_settings(given: Mapping[str, str]) -> None:
    for key, choices in (("format", FORMATS), ("fast", ("true", "false"))):
        check_choice(given.get(key, choices[0]), choices, key)


def _as(form: str, certificate: Mapping[str, Any]) -> str:
    from seqlab.testing.report import to_html, to_text

    if form == "html":
        return to_html(certificate)
    if form == "json":
        return json.dumps(certificate, indent=2) + "\n"
    return to_text(certificate, colour=sys.stdout.isatty())


def _write(path: Path, certificate: Mapping[str, Any]) -> None:
    from seqlab.files import atomic_writer

    form = {".html": "html", ".htm": "html"}.get(path.suffix.lower(), "json")
    if path.suffix.lower() == ".txt":
        from seqlab.testing.report import to_text

        text = to_text(certificate, colour=False)
    else:
        text = _as(form, certificate)
    with atomic_writer(path) as stream:
        stream.write(text.encode())
