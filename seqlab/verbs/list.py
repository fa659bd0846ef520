"""``seqlab list [kind=cell] [format=json]``: what is installed, without importing any of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from seqlab import plugins
from seqlab.registry import KINDS
from seqlab.verbs.words import read_words

CHOICES = {"kind": KINDS, "format": ("text", "json")}
HELP = """usage: seqlab list [kind=KIND] [format=text|json]

Lists the registered parts by kind, with the distribution that provides each. A part that cannot
be used is listed with the reason.
"""


def run(words: Sequence[str]) -> int:
    """Print the list; always 0.

    Raises:
        ConfigError: a word is not understood.
    """
    if {"--help", "-h"} & set(words):
        sys.stdout.write(HELP)
        return 0
    given = read_words(words, CHOICES)
    kinds = [given["kind"]] if "kind" in given else list(KINDS)
    found = {kind: list(plugins.declared(kind).values()) for kind in kinds}
    if given.get("format") == "json":
        plain = {kind: [_plain(part) for part in parts] for kind, parts in found.items()}
        sys.stdout.write(json.dumps(plain, indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(_block(kind, parts) for kind, parts in found.items()))
    return 0


def _plain(part: plugins.Declaration) -> dict[str, str | None]:
    return {key: value for key, value in asdict(part).items() if key != "kind"}


def _block(kind: str, parts: Sequence[plugins.Declaration]) -> str:
    usable = sorted((p for p in parts if p.problem is None), key=lambda p: p.name)
    broken = sorted((p for p in parts if p.problem is not None), key=lambda p: p.name)
    width = max((len(part.name) for part in parts), default=0)
    owners = [f"{part.distribution} {part.version}" for part in parts]
    owner_width = max(map(len, owners), default=0)
    lines = [f"{kind}"]
    for part in usable:
        owner = f"{part.distribution} {part.version}"
        lines.append(f"  {part.name:<{width}}  {owner:<{owner_width}}  {part.target}")
    for part in broken:
        owner = f"{part.distribution} {part.version}"
        lines.append(f"  {part.name:<{width}}  {owner:<{owner_width}}  BROKEN: {part.problem}")
    return "\n".join(lines if parts else [*lines, "  (none)"]) + "\n"
