"""Loggers beside ``metrics.csv``: the base class, the built-in ones, and building those of a spec.

A logger is a class or function ``(folder, **options)`` that makes one of Lightning's loggers,
registered as kind ``logger``. ``folder`` is the run's, for those that write files.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning.loggers as lightning

from seqlab.construct import build_part, switched_parts
from seqlab.errors import OptionError, RunError

#: What a logger must be at least.
LightningLogger = lightning.Logger


class Logger(lightning.Logger):
    """Is given each row of ``metrics.csv`` as it is written; registered kind ``logger``.

    An author writes ``log_metrics``. Options are keyword arguments of ``__init__`` after the
    folder.

    Args:
        folder: the run's folder.

    Example:
        >>> class Printed(Logger):
        ...     def log_metrics(self, metrics, step=None):
        ...         print(step, sorted(metrics))
        >>> Printed(Path("runs/7")).log_metrics({"lr": 0.1, "train_loss": 2.5}, 10)
        10 ['lr', 'train_loss']
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    @property
    def name(self) -> str:
        """What the logger calls itself; the class's name."""
        return type(self).__name__

    @property
    def version(self) -> str:
        """What it calls the run; the name of the run's folder."""
        return self.folder.name

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Take one row: names and values, and the optimiser step."""

    def log_picture(self, name: str, png: bytes, step: int) -> None:
        """Take a picture, as the bytes of a PNG; a logger that shows none leaves it."""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Part of Lightning's interface; the run's folder holds the whole spec."""

    def finalize(self, status: str) -> None:
        """End the run."""


def tensorboard(folder: Path) -> lightning.Logger:
    """TensorBoard (extra ``tensorboard``): event files in ``tensorboard`` in the run's folder.

    Args:
        folder: the run's folder.

    Raises:
        RunError: its package is not installed.
    """
    _require("tensorboard")
    return lightning.TensorBoardLogger(folder, name=None, version="tensorboard")


def wandb(
    folder: Path,
    *,
    project: str = "seqlab",
    name: str | None = None,
    mode: Literal["online", "offline", "disabled"] = "online",
) -> lightning.Logger:
    """Weights & Biases (extra ``wandb``).

    Args:
        folder: the run's folder.
        project: where the run is listed.
        name: of the run; null: one that is made up.
        mode: whether rows are sent, kept here, or dropped.

    Raises:
        RunError: its package is not installed.
    """
    _require("wandb")
    settings: dict[str, Any] = {"mode": mode}
    return lightning.WandbLogger(
        project=project, name=name, save_dir=folder, offline=mode == "offline", **settings
    )


def mlflow(
    folder: Path,
    *,
    experiment: str = "seqlab",
    name: str | None = None,
    tracking_uri: str | None = None,
) -> lightning.Logger:
    """MLflow (extra ``mlflow``).

    Args:
        folder: the run's folder.
        experiment: where the run is listed.
        name: of the run; null: one that is made up.
        tracking_uri: where rows go; null: ``mlflow.db`` in the run's folder, with pictures in
            ``mlruns`` beside it.

    Raises:
        RunError: its package is not installed.
    """
    _require("mlflow")
    pictures = None
    if tracking_uri is None:  # MLflow 3 refuses folders of files, and takes SQLite
        folder.mkdir(parents=True, exist_ok=True)
        tracking_uri = f"sqlite:///{folder.resolve() / 'mlflow.db'}"
        pictures = (folder / "mlruns").resolve().as_uri()
    return lightning.MLFlowLogger(
        experiment_name=experiment,
        run_name=name,
        tracking_uri=tracking_uri,
        artifact_location=pictures,
    )


class TrackioLogger(Logger):
    """Trackio (extra ``trackio``).

    Args:
        folder: the run's folder.
        project: where the run is listed.
        name: of the run; null: the name of its folder.

    Raises:
        RunError: its package is not installed.
    """

    def __init__(self, folder: Path, *, project: str = "seqlab", name: str | None = None) -> None:
        super().__init__(folder)
        _require("trackio")
        self._trackio = trackio = importlib.import_module("trackio")
        self._name, self._project = name or folder.name, project
        trackio.init(project=self._project, name=self._name)

    @property
    def name(self) -> str:
        """The project."""
        return self._project

    @property
    def version(self) -> str:
        """The run."""
        return self._name

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send one row."""
        self._trackio.log(dict(metrics), step=step)

    def log_picture(self, name: str, png: bytes, step: int) -> None:
        """Send one picture."""
        self._trackio.log({name: self._trackio.Image(_pixels(png))}, step=step)

    def finalize(self, status: str) -> None:
        """End the run."""
        del status
        self._trackio.finish()


def log_picture(logger: lightning.Logger, name: str, png: bytes, step: int) -> None:
    """Give a picture to a logger that takes pictures; others are left alone.

    Args:
        logger: seqlab's, or one of Lightning's.
        name: of the picture; those of one name are a series.
        png: its bytes.
        step: the optimiser step it belongs to.
    """
    target: Any = logger
    if isinstance(logger, Logger):
        logger.log_picture(name, png, step)
    elif isinstance(logger, lightning.TensorBoardLogger):
        target.experiment.add_image(name, _pixels(png), step, dataformats="HWC")
    elif isinstance(logger, lightning.WandbLogger):
        target.log_image(name, [_pixels(png)], step=step)
    elif isinstance(logger, lightning.MLFlowLogger):
        file = f"{name.replace('/', '_')}_{step:08d}.png"
        target.experiment.log_image(target.run_id, _pixels(png), artifact_file=file)


def _pixels(png: bytes) -> Any:
    """The picture as numbers, ``[height, width, 3]``."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def build_loggers(spec: Mapping[str, Any] | None, folder: Path) -> list[lightning.Logger]:
    """The loggers a spec asks for.

    Args:
        spec: the node ``logger``: a registered name to its options, or true.
        folder: the run's folder, for those that write files.

    Raises:
        SeqlabError: a name or an option is unknown or refused.
        RunError: the package of one is not installed; the message names the extra.
    """
    found = []
    for key, name, options in switched_parts("logger", spec, "logger"):
        made = build_part("logger", name, options, folder, where=key)
        if not isinstance(made, lightning.Logger):
            raise OptionError(f"{key}: is no logger of Lightning's or seqlab's")
        found.append(made)
    return found


def _require(package: str) -> None:
    """Refuse a logger whose package is not installed.

    Raises:
        RunError: names the extra that brings it, which is called like the package.
    """
    if importlib.util.find_spec(package) is None:
        raise RunError(
            f"logger.{package} needs a package that is not installed; "
            f"install it with: pip install 'seqlab[{package}]'"
        )
