"""``seqlab list [kind=cell]`` and ``seqlab list cell=lstm``: what is installed, and one part of it.

The list imports nothing that it lists: descriptions come from source files, read as text.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from seqlab import plugins
from seqlab.introspection.docstrings import describe
from seqlab.registry import KINDS
from seqlab.testing.certificate import certificate_status, read_certificate
from seqlab.verbs.arguments import named_part, read_arguments

CHOICES = {"kind": KINDS, "format": ("text", "json")}
UNREAD = "none of these was imported; `seqlab doctor` imports each and says which cannot be"
HELP = """usage: seqlab list [kind=KIND] [format=text|json]
       seqlab list KIND=NAME [KIND.OPTION=VALUE ...] [format=FORMAT] [output=FILE]

The first form lists the registered parts by kind, with the distribution that provides each, its
certificate if it ships one, a description and an equation. A part that cannot be used is listed
with the reason. Nothing is imported: `seqlab doctor` does so, and names the parts that fail at it.

The second form shows one part: its documentation and options. Of a cell it also shows gates,
parameters by size, the cost of a step, the equations and a diagram, all traced from its code with
the options given. Of a memory that is a matrix (gla, mlstm) the cost counts the write k v^T, the
read S^T q and the decay of all heads, as the loop does them. FORMAT is text or json; of a cell
also latex, mermaid or svg.
"""


def run(words: Sequence[str]) -> int:
    """Print the list, or the page of one part; always 0.

    Raises:
        ConfigError: a word is not understood.
        SeqlabError: the part that is asked for cannot be used.
    """
    if named_part(words, CHOICES["format"]) is not None:
        from seqlab.verbs.part_page import show

        show(words)
        return 0
    given = read_arguments(words, CHOICES)
    kinds = [given["kind"]] if "kind" in given else list(KINDS)
    found = {kind: described(kind) for kind in kinds}
    if given.get("format") == "json":
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        blocks = [_block(kind, parts) for kind, parts in found.items()]
        sys.stdout.write("\n".join([*blocks, f"{UNREAD}\n"]))
    return 0


def described(kind: str) -> list[dict[str, Any]]:
    """Every declared part of a kind: name, origin, certificate, description, and its problem."""
    certificates: dict[str, Any] = {}
    rows = []
    for part in plugins.declared(kind).values():
        owner = part.distribution
        if owner not in certificates:
            certificates[owner] = read_certificate(owner)
        row = {key: value for key, value in asdict(part).items() if key != "kind"}
        row["certificate"] = certificate_status(kind, part.name, certificates[owner])
        rows.append({**row, **describe(part.target)._asdict()})
    return rows


def _block(kind: str, parts: Sequence[dict[str, Any]]) -> str:
    ordered = sorted(parts, key=lambda part: (part["problem"] is not None, part["name"]))
    width = max((len(part["name"]) for part in parts), default=0)
    owners = {id(part): f"{part['distribution']} {part['version']}" for part in parts}
    owner_width = max(map(len, owners.values()), default=0)
    lines = [kind]
    for part in ordered:
        start = f"  {part['name']:<{width}}  {owners[id(part)]:<{owner_width}}  "
        if part["problem"] is not None:
            lines.append(f"{start}BROKEN: {part['problem']}")
            continue
        status = f"  [{part['certificate']}]" if part["certificate"] else ""
        lines.append(f"{start}{part['target']}{status}")
        texts = dict.fromkeys(text for text in (part["summary"], part["equation"]) if text)
        lines += [f"    {' ' * width}{text}" for text in texts]
    return "\n".join(lines if parts else [*lines, "  (none)"]) + "\n"
