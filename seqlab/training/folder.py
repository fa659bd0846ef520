"""A run's folder: one run at a time, one run in all, and what a resumed run must have kept."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seqlab.console import is_primary
from seqlab.errors import RunError
from seqlab.files import check_writable, write_json
from seqlab.training.checkpoints import RESUME_NAME

#: What a resumed run may change: all else decides its weights.
_FREE = {"trainer", "callbacks", "logger", "resume", "samples", "num_workers", "pin_memory"}
_FREE |= {"eval_batch_size", "limit_test"}
#: Options of the trainer that decide the weights.
_BOUND = (
    "precision",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "limit_train_batches",
    "overfit_batches",
)


class RunFolder:
    """The paths of a run.

    Attributes:
        path: the folder.
        resumed: whether a checkpoint is there to go on from.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.resumed = False

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.path / "checkpoints"

    @property
    def resume_checkpoint(self) -> Path:
        """The state to resume from."""
        return self.checkpoints / RESUME_NAME

    @property
    def result(self) -> Path:
        """The file that makes a run a finished one."""
        return self.path / "result.json"

    @property
    def spec(self) -> Path:
        """The spec the run was begun with."""
        return self.path / "spec.json"

    @property
    def bundle(self) -> Path:
        """The finished model."""
        return self.path / "bundle"


@contextlib.contextmanager
def open_folder(run_dir: Path, spec: Mapping[str, Any]) -> Iterator[RunFolder]:
    """Take a run's folder for this process, checked and locked until the block ends.

    ``spec["resume"]`` is None for a new run, True to go on with the run in ``run_dir``, or the
    folder of the run to go on with.

    Raises:
        RunError: the folder is not writable, holds another run or a finished one, or is in use;
            or the resumed run was begun with another spec.
    """
    resume = spec.get("resume") or None
    folder = RunFolder(Path(resume) if isinstance(resume, str) else Path(run_dir))
    if isinstance(resume, str) and not folder.path.is_dir():
        raise RunError(f"resume: there is no run folder at {folder.path}")
    if not is_primary():
        folder.resumed = bool(resume) and folder.resume_checkpoint.is_file()
        yield folder
        return
    check_writable(folder.path)
    with _locked(folder.path):
        _check_free(folder, resuming=resume is not None)
        plain = json.loads(json.dumps(spec))
        if resume is not None and folder.spec.is_file():
            _check_same(json.loads(folder.spec.read_text("utf-8")), plain)
        folder.resumed = resume is not None and folder.resume_checkpoint.is_file()
        write_json(folder.spec, plain)
        folder.checkpoints.mkdir(exist_ok=True)
        yield folder


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder's lock; the system lets go of it when the process ends, however it does."""
    if sys.platform == "win32":  # the folder is not guarded against a second process there
        yield
        return
    import fcntl

    with (path / ".lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(
                f"run folder {path} is in use by another process; choose another hydra.run.dir"
            ) from error
        yield


def _check_free(folder: RunFolder, *, resuming: bool) -> None:
    if folder.result.exists():
        raise RunError(
            f"run folder {folder.path} already holds a finished run (result.json); "
            "choose another with hydra.run.dir=FOLDER"
        )
    if not resuming and folder.resume_checkpoint.exists():
        raise RunError(
            f"run folder {folder.path} holds an unfinished run; go on with it by resume=true, "
            "or choose another with hydra.run.dir=FOLDER"
        )


def _check_same(begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for key in sorted({*begun, *now} - _FREE):
        _compare(begun.get(key), now.get(key), key)
    for key in _BOUND:
        old, new = (spec.get("trainer", {}).get(key) for spec in (begun, now))
        _compare(old, new, f"trainer.{key}")


def _compare(old: Any, new: Any, where: str) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new} - _FREE):
            _compare(old.get(key), new.get(key), f"{where}.{key}")
    elif old != new:
        raise RunError(f"resume: {where} is {new!r} now, and the run was begun with {old!r}")
