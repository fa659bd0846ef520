"""The names of Hydra's that are not public, all in this file.

Hydra has no public way to run an application from a given list of words, or to compose each job
of a sweep beforehand. ``tests/config/test_hydra_internals.py`` says which of these a new release
of Hydra has moved or changed.
"""

from __future__ import annotations

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import _run_hydra as run_hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.utils import configure_log
from omegaconf import DictConfig

__all__ = [
    "BasicSweeper",
    "ComposedHydra",
    "Hydra",
    "create_config_search_path",
    "get_args_parser",
    "run_hydra",
]


class ComposedHydra(Hydra):
    """Hydra with the config of its one job, which it would compose twice more otherwise."""

    config: DictConfig

    def compose_config(
        self, *_: Any, with_log_configuration: bool = False, **__: Any
    ) -> DictConfig:
        """The config, whatever is asked for."""
        if with_log_configuration:
            configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return self.config
