"""Certificates for people: a table for the terminal, and a page for the browser."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from seqlab.testing.result import EXPECTED, FAILED, PASSED, SKIPPED

_COLOURS = {PASSED: "green", FAILED: "bold red", SKIPPED: "dim", EXPECTED: "yellow"}
_SIGNS = {PASSED: "ok", FAILED: "FAILED", SKIPPED: "skipped", EXPECTED: "expected"}
#: Letters a line from which a table has room for sentences.
_WIDE = 110


def verdict(entry: Mapping[str, Any]) -> str:
    """One line: the part, the outcome, the counts, and how long it took.

    >>> counts = {"passed": 3, "failed": 0, "skipped": 1, "expected failure": 0}
    >>> entry = {"kind": "cell", "name": "mgu", "passed": True, "counts": counts, "checks": []}
    >>> verdict({**entry, "total": 4})
    'cell mgu: certified; 3 of 4 checks ran: 3 passed, 1 skipped, in 0.0 s'
    >>> verdict({**entry, "total": 60})
    'cell mgu: partly checked; 3 of 60 checks ran: 3 passed, 1 skipped, in 0.0 s'
    """
    counts = ", ".join(f"{n} {outcome}" for outcome, n in entry["counts"].items() if n)
    seconds = sum(check["seconds"] for check in entry["checks"])
    asked, total = sum(entry["counts"].values()), entry["total"]
    outcome = "certified" if asked == total else "partly checked"
    ran = f"{asked - entry['counts'][SKIPPED]} of {total} checks ran"
    said = outcome if entry["passed"] else "NOT certified"
    return f"{entry['kind']} {entry['name']}: {said}; {ran}: {counts}, in {seconds:.1f} s"


def numbers_of(check: Mapping[str, Any]) -> str:
    """A check's numbers on one line.

    >>> numbers_of({"numbers": {"difference": 1.25e-16, "ratio": 2.0}})
    'difference 1.25e-16, ratio 2'
    """
    return ", ".join(f"{name} {value:.3g}" for name, value in check["numbers"].items())


def to_text(certificate: Mapping[str, Any], *, colour: bool = False) -> str:
    """A certificate as text: a coloured table for a terminal, plain lines for all else."""
    write = _table if colour else _lines
    return "".join(write(entry) for entry in certificate["parts"])


def _lines(entry: Mapping[str, Any]) -> str:
    width = max((len(check["name"]) for check in entry["checks"]), default=0)
    lines = []
    for check in entry["checks"]:
        sign, note = _SIGNS[check["outcome"]], check["reason"] or numbers_of(check)
        line = f"{sign:<8} {check['name']:<{width}} {check['seconds']:7.2f} s  {note}"
        lines.append(line.rstrip())
        if check["outcome"] == FAILED:
            lines.append(f"{'':9}it should hold that: {check['says']}")
            lines.append(f"{'':9}the check catches: {check['catches']}")
    return "\n".join([*lines, verdict(entry)]) + "\n"


def _table(entry: Mapping[str, Any]) -> str:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(force_terminal=True, highlight=False)
    wide = console.width >= _WIDE
    table = Table(title=f"{entry['kind']} {entry['name']}", title_justify="left")
    table.add_column("")
    table.add_column("check", no_wrap=True)
    if wide:
        table.add_column("what it asserts")
    table.add_column("seconds", justify="right")
    table.add_column("numbers or reason")
    for check in entry["checks"]:
        style, note = _COLOURS[check["outcome"]], check["reason"] or numbers_of(check)
        if check["outcome"] == FAILED:
            note = f"{note}\nThe check catches: {check['catches']}"
        table.add_row(
            f"[{style}]{_SIGNS[check['outcome']]}[/]",
            check["name"],
            *([escape(check["says"])] if wide else []),
            f"{check['seconds']:.2f}",
            escape(note),
        )
    with console.capture() as captured:
        console.print(table)
        style = _COLOURS[PASSED if entry["passed"] else FAILED]
        console.print(escape(verdict(entry)), style=style, soft_wrap=True)
    return captured.get()


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
  color: #1c2128; background: #fff; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } .no { color: #b3261e; } .yes { color: #1a7f37; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }
dt { color: #59636e; } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid #d1d9e0; vertical-align: top; }
td:nth-child(4) { text-align: right; white-space: nowrap; }
tr.failed td { background: #fff0ee; } tr.skipped td { color: #59636e; }
tr.expected td { background: #fff8e6; } code { font-size: .92em; }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117; } th, td { border-color: #30363d; }
  tr.failed td { background: #3c1614; } tr.expected td { background: #332701; }
  dt, tr.skipped td { color: #9198a1; } .yes { color: #3fb950; } .no { color: #ff7b72; } }
"""


def to_html(certificate: Mapping[str, Any]) -> str:
    """A certificate as one page that needs nothing else: no scripts, no fonts, no links."""
    sections = "\n".join(_section(entry) for entry in certificate["parts"])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>seqlab certificate</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{sections}\n</body>\n</html>\n"
    )


def _section(entry: Mapping[str, Any]) -> str:
    e = html.escape
    facts = {
        "class": entry["target"],
        "options": ", ".join(f"{k}={v!r}" for k, v in entry["options"].items()) or "none",
        "date": entry["date"],
        "versions": ", ".join(f"{name} {version}" for name, version in entry["versions"].items()),
        "code": "unknown" if not entry["digest"] else f"sha256 {entry['digest']['sha256']}",
    }
    listed = "".join(f"<dt>{e(k)}</dt><dd>{e(str(v))}</dd>" for k, v in facts.items())
    rows = "\n".join(_row(check) for check in entry["checks"])
    mark = "yes" if entry["passed"] else "no"
    return (
        f"<h1>{e(entry['kind'])} <code>{e(entry['name'])}</code></h1>\n"
        f'<p class="{mark}">{e(verdict(entry))}</p>\n<dl>{listed}</dl>\n'
        "<table>\n<thead><tr><th></th><th>check</th><th>what it asserts, what it catches</th>"
        "<th>seconds</th><th>numbers or reason</th></tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody>\n</table>"
    )


def _row(check: Mapping[str, Any]) -> str:
    e = html.escape
    note = check["reason"] or numbers_of(check)
    return (
        f'<tr class="{e(check["outcome"].split()[0])}"><td>{e(_SIGNS[check["outcome"]])}</td>'
        f"<td><code>{e(check['name'])}</code></td>"
        f"<td>{e(check['says'])}<br><small>Catches: {e(check['catches'])}</small></td>"
        f"<td>{check['seconds']:.2f}</td><td>{e(note)}</td></tr>"
    )
