"""The checks of callbacks and loggers; those of callbacks train small models."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from seqlab import registry
from seqlab.errors import RunError
from seqlab.locks import temporary_folder
from seqlab.testing.case import Case, registered
from seqlab.testing.check_table import Table
from seqlab.testing.compare import require
from seqlab.testing.contract import require_docstring, require_refusal, require_subclass
from seqlab.testing.result import Numbers, Skip
from seqlab.training.callbacks import Callback, LightningCallback
from seqlab.training.checkpoint_io import AtomicCheckpointIO
from seqlab.training.loggers import LightningLogger, Logger
from seqlab.training.run import train

#: The batch in which a run is broken off, and the steps between resume checkpoints.
BREAK, EVERY = 8, 3
_BREAKS = "break-off"


class BrokenOff(Exception):  # noqa: N818  # it is what happens to a run, not an error
    """Raised in the middle of a run, as a kill would be."""


class BreakOff(Callback):
    """Ends the process's part of a run in a batch.

    Args:
        batch: optimiser steps before it.
    """

    options_may_change = True

    def __init__(self, *, batch: int = BREAK) -> None:
        self.batch = batch

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Break off.

        Raises:
            BrokenOff: it is time.
        """
        if trainer.global_step == self.batch:
            raise BrokenOff


@dataclass(frozen=True)
class CallbackCase(Case):
    """A callback with its options."""

    kind: ClassVar[str] = "callback"

    def train(self, folder: Path, name: str, *, broken: bool) -> dict[str, Any]:
        """A run with the callback; all that is left of it."""
        rows = "".join(f"{'ab' * (i % 5)}{'c' * (1 + i % 3)},{'few' if i % 5 < 2 else 'many'}\n"
                       for i in range(30))  # fmt: skip
        files = {split: str(folder / f"{split}.csv") for split in ("train", "validation", "test")}
        for file in files.values():
            Path(file).write_text("word,kind\n" + rows, encoding="utf-8")
        run = folder / ("broken" if broken else "unbroken")
        with _silent(), _breaking():
            spec = _spec(files, {name: dict(self.options)})
            if broken:
                first = _spec(files, {name: dict(self.options), _BREAKS: {}})
                with contextlib.suppress(BrokenOff):
                    train(first, run)
                spec["resume"] = True
            values = train(spec, run).values
        state = AtomicCheckpointIO().load_checkpoint(run / "checkpoints" / "resume.ckpt")
        kept = {key: state[key] for key in ("state_dict", "optimizer_states", "global_step")}
        callbacks = {key: value for key, value in state["callbacks"].items()
                     if not key.startswith(("Recorder", "Keeper"))}  # fmt: skip
        measured = {key: values[key] for key in ("test", "validation", "best_step", "ended")}
        return {**kept, "callbacks": callbacks, **measured}


CALLBACK_CHECKS = Table()


@CALLBACK_CHECKS.check(gate=True)
def constructor(case: CallbackCase) -> None:
    """It is a documented callback built from keyword options; unknown ones are refused.

    Catches: options that are swallowed without effect.
    """
    require_subclass(case.part, LightningCallback)
    require_docstring(case.part)
    case.part(**case.options)
    require_refusal(case)


@CALLBACK_CHECKS.check()
def resumed_run_is_the_unbroken_one(case: CallbackCase) -> Numbers:
    """A run that is broken off and resumed ends as the unbroken one: weights, metrics, states.

    Catches: what a callback counts or collects and does not return from ``state_dict``.
    """
    with temporary_folder() as folder, registered("callback", case.part) as name:
        runs = [case.train(folder, name, broken=broken) for broken in (False, True)]
    unbroken, broken = runs
    for key in unbroken:
        place = _difference(unbroken[key], broken[key], key)
        require(place is None, f"{place} is another one after the run was resumed")
    return {"steps": float(unbroken["global_step"])}


