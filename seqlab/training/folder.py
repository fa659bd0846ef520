"""A run's folder: one run at a time, one run in all; who does not hold it changes nothing in it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seqlab.bundle.saving import check_place
from seqlab.console import is_primary
from seqlab.errors import MachineError, RunError
from seqlab.files import check_writable, reading, write_json
from seqlab.locks import LOCK_NAME, folder_lock, is_at, sweep
from seqlab.training.resuming import check_same, goes_further

RESUME_NAME = "resume.ckpt"


#: A spec to the same spec with all keys of this version.
Complete = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class RunFolder:
    """The paths of a run.

    Attributes:
        path: the folder.
        reopened: whether it holds a finished run that is to be trained further.
        resumed: whether a checkpoint is there to go on from.
        carried: what the resumed run changes on purpose, a line each.
    """

    def __init__(
        self, path: Path, plain: Mapping[str, Any], begin: Callable[[], None] | None = None
    ) -> None:
        self.path = path
        self.resumed = self.reopened = False
        self.carried: list[str] = []
        self._plain, self._begin = plain, begin
        self._lock: int | None = None

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
    def report(self) -> Path:
        """The page about the finished run."""
        return self.path / "report.html"

    @property
    def bundle(self) -> Path:
        """The finished model."""
        return self.path / "bundle"

    @property
    def how_to_go_on(self) -> str:
        """What to say to somebody whose run has stopped, after its reason."""
        if self.resume_checkpoint.is_file():
            return f"; go on with it by resume={self.path}"
        return " before its first checkpoint"

    def describe(self) -> None:
        """Write down what the run is: when nothing can refuse it any more."""
        if self._lock is None:
            return
        if self.reopened:
            self.result.unlink(missing_ok=True)
        write_json(self.spec, self._plain)
        if self._begin is not None:
            self._begin()

    def check_there(self) -> None:
        """Prove that the folder is still the one this process holds.

        Raises:
            MachineError: it was deleted or moved while the run used it.
        """
        if self._lock is not None and not is_at(self._lock, self.path / LOCK_NAME):
            raise MachineError(
                f"run folder {self.path} is gone: it was deleted or moved during the run"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder until the block ends.

        Raises:
            RunError: another process holds it, or it cannot be written.
        """
        with folder_lock(self.path) as self._lock:
            yield
        self._lock = None


@contextlib.contextmanager
def open_folder(
    run_dir: Path,
    spec: Mapping[str, Any],
    begin: Callable[[], None] | None = None,
    complete: Complete = dict,
) -> Iterator[RunFolder]:
    """Take a run's folder for this process, checked and locked until the block ends.

    ``spec["resume"]`` is None for a new run, True to go on with the run in ``run_dir``, or the
    folder of the run to go on with. A run that fails before it has anything to show leaves no
    folder that was not there before. A resumed run calls ``describe`` of the folder itself, when
    its data and its checkpoint have been found right.

    Args:
        run_dir: the folder, unless the spec names the run to go on with.
        spec: the run's spec.
        begin: called when the folder is this run's, to write down more about it.
        complete: fills in what the spec of an earlier version lacks.

    Raises:
        RunError: the folder is not writable, holds another run or a finished one, or is in use;
            or the resumed run was begun with another spec.
    """
    resume = spec.get("resume") or None
    plain = json.loads(json.dumps(spec))
    folder = RunFolder(Path(resume) if isinstance(resume, str) else Path(run_dir), plain, begin)
    if isinstance(resume, str) and not folder.path.is_dir():
        raise RunError(f"resume: there is no run folder at {folder.path}")
    if not is_primary():
        folder.resumed = bool(resume) and folder.resume_checkpoint.is_file()
        yield folder
        return
    with folder.locked():
        new = _holds_nothing(folder)
        try:
            check_writable(folder.path)
            _check(folder, plain, complete, resuming=resume is not None)
            if not folder.resumed:
                folder.describe()
            yield folder
        except BaseException:
            if new and _holds_nothing(folder):
                _remove(folder.path)
            raise


def _check(
    folder: RunFolder, plain: Mapping[str, Any], complete: Complete, *, resuming: bool
) -> None:
    """Check what lies in the folder, and remove what killed processes left there."""
    _check_free(folder, resuming=resuming)
    check_place(folder.bundle)
    begun: Mapping[str, Any] = plain
    if resuming and folder.spec.is_file():
        with reading(folder.spec, RunError, "the spec of a run"):
            begun = complete(json.loads(folder.spec.read_text("utf-8")))
            folder.carried = check_same(begun, plain)
    if folder.result.exists():
        folder.reopened = goes_further(begun, plain) and folder.resume_checkpoint.is_file()
        if not folder.reopened:
            raise RunError(
                f"run folder {folder.path} already holds a finished run (result.json); train it "
                "further with a larger trainer.max_epochs=N or trainer.max_steps=N, or choose "
                "another folder with hydra.run.dir=FOLDER"
            )
    folder.resumed = resuming and folder.resume_checkpoint.is_file()
    for place in (folder.path, folder.checkpoints):
        sweep(place)
    folder.checkpoints.mkdir(exist_ok=True)


def _check_free(folder: RunFolder, *, resuming: bool) -> None:
    if not resuming and folder.result.exists():
        raise RunError(
            f"run folder {folder.path} already holds a finished run (result.json); "
            "choose another with hydra.run.dir=FOLDER"
        )
    if not resuming and folder.resume_checkpoint.exists():
        raise RunError(
            f"run folder {folder.path} holds an unfinished run; go on with it by resume=true, "
            "or choose another with hydra.run.dir=FOLDER"
        )


def _holds_nothing(folder: RunFolder) -> bool:
    """Whether no more lies there than what every run writes before its first step."""
    descriptions = {LOCK_NAME, folder.spec.name}
    return all(
        path.name in descriptions or ".hydra" in path.parts or path.suffix == ".log" or _empty(path)
        for path in folder.path.rglob("*")
    )


def _empty(path: Path) -> bool:
    return not any(path.iterdir()) if path.is_dir() else path.stat().st_size == 0


def _remove(folder: Path) -> None:
    """Remove a folder that holds nothing, while its lock is held."""
    with contextlib.suppress(OSError):
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        if folder != Path.cwd():
            folder.rmdir()
