"""Composes every job of a command line before Hydra makes the first folder.

A mistake in a config must not leave a run directory behind, and must not overwrite the
``.hydra`` folder of a finished run, so the jobs are composed and checked once beforehand.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from seqlab.config.folders import main_folder
from seqlab.config.hydra_internals import (
    BasicSweeper,
    ComposedHydra,
    Hydra,
    create_config_search_path,
)
from seqlab.errors import ConfigError


def composed_jobs(arguments: argparse.Namespace, config_name: str) -> Iterator[DictConfig]:
    """The config of each job, with its node ``hydra`` set as it will be in the job.

    A sweep by another sweeper than Hydra's basic one chooses its jobs as it goes: none is given.

    Args:
        arguments: the command line as Hydra's parser read it.
        config_name: the primary config, unless the command line names another.
    """
    name = arguments.config_name or config_name
    hydra = Hydra.create_main_hydra2(
        task_name=config_name, config_search_path=_search_path(arguments)
    )
    before = HydraConfig.instance().cfg
    try:
        for config in _jobs(hydra, name, arguments):
            HydraConfig.instance().set_config(config)
            yield config
    finally:
        HydraConfig.instance().cfg = before
        GlobalHydra.instance().clear()


def run_composed(
    arguments: argparse.Namespace,
    config_name: str,
    config: DictConfig,
    task: Callable[[DictConfig], Any],
) -> None:
    """Run the one job of a command line, whose config is not composed again.

    Args:
        arguments: the command line as Hydra's parser read it.
        config_name: the primary config, unless the command line names another.
        config: the job's config, from `composed_jobs`.
        task: what Hydra calls with it.
    """
    name = arguments.config_name or config_name
    made = ComposedHydra.create_main_hydra2(config_name, _search_path(arguments))
    hydra = cast("ComposedHydra", made)  # Hydra's own annotation names the base class
    hydra.config = config
    try:
        hydra.run(name, task, arguments.overrides)
    finally:
        GlobalHydra.instance().clear()


def _jobs(hydra: Hydra, name: str, arguments: argparse.Namespace) -> Iterator[DictConfig]:
    overrides = list(arguments.overrides)
    config = None if arguments.multirun else _single(hydra, name, overrides)
    if config is None:
        master = hydra.compose_config(name, overrides, run_mode=RunMode.MULTIRUN)
        master.hydra.mode = RunMode.MULTIRUN
        for number, job in enumerate(_sweep(master, hydra.config_loader)):
            config = hydra.config_loader.load_sweep_config(master, job)
            yield _placed(config, str(master.hydra.sweep.dir), number)
    else:
        yield _placed(config, str(config.hydra.run.dir), None)


def _single(hydra: Hydra, name: str, overrides: list[str]) -> DictConfig | None:
    """The config of a single run; None where the config itself asks for a sweep."""
    try:
        config = hydra.compose_config(name, overrides, run_mode=RunMode.RUN)
    except ConfigCompositionException:
        if hydra.get_mode(name, overrides) == RunMode.MULTIRUN:
            return None
        raise
    return None if config.hydra.mode == RunMode.MULTIRUN else config


def _sweep(master: DictConfig, loader: ConfigLoader) -> list[list[str]]:
    sweeper = master.hydra.sweeper
    if not str(OmegaConf.select(sweeper, "_target_")).endswith(".BasicSweeper"):
        return []
    fixed = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    words = [*fixed, *master.hydra.overrides.task]
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(words)
    return [job for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]


def _placed(config: DictConfig, folder: str, number: int | None) -> DictConfig:
    """What Hydra sets when it starts a job, for configs that refer to it."""
    runtime: Any = config.hydra.runtime
    with read_write(config.hydra), open_dict(config.hydra):
        if number is None:
            if config.hydra.mode is None:
                config.hydra.overrides.hydra.append("hydra.mode=RUN")
            config.hydra.mode = RunMode.RUN
        else:
            config.hydra.mode = RunMode.MULTIRUN
            config.hydra.job.num, config.hydra.job.id = number, str(number)
            config.hydra.sweep.dir = folder
            folder = os.path.join(folder, str(config.hydra.sweep.subdir))  # noqa: PTH118  as Hydra
        runtime.output_dir = os.path.abspath(folder)  # noqa: PTH100  as Hydra does
    return config


def _search_path(arguments: argparse.Namespace) -> ConfigSearchPath:
    path = create_config_search_path(arguments.config_path or str(main_folder()))
    if arguments.config_dir is not None:
        folder = os.path.abspath(arguments.config_dir)  # noqa: PTH100  as Hydra does
        if not Path(folder).is_dir():
            raise ConfigError(f"Additional config directory '{folder}' not found")
        path.prepend(
            provider="command-line",
            path=f"file://{folder}",
            anchor=SearchPathQuery(provider="schema"),
        )
    return path
