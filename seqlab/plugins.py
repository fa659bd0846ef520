"""Finds plugins through entry points, without importing any of them.

One entry-point group per kind: ``[project.entry-points."seqlab.cell"] mgu = "seqlab_mgu:MGU"``.
Built-in parts are declared the same way, in seqlab's own ``pyproject.toml``.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from seqlab.errors import PluginError

BUILT_IN = "seqlab"
CONFIG_GROUP = "seqlab.configs"
DISABLE_VARIABLE = "SEQLAB_DISABLE_PLUGINS"
_DATASETS = "seqlab-datasets"
#: What this project's own plugin brings, so that errors can name it where it is not installed.
_APART = {
    "experiment": (
        "alice",
        "alice_carried",
        "g2p",
        "g2p_ctc",
        "japanese_vowels",
        "mnist1d",
        "ner",
        "petrogold",
        "pos",
        "pulse",
        "reuters",
        "scan",
        "taylor",
    ),
    "format": ("python_list",),
    "source": (
        "alice",
        "brown",
        "g2p",
        "hironsan",
        "japanese_vowels",
        "memory_task",
        "mnist1d",
        "package",
        "petrogold",
        "pulse",
        "reuters_r8",
        "scan",
        "taylor",
    ),
}


@dataclass(frozen=True)
class Declaration:
    """One part that one distribution declares: known by name, not yet imported.

    ``problem`` is the reason why it cannot be used, or None.
    """

    kind: str
    name: str
    distribution: str
    version: str
    target: str
    problem: str | None = None

    def check(self) -> None:
        """Refuse a part of which it is known without importing it that it cannot be used.

        Raises:
            PluginError: says why.
        """
        if self.problem:
            where = f"{self.kind} '{self.name}' of {self.distribution} {self.version}"
            raise PluginError(f"{where} ({self.target}) cannot be used: {self.problem}")

    def load(self) -> object:
        """Import the part. Whatever the plugin's code does, the caller sees a PluginError."""
        where = f"{self.kind} '{self.name}' of {self.distribution} {self.version} ({self.target})"
        self.check()
        point = metadata.EntryPoint(self.name, self.target, f"seqlab.{self.kind}")
        try:
            return point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit at import is a broken plugin, not our exit
            if isinstance(error, MemoryError):
                raise
            reason = f"{type(error).__name__}: {error}".strip().rstrip(":")
            raise PluginError(f"{where} cannot be imported: {reason}") from error


@functools.cache
def version_of(distribution: str) -> str:
    """The installed version of a distribution, or '?' when its metadata is unreadable."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "?"


def disabled(distribution: str) -> bool:
    """Whether SEQLAB_DISABLE_PLUGINS (names, or 'all') switches this distribution off."""
    value = os.environ.get(DISABLE_VARIABLE, "").strip()
    if not value or distribution == BUILT_IN:
        return False
    names = {canonicalize_name(part.strip()) for part in value.split(",")}
    return bool(names & {"all", "1", "true", canonicalize_name(distribution)})


@functools.cache
def _range_problem(dist: metadata.Distribution | None) -> str | None:
    """Why the plugin's own metadata excludes this seqlab, or None."""
    ours = version_of(BUILT_IN)
    for text in _identity(dist).requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) != BUILT_IN:
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(ours, prereleases=True):
            return f"it requires seqlab{requirement.specifier}, and this is seqlab {ours}"
    return None


@functools.cache
def _all_points() -> tuple[metadata.EntryPoint, ...]:
    points: Any = metadata.entry_points()
    ours = (group for group in points.groups if group.startswith("seqlab."))
    return tuple(point for group in ours for point in points.select(group=group))


def refresh() -> None:
    """Forget what was found, so that the next look reads the environment again."""
    _all_points.cache_clear()
    _range_problem.cache_clear()
    version_of.cache_clear()
    declared.cache_clear()
    _identity.cache_clear()
    _shippers.cache_clear()


