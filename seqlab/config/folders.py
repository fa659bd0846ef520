"""Where YAML lies: this project's ``conf``, and the config folders of plugins.

Nothing is imported to find them, neither Hydra nor a plugin.
"""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from seqlab import plugins
from seqlab.errors import ConfigError


class Folder(NamedTuple):
    """One folder of YAML: who declares it, where it is, or why it cannot be used."""

    owner: str
    path: Path
    problem: str | None = None


def main_folder() -> Path:
    """The built-in configs: ``seqlab/conf`` of an installed wheel, or the checkout's ``conf``.

    Raises:
        ConfigError: neither is there; the installation is incomplete.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise ConfigError(f"{package / 'conf'}: the built-in configs are missing; reinstall seqlab")


def plugin_folders() -> list[Folder]:
    """The config folders that plugins declare in the entry-point group ``seqlab.configs``."""
    return [_locate(owner, package) for owner, package in plugins.config_packages()]


def group_options(group: str) -> list[str]:
    """The names of a config group's YAML files, built-in and of plugins."""
    return sorted({file.stem for place in _places() for file in (place / group).glob("*.yaml")})


def groups() -> list[str]:
    """The names of the config groups that have YAML files, Hydra's own left out."""
    found = {file.parent.name for place in _places() for file in place.glob("*/*.yaml")}
    return sorted(found - {"hydra"})


def _places() -> list[Path]:
    return [main_folder(), *(f.path for f in plugin_folders() if f.problem is None)]


def shadowed() -> list[tuple[str, list[str]]]:
    """YAML files that several folders have: name, and the owners in search order.

    The first owner's file is the one that is used; the others are never read.
    """
    owners: dict[str, list[str]] = defaultdict(list)
    usable = [folder for folder in plugin_folders() if folder.problem is None]
    for folder in [Folder(plugins.BUILT_IN, main_folder()), *usable]:
        for file in sorted(folder.path.rglob("*.yaml")):
            owners[file.relative_to(folder.path).as_posix()].append(folder.owner)
    return [(name, found) for name, found in sorted(owners.items()) if len(found) > 1]


def _locate(owner: str, package: str) -> Folder:
    top, *rest = package.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    for root in (spec.submodule_search_locations if spec else None) or []:
        folder = Path(root, *rest)
        if folder.is_dir():
            return Folder(owner, folder)
    return Folder(owner, Path(*package.split(".")), f"there is no folder for package '{package}'")
