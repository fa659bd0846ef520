"""A bundle's manifest: which files belong to it, their digests, what made them."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seqlab import plugins, registry
from seqlab.bundle.formats import FORMAT, is_readable, readable_formats
from seqlab.errors import BundleError, SeqlabError
from seqlab.files import read_json, sha256_of

MANIFEST = "manifest.json"
REQUIRED = ("config.json", "model.safetensors")
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
DISTRIBUTIONS = ("torch", "pytorch-lightning", "datasets", "tokenizers", "safetensors", "numpy")

#: The most bytes that are read of the manifest, and of ``config.json``.
MANIFEST_LIMIT, CONFIG_LIMIT = 4 * 2**20, 64 * 2**20


def versions() -> dict[str, str]:
    """The versions of Python, seqlab and what it stands on, as installed."""
    found = {"python": platform.python_version(), "seqlab": plugins.version_of("seqlab")}
    found.update({name: plugins.version_of(name) for name in DISTRIBUTIONS})
    return {name: version for name, version in found.items() if version != "?"}


def used_plugins(*specs: Any) -> list[dict[str, str]]:
    """Parts of other distributions that a spec may name: kind, name, distribution, version."""
    words = {word for spec in specs for word in _words(spec)}
    found = []
    for kind in registry.KINDS:
        for name in sorted(words.intersection(registry.available(kind))):
            distribution, version = registry.owner_of(kind, name)
            if distribution != plugins.BUILT_IN:
                found.append(
                    {"kind": kind, "name": name, "distribution": distribution, "version": version}
                )
    return found


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _words(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _words(part)


def make_manifest(folder: Path, *specs: Any) -> dict[str, Any]:
    """Describe the files that lie in a folder."""
    files = {
        path.name: {"sha256": sha256_of(path), "size": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }
    return {
        "format": FORMAT,
        "versions": versions(),
        "plugins": used_plugins(*specs),
        "files": files,
    }


def _what_a_bundle_is(folder: Path) -> str:
    inside = folder / "bundle"
    if (inside / MANIFEST).is_file():
        return f"{folder} is a run, and its bundle is {inside}"
    return "a bundle is the folder that `seqlab train` wrote"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check the manifest of a folder, and every file against it.

    Raises:
        BundleError: the folder is no bundle, of a newer format, incomplete or changed; one line
            says which file and how.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"{path} is missing; {_what_a_bundle_is(folder)}")
    manifest = read_json(path, MANIFEST_LIMIT)
    if not isinstance(manifest.get("files"), dict):
        raise BundleError(f"{folder / MANIFEST}: expected an object with 'files'")
    form = manifest.get("format")
    if not is_readable(form):
        raise BundleError(
            f"{folder / MANIFEST}: format {form!r}, and this seqlab reads {readable_formats()}; "
            "install a seqlab that fits the bundle"
        )
    for name in REQUIRED:
        if name not in manifest["files"]:
            raise BundleError(f"{folder / MANIFEST}: '{name}' is not listed")
    for name, entry in manifest["files"].items():
        _check_file(folder, name, entry)
    _refuse_unlisted(folder, manifest["files"])
    return manifest


def _check_file(folder: Path, name: str, entry: Any) -> None:
    if not PLAIN_NAME.fullmatch(name) or name == MANIFEST:
        raise BundleError(f"{folder / MANIFEST}: {name!r} is not a plain file name")
    path = folder / name
    if not path.is_file():
        raise BundleError(f"{path} is missing")
    if not isinstance(entry, dict):
        raise BundleError(f"{folder / MANIFEST}: {name}: expected size and sha256")
    size = path.stat().st_size
    if size != entry.get("size"):
        raise BundleError(f"{path}: {size} bytes, and the manifest says {entry.get('size')!r}")
    if sha256_of(path) != entry.get("sha256"):
        raise BundleError(f"{path} was changed: its sha256 is not the manifest's")


def _refuse_unlisted(folder: Path, listed: Iterable[str]) -> None:
    for path in sorted(folder.iterdir()):
        read = path.suffix in {".json", ".safetensors"}
        if read and path.name != MANIFEST and path.name not in listed:
            raise BundleError(f"{path} does not belong to the bundle: the manifest lacks it")


def _plugin_entries(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Kind, name, distribution and version of the plugins' parts; what is no plain word is not."""
    entries = manifest.get("plugins")
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict):
            continue
        kind, name, distribution, version = (
            str(entry.get(key, "")) for key in ("kind", "name", "distribution", "version")
        )
        plain = all(PLAIN_NAME.fullmatch(word) for word in (kind, name, distribution))
        if plain and kind in registry.KINDS:
            yield kind, name, distribution, version if PLAIN_NAME.fullmatch(version) else ""


def other_versions(manifest: Mapping[str, Any]) -> list[str]:
    """A line for each plugin that is installed in another version than the bundle was made with."""
    found: dict[str, str] = {}
    for kind, name, distribution, version in _plugin_entries(manifest):
        if name not in registry.available(kind):
            continue
        owner, installed = registry.owner_of(kind, name)
        if owner != distribution:
            found[distribution] = (
                f"its {kind} '{name}' was that of {distribution}, and is that of {owner} now"
            )
        elif version and version != installed:
            found[distribution] = (
                f"it was made with {distribution} {version}, and {installed} is installed"
            )
    return list(found.values())


def missing_part(manifest: Mapping[str, Any], error: SeqlabError) -> str | None:
    """Which distribution to install so that a part of a bundle is found, if that is the cause."""
    for kind, name, distribution, version in _plugin_entries(manifest):
        if f"'{name}'" in str(error) and name not in registry.available(kind):
            had = f" {version}" if version else ""
            there = plugins.declared(kind).get(name)
            if there is not None and there.problem is not None:
                return (
                    f"needs the {kind} '{name}' of {distribution}{had}; {there.distribution} "
                    f"{there.version} is installed and cannot be used: {there.problem}"
                )
            return (
                f"needs the {kind} '{name}' of {distribution}{had}, which is not installed; "
                f"if you trust it, install it with: pip install {distribution}"
            )
    return None
