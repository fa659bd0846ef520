"""A look inside the recurrent layers, again and again while they learn."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer

from seqlab.console import is_primary
from seqlab.files import atomic_writer, writing
from seqlab.measures import plain_numbers
from seqlab.microscope.layers import Look
from seqlab.pages import Lines
from seqlab.pages.drawing import as_png, can_draw
from seqlab.schema import Count
from seqlab.training.callbacks import Callback
from seqlab.training.loggers import log_picture
from seqlab.types import Batch, TargetValues

#: The file in the run's folder: a JSON object a look, in the order of steps.
FILE = "microscope.jsonl"


class Microscope(Callback):
    """Looks inside the recurrent layers every N optimiser steps.

    With some rows of the current batch it measures, for each layer and direction, how far back the
    gradient of the loss reaches, how open the gates are and which units are dead or saturated
    (``seqlab inspect`` measures the same of a finished model). Each look is a line of
    ``microscope.jsonl`` in the run's folder and a section of its ``report.html``; the numbers go to
    the loggers, and the curves as pictures to those that take pictures. Training is not changed: a
    copy of the model is looked at.

    Args:
        every_n_steps: optimiser steps between looks; the first is after the first step.
        rows: of the batch.
    """

    needs_whole_weights = True
    options_may_change = True

    def __init__(self, *, every_n_steps: Count = 200, rows: Count = 16) -> None:
        self.every_n_steps, self.rows = every_n_steps, rows
        self._last = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the looks of the run that goes on, up to its checkpoint."""
        del pl_module
        if not is_primary():
            return
        path = Path(trainer.default_root_dir) / FILE
        kept = [look for look in read_looks(path) if look["step"] <= trainer.global_step]
        self._last = kept[-1]["step"] if kept else 0
        if path.exists():
            with atomic_writer(path, parents=False) as stream:
                stream.write("".join(map(_line, kept)).encode())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, *_: Any
    ) -> None:
        """Look, when it is time."""
        del outputs
        step = trainer.global_step
        due = step == 1 or (step > 0 and step % self.every_n_steps == 0)
        if not due or step == self._last or not is_primary():
            return
        self._last = step
        model: Any = pl_module.model
        layers = Look(model, first_rows(batch, self.rows), jacobians=False).layers
        look = {"step": step, "layers": [_short(layer) for layer in layers]}
        path = Path(trainer.default_root_dir) / FILE
        with writing(path), path.open("a", encoding="utf-8") as stream:
            stream.write(_line(look))
        curves = {layer["name"]: layer["gradient"] for layer in layers if layer.get("gradient")}
        plot = Lines(curves, x="steps back", y="norm", log_y=True)
        title = f"gradient of the loss by earlier states, step {step}"
        picture = as_png(plot, title) if trainer.loggers and curves and can_draw() else None
        for logger in trainer.loggers:
            logger.log_metrics(_numbers(layers), step)
            if picture is not None:
                log_picture(logger, "microscope/gradient", picture, step)


def read_looks(path: Path) -> list[dict[str, Any]]:
    """The looks in a file, without a last line that was cut off; none if there is no file."""
    if not path.is_file():
        return []
    looks = []
    for line in path.read_text("utf-8").splitlines():
        with contextlib.suppress(ValueError):
            looks.append(json.loads(line))
    return [look for look in looks if isinstance(look, dict) and "step" in look]


def first_rows(batch: Batch, count: int) -> Batch:
    """The first rows of a batch, without their gradients' history."""
    cut = batch.apply(lambda t: t[:count].detach())

    def fewer(values: Batch | TargetValues) -> dict[str, Any]:
        lists = ("references", "source_tokens")
        return {n: value and value[:count] for n in lists for value in [getattr(values, n)]}

    targets = {name: values._replace(**fewer(values)) for name, values in cut.targets.items()}
    return dataclasses.replace(cut, **fewer(batch), targets=targets)


def _line(look: Mapping[str, Any]) -> str:
    return json.dumps(look) + "\n"


def _short(layer: Mapping[str, Any]) -> dict[str, Any]:
    """What a line holds of a layer."""
    keys = ("name", "cell", "direction", "gradient", "memory")
    gates = {
        name: {key: gate[key] for key in ("mean", "closed", "open")}
        for name, gate in layer["gates"].items()
    }
    units = {key: len(layer["units"][key]) for key in ("dead", "saturated")}
    return {**{key: layer[key] for key in keys if key in layer}, "gates": gates, "units": units}


def _numbers(layers: list[dict[str, Any]]) -> dict[str, float]:
    """The numbers of all layers by name, for loggers."""
    found: dict[str, float | None] = {}
    for layer in layers:
        short, start = _short(layer), f"microscope/{layer['name'].replace(' ', '_')}"
        found |= {f"{start}/{key}": value for key, value in short.get("memory", {}).items()}
        found |= {f"{start}/{key}_units": float(n) for key, n in short["units"].items()}
        for gate, values in short["gates"].items():
            found |= {f"{start}/{gate}_{key}": value for key, value in values.items()}
    known = {name: value for name, value in found.items() if value is not None}
    return {name: v for name, v in plain_numbers(known).items() if v is not None}