@functools.cache
def declared(kind: str) -> dict[str, Declaration]:
    """All declared parts of a kind by name, the unusable ones with their problem set.

    A plugin that claims a built-in's name is itself the unusable one, under
    ``name@distribution``; two plugins that claim one name make that name unusable.
    """
    found: dict[str, Declaration] = {}
    points = [point for point in _all_points() if point.group == f"seqlab.{kind}"]
    for point in sorted(points, key=lambda p: (_distribution(p) != BUILT_IN, _distribution(p))):
        distribution = _distribution(point)
        if disabled(distribution):
            continue
        new = Declaration(
            kind,
            point.name,
            distribution,
            _identity(point.dist).version,
            point.value,
            None if distribution == BUILT_IN else _range_problem(point.dist),
        )
        known = found.get(point.name)
        if known is None or (known.distribution, known.target) == (distribution, point.value):
            found[point.name] = new
        elif known.distribution == BUILT_IN:
            reason = f"'{point.name}' is the name of a built-in {kind} and cannot be replaced"
            found[f"{point.name}@{distribution}"] = _with_problem(new, reason)
        else:
            reason = (
                f"both {known.distribution} and {distribution} declare a {kind} named "
                f"'{point.name}'; uninstall one, or switch one off with {DISABLE_VARIABLE}"
            )
            found[point.name] = _with_problem(known, reason)
    return found


def _with_problem(declaration: Declaration, problem: str) -> Declaration:
    return Declaration(
        declaration.kind,
        declaration.name,
        declaration.distribution,
        declaration.version,
        declaration.target,
        problem,
    )


def _distribution(point: metadata.EntryPoint) -> str:
    return _identity(point.dist).name


class _Identity(NamedTuple):
    """What a distribution's metadata say of it."""

    name: str
    version: str
    requires: tuple[str, ...] = ()


@functools.cache
def _identity(dist: metadata.Distribution | None) -> _Identity:
    """Read once and kept: a distribution reads its file anew at each question."""
    if dist is None:
        return _Identity("unknown", "?")
    headers = dist.metadata
    requires = headers.get_all("Requires-Dist") or dist.requires or ()
    return _Identity(headers["Name"], headers["Version"], tuple(requires))


def where_to_get(kind: str, name: str) -> str | None:
    """Which distribution of this project to install for a name, as the end of a sentence.

    >>> where_to_get("source", "mine") is None
    True
    """
    if name not in _APART.get(kind, ()):
        return None
    return (
        f"it comes with {_DATASETS}: pip install {_DATASETS} "
        f"(in a checkout: pip install ./plugins/{_DATASETS})"
    )


def groups() -> dict[str, list[str]]:
    """The entry-point groups ``seqlab.*`` there are, and the distributions that declare in them."""
    found: dict[str, set[str]] = {}
    for point in _all_points():
        if not disabled(_distribution(point)):
            found.setdefault(point.group, set()).add(_distribution(point))
    return {group: sorted(owners) for group, owners in sorted(found.items())}


def config_packages() -> list[tuple[str, str]]:
    """Config folders that plugins declare: (distribution, importable package) pairs."""
    pairs = [
        (_distribution(point), point.value)
        for point in _all_points()
        if point.group == CONFIG_GROUP and not disabled(_distribution(point))
    ]
    return sorted(set(pairs))


def distribution_of(module: str) -> str:
    """The distribution that ships a module, for messages; the module's own name if none does."""
    top = module.partition(".")[0]
    if top == BUILT_IN:
        return BUILT_IN
    names = _shippers().get(top, [])
    return names[0] if names else top


@functools.cache
def _shippers() -> Mapping[str, list[str]]:
    """The distributions of each package; finding them reads the files of all that is installed."""
    return metadata.packages_distributions()


__all__ = [
    "BUILT_IN",
    "Declaration",
    "config_packages",
    "declared",
    "disabled",
    "distribution_of",
    "groups",
    "refresh",
    "version_of",
    "where_to_get",
]