@dataclass(frozen=True)
class LoggerCase(Case):
    """A logger with its options."""

    kind: ClassVar[str] = "logger"

    @contextlib.contextmanager
    def opened(self) -> Iterator[Any]:
        """A new one, in a folder of its own.

        Raises:
            Skip: its package is not installed.
        """
        with temporary_folder() as folder:
            try:
                made = self.part(folder / "run", **self.options)
            except RunError as error:
                raise Skip(str(error)) from error
            yield made


LOGGER_CHECKS = Table()


@LOGGER_CHECKS.check(gate=True)
def logger_constructor(case: LoggerCase) -> None:
    """It is documented and makes a logger from a folder and options; others are refused.

    Catches: options that are swallowed without effect.
    """
    require_docstring(case.part)
    require_refusal(case, Path("run"))
    with case.opened() as made:
        require(isinstance(made, LightningLogger), f"it makes {made!r:.80}, which is no logger")
        made.finalize("success")


@LOGGER_CHECKS.check()
def rows_are_taken(case: LoggerCase) -> None:
    """Rows with other names at each step are taken, and the end of a run that failed.

    Catches: tables whose columns are those of the first row.
    """
    with case.opened() as made:
        made.log_metrics({"train_loss": 2.5, "lr": 0.1}, 10)
        made.log_metrics({"val_loss": 2.0, "val_accuracy": 0.5}, 10)
        made.log_metrics({"train_loss": float("nan")}, 20)
        made.finalize("failed")


@LOGGER_CHECKS.check()
def says_what_it_is(case: LoggerCase) -> None:
    """It has the name and version that Lightning asks for, and takes hyperparameters.

    Catches: loggers that end a run before its first step.
    """
    with case.opened() as made:
        if isinstance(made, Logger):
            require(isinstance(made.name, str), f"name is {made.name!r}")
            require(isinstance(made.version, str), f"version is {made.version!r}")
        made.log_hyperparams({"lr": 0.1})
        made.finalize("success")


@contextlib.contextmanager
def _breaking() -> Iterator[None]:
    """``BreakOff`` has a name, beside that of the part under test."""
    registry.register("callback", _BREAKS)(BreakOff)
    try:
        yield
    finally:
        registry.unregister("callback", _BREAKS)


def _spec(files: Mapping[str, str], callbacks: Mapping[str, Any]) -> dict[str, Any]:
    """A run of twelve steps in two epochs, with dropout, so that random states matter."""
    text = {"column": "word", "kind": "text", "tokenizer": {"name": "chars"}}
    return {
        "seed": 3,
        "source": {"name": "files", **files},
        "data": {
            "features": {"text": text},
            "target": {"column": "kind", "kind": "label"},
            "batch_size": 5,
        },
        "encoder": {
            "cell": {"name": "gru", "hidden_size": 4},
            "embedding": {"size": 3, "dropout": 0.3},
        },
        "head": {"name": "classification"},
        "optimizer": {"name": "adamw", "lr": 0.05},
        "scheduler": {"name": "step", "step_size": 1, "gamma": 0.5},
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": 2,
            "gradient_clip_val": 1.0,
            "deterministic": True,
            "num_threads": 1,
            "enable_progress_bar": False,
        },
        "callbacks": {**callbacks, "checkpoint": {"every_n_steps": EVERY}},
        "logger": {},
        "resume": None,
        "samples": 0,
        "report": False,
    }


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _difference(ours: Any, theirs: Any, place: str) -> str | None:
    """Where two states differ first; None: nowhere."""
    if torch.is_tensor(ours) and torch.is_tensor(theirs):
        return None if torch.equal(ours.nan_to_num(), theirs.nan_to_num()) else place
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        if list(ours) != list(theirs):
            return place
        pairs = ((_difference(ours[key], theirs[key], f"{place}[{key!r}]")) for key in ours)
        return next(filter(None, pairs), None)
    if isinstance(ours, Sequence) and isinstance(theirs, Sequence) and not isinstance(ours, str):
        if len(ours) != len(theirs):
            return place
        items = enumerate(zip(ours, theirs, strict=True))
        each = (_difference(a, b, f"{place}[{index}]") for index, (a, b) in items)
        return next(filter(None, each), None)
    return None if ours == theirs or (ours != ours and theirs != theirs) else place  # noqa: PLR0124
