"""Loggers beside ``metrics.csv``: each needs an extra, and says which when it is missing."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from seqlab.errors import RunError

_MODULES = {
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "trackio": "trackio",
}


def build_loggers(spec: Mapping[str, Any], folder: Path) -> list[Logger]:
    """The loggers a spec asks for.

    Args:
        spec: ``{tensorboard: bool, wandb: {...}, mlflow: {...}, trackio: {...}}``.
        folder: the run's folder, for those that write files.

    Raises:
        RunError: the package of one is not installed; the message names the extra.
    """
    asked = {name: options for name, options in spec.items() if options}
    for name in asked:
        if importlib.util.find_spec(_MODULES[name]) is None:
            raise RunError(
                f"logger.{name} needs a package that is not installed; "
                f"install it with: pip install 'seqlab[{name}]'"
            )
    builders = {
        "tensorboard": _tensorboard,
        "wandb": _wandb,
        "mlflow": _mlflow,
        "trackio": TrackioLogger,
    }
    return [builders[name](options, folder) for name, options in asked.items()]


def _tensorboard(options: Any, folder: Path) -> Logger:
    del options
    return TensorBoardLogger(folder, name=None, version="tensorboard")


def _wandb(options: Mapping[str, Any], folder: Path) -> Logger:
    settings: dict[str, Any] = {"mode": options.get("mode", "online")}
    return WandbLogger(
        project=options.get("project", "seqlab"),
        name=options.get("name"),
        save_dir=folder,
        offline=settings["mode"] == "offline",
        **settings,
    )


def _mlflow(options: Mapping[str, Any], folder: Path) -> Logger:
    return MLFlowLogger(
        experiment_name=options.get("experiment", "seqlab"),
        run_name=options.get("name"),
        tracking_uri=options.get("tracking_uri") or (folder / "mlruns").resolve().as_uri(),
    )


class TrackioLogger(Logger):
    """Sends metrics to trackio.

    Args:
        options: ``project`` and ``name``.
        folder: the run's folder, whose name is the run's unless ``name`` is given.
    """

    def __init__(self, options: Mapping[str, Any], folder: Path) -> None:
        super().__init__()
        self._trackio = trackio = importlib.import_module("trackio")
        self._name = options.get("name") or folder.name
        self._project = options.get("project", "seqlab")
        trackio.init(project=self._project, name=self._name)

    @property
    def name(self) -> str:
        """The project."""
        return str(self._project)

    @property
    def version(self) -> str:
        """The run."""
        return str(self._name)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send one row."""
        self._trackio.log(dict(metrics), step=step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Part of the interface; the run's folder holds the whole spec."""

    def finalize(self, status: str) -> None:
        """End the run."""
        del status
        self._trackio.finish()
