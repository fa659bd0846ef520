"""``seqlab doctor [device=true] [format=json]``: is this installation in order?

Every part is imported, after what can be told without it is printed: one that fails at import looks
as sound as any other until it is used. The exit code is 1 when something is broken, 0 otherwise,
also with warnings.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from seqlab import plugins
from seqlab.config import folders
from seqlab.errors import ConfigError, PluginError, did_you_mean, listed
from seqlab.files import cache_folder
from seqlab.registry import KINDS
from seqlab.verbs.arguments import read_arguments

OK, WARNING, ERROR = "ok", "warning", "error"
CHOICES = {"device": ("false", "true"), "format": ("text", "json")}
COMPILERS = ("g++", "c++", "clang++")
HELP = """usage: seqlab doctor [device=true] [format=text|json]

Checks versions, config folders, cache folders and the compiler, and imports every part of seqlab
and of its plugins; device=true also asks torch for its devices. Exit code 1 if something is broken,
0 otherwise (warnings included).
"""


class Finding(NamedTuple):
    """One thing that was looked at."""

    level: str
    topic: str
    text: str


def run(words: Sequence[str]) -> int:
    """Print the findings.

    Returns:
        1 if one of them is an error, else 0.

    Raises:
        ConfigError: a word is not understood.
    """
    given = read_arguments(words, CHOICES)
    as_text = given.get("format") != "json"
    findings = [*_versions(), *_groups(), *_configs(), *_caches(), *_compiler()]
    width = max(len(finding.topic) for finding in findings)
    if as_text:
        _print(findings, width)  # what comes takes seconds
    last = [*_parts(), *(_devices() if given.get("device") == "true" else ())]
    if as_text:
        _print(last, width)
    else:
        whole = [finding._asdict() for finding in [*findings, *last]]
        sys.stdout.write(json.dumps(whole, indent=2) + "\n")
    return int(any(finding.level == ERROR for finding in [*findings, *last]))


def _print(findings: Sequence[Finding], width: int) -> None:
    for level, topic, text in findings:
        sys.stdout.write(f"{level:<8} {topic:<{width}}  {text}\n")
    sys.stdout.flush()


def _versions() -> Iterator[Finding]:
    """This Python, and the installed version of every distribution that seqlab needs."""
    yield Finding(OK, "python", f"{platform.python_version()} ({platform.platform()})")
    yield Finding(OK, plugins.BUILT_IN, plugins.version_of(plugins.BUILT_IN))
    for text in metadata.requires(plugins.BUILT_IN) or []:
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        found = plugins.version_of(needed.name)
        if found == "?":
            yield Finding(ERROR, needed.name, f"not installed: pip install '{needed}'")
        elif not needed.specifier.contains(found, prereleases=True):
            yield Finding(ERROR, needed.name, f"{found}, and seqlab needs {needed.specifier}")
        else:
            yield Finding(OK, needed.name, found)


def _parts() -> Iterator[Finding]:
    """The parts that are declared, all imported, and why some cannot be used."""
    owners: dict[str, int] = {}
    failed: dict[tuple[str, str], list[str]] = {}
    for kind in KINDS:
        for name, part in sorted(plugins.declared(kind).items()):
            key = f"{part.distribution} {part.version}"
            if part.problem:
                yield Finding(ERROR, "plugin", f"{kind} '{name}': {part.problem}")
                continue
            try:
                part.load()
            except PluginError as error:
                failed.setdefault((key, _cause(error)), []).append(f"{kind} '{name}'")
            else:
                owners[key] = owners.get(key, 0) + 1
    for (owner, reason), names in failed.items():
        yield Finding(ERROR, "plugin", f"{owner} cannot be imported for {listed(names)}: {reason}")
    for owner, count in sorted(owners.items()):
        yield Finding(OK, "parts", f"{count} of {owner}, imported")


def _cause(error: PluginError) -> str:
    """What a plugin's code raised, in one line."""
    cause = error.__cause__
    return " ".join(f"{type(cause).__name__}: {cause}".split()).rstrip(": ")


def _groups() -> Iterator[Finding]:
    """Groups of entry points that nobody reads."""
    known = [*(f"seqlab.{kind}" for kind in KINDS), plugins.CONFIG_GROUP]
    for group, distributions in plugins.groups().items():
        if group not in known:
            yield Finding(
                WARNING,
                "plugin",
                f"{' and '.join(distributions)}: entry points of the unknown group {group} are "
                f"not read, {did_you_mean(group, known)}",
            )


def _configs() -> Iterator[Finding]:
    """The folders of YAML, and files that are never read because an earlier folder has them."""
    try:
        yield Finding(OK, "configs", f"{folders.main_folder()}")
    except ConfigError as error:
        yield Finding(ERROR, "configs", str(error))
        return
    for folder in folders.plugin_folders():
        if folder.problem:
            yield Finding(ERROR, "configs", f"{folder.owner}: {folder.problem}")
        else:
            yield Finding(OK, "configs", f"{folder.path} of {folder.owner}")
    for name, owners in folders.shadowed():
        hidden = " and ".join(owners[1:])
        yield Finding(WARNING, "configs", f"{name} of {hidden} is hidden by that of {owners[0]}")


def _caches() -> Iterator[Finding]:
    """The folders that downloads and compiled code go to."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hub = Path(os.environ.get("HF_HOME") or home / "huggingface")
    places = {
        "datasets cache": Path(os.environ.get("HF_DATASETS_CACHE") or hub / "datasets"),
        "seqlab cache": cache_folder(),
        "temporary files": Path(tempfile.gettempdir()),
    }
    for topic, folder in places.items():
        writable = os.access(_existing(folder), os.W_OK | os.X_OK)
        text = str(folder) if writable else f"{folder} cannot be written"
        yield Finding(OK if writable else ERROR, topic, text)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there already."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _compiler() -> Iterator[Finding]:
    """The C++ compiler that the compiled engine uses."""
    wanted = os.environ.get("CXX")
    for name in (wanted,) if wanted else COMPILERS:
        if path := shutil.which(name):
            yield Finding(OK, "compiler", path)
            return
    tried = wanted or ", ".join(COMPILERS)
    yield Finding(WARNING, "compiler", f"no C++ compiler found ({tried}); cells run uncompiled")


def _devices() -> Iterator[Finding]:
    """What torch sees; imports torch."""
    try:
        import torch
    except ImportError as error:
        yield Finding(ERROR, "device", f"torch cannot be imported: {error}")
        return
    yield Finding(OK, "device", f"cpu, {torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        yield Finding(OK, "device", f"cuda:{index}, {torch.cuda.get_device_name(index)}")
    if not torch.cuda.is_available():
        yield Finding(OK, "device", "no CUDA device")
    if torch.backends.mps.is_available():
        yield Finding(OK, "device", "mps")
