"""Certificates: which checks passed, with which versions, of which code. Imports no torch.

A plugin ships its certificate as ``seqlab_certificate.json`` inside its package, written by
``seqlab certify cell=NAME output=PACKAGE/seqlab_certificate.json``. It has the form

    {"format": 1, "parts": [{"kind": ..., "name": ..., "target": ..., "passed": true,
      "date": ..., "versions": {...}, "digest": {"sha256": ..., "files": 3},
      "counts": {...}, "total": 60, "options": {...}, "checks": [...]}]}

and is valid for the code whose digest it holds: after a change, ``seqlab list`` says so.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seqlab import plugins, registry
from seqlab.testing.result import EXPECTED, FAILED, PASSED, SKIPPED, CheckResult

FILE = "seqlab_certificate.json"
FORMAT = 1
_MOST_BYTES = 4 * 2**20


def package_folder(target: str) -> Path | None:
    """The folder of the top-level package of an entry point's target, found without importing it.

    >>> package_folder("seqlab.cells.lstm:LSTMCell").name
    'seqlab'
    """
    top = target.partition(":")[0].partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]) if places else None


def code_digest(folder: Path) -> dict[str, Any]:
    """A checksum of all Python files under a folder, by their names and contents.

    Returns:
        ``sha256``, and the number of ``files``.
    """
    files = sorted(p for p in folder.rglob("*.py") if "__pycache__" not in p.parts)
    digest = hashlib.sha256()
    for path in files:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return {"sha256": digest.hexdigest(), "files": len(files)}


def make_entry(
    kind: str,
    name: str,
    results: Sequence[CheckResult],
    options: Mapping[str, Any] | None = None,
    total: int | None = None,
) -> dict[str, Any]:
    """One part's entry of a certificate.

    A part is certified if no check failed, at least one passed, and every check without which the
    others mean nothing passed: it was neither skipped nor expected to fail.

    Args:
        kind: the part's kind.
        name: its registered name.
        results: of the checks that were asked for.
        options: with which it was built.
        total: how many checks there are; by default as many as results.
    """
    part = registry.get(kind, name)
    owner, version = registry.owner_of(kind, name)
    target = f"{part.__module__}:{part.__qualname__}"
    folder = package_folder(target)
    counts = {o: sum(r.outcome == o for r in results) for o in (PASSED, FAILED, SKIPPED, EXPECTED)}
    return {
        "kind": kind,
        "name": name,
        "target": target,
        "options": dict(options or {}),
        "passed": counts[FAILED] == 0
        and counts[PASSED] > 0
        and all(result.outcome == PASSED for result in results if result.gate),
        "total": len(results) if total is None else total,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            "seqlab": plugins.version_of("seqlab"),
            "torch": plugins.version_of("torch"),
            owner: version,
        },
        "distribution": owner,
        "digest": code_digest(folder) if folder else None,
        "counts": counts,
        "checks": [result.to_dict() for result in results],
    }


def make_certificate(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The content of a certificate file."""
    return {"format": FORMAT, "parts": [dict(entry) for entry in entries]}


def read_certificate(distribution: str) -> dict[str, Any] | None:
    """The certificate that an installed distribution ships, or None.

    Neither torch nor the plugin is imported. A file that is too large, damaged or of another
    format counts as none.

    Args:
        distribution: its name, as in ``seqlab.plugins.Declaration.distribution``.
    """
    for folder in _folders(distribution):
        path = folder / FILE
        try:
            if path.stat().st_size > _MOST_BYTES:
                continue
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if _is_certificate(content):
            found: dict[str, Any] = content
            return found
    return None


def _folders(distribution: str) -> list[Path]:
    """The packages that hold a distribution's parts."""
    targets = {
        part.target.partition(":")[0].partition(".")[0]
        for kind in registry.KINDS
        for part in plugins.declared(kind).values()
        if part.distribution == distribution
    }
    found = [package_folder(target) for target in sorted(targets)]
    return [folder for folder in found if folder is not None]


def _is_certificate(content: Any) -> bool:
    parts = content.get("parts") if isinstance(content, dict) else None
    keys = ("kind", "name", "passed", "date")
    return (
        isinstance(parts, list)
        and content.get("format") == FORMAT
        and all(isinstance(part, dict) and all(key in part for key in keys) for part in parts)
    )


def certificate_status(kind: str, name: str, certificate: Mapping[str, Any] | None) -> str:
    """What ``seqlab list`` says of a part, in a few words.

    Args:
        kind: the part's kind.
        name: its registered name.
        certificate: what ``read_certificate`` gave for its distribution.

    Returns:
        ``certified 2026-01-31 (52 of 60 checks)``, ``partly checked ...`` where not all were asked
        for, ``certificate is of other code``, ``failed 2 checks``, ``not certified``, or ``""``
        where there is no certificate of the part.
    """
    entries = [] if certificate is None else certificate["parts"]
    for entry in entries:
        if (entry["kind"], entry["name"]) != (kind, name):
            continue
        counts = entry.get("counts", {})
        if not entry["passed"]:
            failed = counts.get(FAILED)
            return f"failed {failed} checks" if failed else "not certified"
        declared = plugins.declared(kind).get(name)
        folder = package_folder(declared.target) if declared else None
        digest = entry.get("digest") or {}
        if folder is None or digest.get("sha256") != code_digest(folder)["sha256"]:
            return "certificate is of other code"
        asked = sum(counts.values())
        total = entry.get("total", asked)
        word = "certified" if asked == total else "partly checked"
        date = str(entry["date"])[:10]
        return f"{word} {date} ({counts.get(PASSED, '?')} of {total} checks)"
    return ""
