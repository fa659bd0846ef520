"""Hydra's search path: the built-in configs, plugins' folders, then what the registry knows.

The first place that has a config wins. A registered part without YAML of its own is still a choice
of its kind's group, with its defaults: ``optimizer=NAME`` gives ``{name: NAME}``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from seqlab import registry
from seqlab.config import folders


class Group(NamedTuple):
    """A config group whose choices are registered parts.

    Args:
        kind: the parts' kind.
        package: where a choice goes in the config.
        config: what the choice of a name puts there.
    """

    kind: str
    package: str
    config: Callable[[str], dict[str, Any]]


def _named(name: str) -> dict[str, Any]:
    return {"name": name}


PARTS = {
    "cell": Group("cell", "encoder.cell", _named),
    "wrapper": Group("wrapper", "encoder", lambda name: {"wrappers": [_named(name)]}),
    "head": Group("head", "head", _named),
    "source": Group("source", "source", _named),
    "optimizer": Group("optimizer", "optimizer", _named),
    "scheduler": Group("schedule", "scheduler", _named),
    "callbacks": Group(
        "callback", "callbacks", lambda name: {"defaults": ["default", "_self_"], name: {}}
    ),
    "logger": Group("logger", "logger", lambda name: {"defaults": ["csv", "_self_"], name: True}),
}
_OPEN_NODES = {
    "open_train": (
        "source",
        "data",
        "encoder",
        "head",
        "optimizer",
        "scheduler",
        "trainer",
        "callbacks",
        "logger",
    ),
    "open_compare": ("contestants",),
    "open_sweep": ("sweep",),
    "open_evaluate": ("source", "search"),
    "open_predict": ("format", "search", "options"),
    "open_score": ("format",),
}


class RegistrySource(ConfigSource):
    """Configs made from the registry: ``GROUP/NAME`` for each part, and ``open_VERB``.

    ``open_VERB`` goes first in a primary config's defaults list. It makes the nodes of the verb's
    spec open, so that an option that no YAML lists can be given without ``+``;
    ``seqlab.config.resolve`` checks all keys afterwards.
    """

    @staticmethod
    def scheme() -> str:
        """The prefix of this source in the search path."""
        return "seqlab-registry"

    def load_config(self, config_path: str) -> ConfigResult:
        """The config of ``open_VERB`` or of ``GROUP/NAME``."""
        if not self.is_config(config_path):
            raise ConfigLoadError(f"no registered part for config '{config_path}'")
        group, _, name = _plain(config_path).rpartition("/")
        part = PARTS.get(group)
        return ConfigResult(
            config=OmegaConf.create(part.config(name)) if part else _open_nodes(name),
            path=f"{self.scheme()}://{self.path}",
            provider=self.provider,
            header={"package": part.package if part else None},
        )

    def available(self) -> bool:
        """Always: the registry needs no file."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Whether the path is a group of parts, or the root."""
        return config_path.strip("/") in {"", *PARTS}

    def is_config(self, config_path: str) -> bool:
        """Whether the path is an ``open_VERB`` or names a registered part."""
        group, _, name = _plain(config_path).rpartition("/")
        if not group:
            return name in _OPEN_NODES
        return group in PARTS and name in registry.available(PARTS[group].kind)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The groups, or the names in a group."""
        group = config_path.strip("/")
        if not group:
            return [] if results_filter == ObjectType.CONFIG else sorted(PARTS)
        return [] if results_filter == ObjectType.GROUP else registry.available(PARTS[group].kind)


class SeqlabSearchPath(SearchPathPlugin):
    """Appends the plugins' config folders and the registry to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra once per command.

        With ``--config-path`` the built-in configs are not the main folder; they stay in reach.
        """
        built_in = folders.main_folder()
        if all(place.path != str(built_in) for place in search_path.get_path()):
            search_path.append("seqlab", f"file://{built_in}")
        for folder in folders.plugin_folders():
            if folder.problem is None:
                search_path.append(folder.owner, f"file://{folder.path}")
        search_path.append("seqlab registry", f"{RegistrySource.scheme()}://")


def choices(group: str) -> list[str]:
    """The names that can be given for a config group: YAML files, and registered parts."""
    parts = registry.available(PARTS[group].kind) if group in PARTS else []
    return sorted({*folders.group_options(group), *parts})


def install() -> None:
    """Make both known to Hydra; calling it again changes nothing."""
    for plugin in (RegistrySource, SeqlabSearchPath):
        Plugins.instance().register(plugin)


def _plain(config_path: str) -> str:
    return config_path.strip("/").removesuffix(".yaml")


def _open_nodes(name: str) -> DictConfig:
    config = OmegaConf.create({node: {} for node in _OPEN_NODES[name]})
    for node in _OPEN_NODES[name]:
        OmegaConf.set_struct(config[node], value=False)
    return config
