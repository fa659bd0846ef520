"""The names of Hydra's that are not public, all in this file.

Hydra has no public way to run an application from a given list of words, or to compose each job
of a sweep beforehand. ``tests/config/test_hydra_internals.py`` says which of these a new release
of Hydra has moved or changed.
"""

from __future__ import annotations

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import _run_hydra as run_hydra
from hydra._internal.utils import create_config_search_path, get_args_parser

__all__ = [
    "BasicSweeper",
    "Hydra",
    "create_config_search_path",
    "get_args_parser",
    "run_hydra",
]
