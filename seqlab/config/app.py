"""Runs a verb as a Hydra application, with everything Hydra can do."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf

from seqlab.config import search_path
from seqlab.config.folders import main_folder
from seqlab.config.messages import COMPOSITION_ERRORS, translate
from seqlab.config.overrides import expand
from seqlab.config.resolve import resolve
from seqlab.errors import ConfigError, SeqlabError

VERSION_BASE = "1.3"
Run = Callable[[dict[str, Any], Path], Any]


class App:
    """One verb, run by Hydra: composes the config, resolves it, calls the verb's ``run``.

    Args:
        verb: the verb's name; ``seqlab.verbs.<verb>.run(spec, run_dir)`` is called for each job.
        config_name: the primary config in ``conf/``.
    """

    def __init__(self, verb: str, config_name: str) -> None:
        self.verb = verb
        self.config_name = config_name
        self.process = os.getpid()
        self.started = False
        self.failures: list[SeqlabError] = []

    def main(self, words: list[str]) -> None:
        """Run with these command-line words.

        Raises:
            SeqlabError: the first mistake that was found; all jobs of a sweep have run.
        """
        parser = get_args_parser()
        arguments = _parse(parser, [expand(word) for word in words])
        setbase(VERSION_BASE)
        search_path.install()
        _resolvers()
        try:
            with _errors_raised():
                _run_hydra(
                    args=arguments,
                    args_parser=parser,
                    task_function=self._job,
                    config_path=str(main_folder()),
                    config_name=self.config_name,
                )
        except SeqlabError:
            raise
        except COMPOSITION_ERRORS as error:
            if self.started:
                raise
            raise translate(error, self._names()) from error
        if self.failures:
            raise self.failures[0]

    def _job(self, config: DictConfig) -> Any:
        """One job. In this process a mistake is kept, so that a sweep's other jobs still run."""
        self.started = True
        try:
            return self._run(config)
        except SeqlabError as error:
            if os.getpid() != self.process:
                raise  # a launcher's worker: Hydra carries the error back
            self.failures.append(error)
            return None

    def _run(self, config: DictConfig) -> Any:
        spec = resolve(config, self.verb)
        hydra = HydraConfig.get()
        if hydra.mode == RunMode.MULTIRUN:
            _refuse_processes(spec)
        run: Run = importlib.import_module(f"seqlab.verbs.{self.verb}").run
        result = run(spec, Path(hydra.runtime.output_dir))
        return result.get("objective") if isinstance(result, Mapping) else result

    def _names(self) -> dict[str, list[str]]:
        folder = main_folder()
        groups = {
            group.name: sorted(file.stem for file in group.glob("*.yaml"))
            for group in folder.iterdir()
            if group.is_dir()
        }
        primary = OmegaConf.load(folder / f"{self.config_name}.yaml")
        keys = [str(key) for key in primary if key not in {"defaults", "hydra"}]
        return {**groups, "": sorted({*groups, *keys})}


def _parse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Hydra's own options; what argparse would print on several lines becomes one error."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            arguments = parser.parse_intermixed_args(words)
    except SystemExit as stop:
        if not stop.code:
            raise
        reason = said.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        raise ConfigError(f"{reason}; see `seqlab --help`") from None
    if arguments.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun reads a pickle file, which could run any code")
    return arguments


def _refuse_processes(spec: Mapping[str, Any]) -> None:
    """A sweep starts its jobs one by one; each process of a DDP job would start it again."""
    trainer = spec.get("trainer", {})
    devices = trainer.get("devices", 1)
    count = len(devices) if isinstance(devices, list) else devices
    if count not in {1, "1"} or str(trainer.get("strategy", "auto")).startswith(("ddp", "fsdp")):
        raise ConfigError(
            f"trainer: a sweep (-m) cannot run jobs on several devices "
            f"(devices={devices}, strategy={trainer.get('strategy')}); "
            "start the runs one by one, or use trainer.devices=1 trainer.strategy=auto"
        )


@contextlib.contextmanager
def _errors_raised() -> Iterator[None]:
    """Hydra prints errors and exits unless this variable is set; here they are raised."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def _resolvers() -> None:
    OmegaConf.register_new_resolver("first_of", _first_of, replace=True)


def _first_of(*values: Any) -> str:
    """The first value that is a plain name, for run folders named after a choice."""
    return next((str(value) for value in values if value and "," not in str(value)), "run")
