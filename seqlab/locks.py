"""Locks that the system lets go when their process ends, and what they are for here.

A temporary file or folder is locked while it is being made. So one that nobody holds was left by
a killed process, and may go, however young it is.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from seqlab.errors import RunError

LOCK_NAME = ".lock"
_TRIES, _PAUSE_S = 5, 0.05
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9A-Za-z]{8}\.(?P<kind>tmp|old)")


def try_lock(descriptor: int) -> bool:
    """Lock an open file or folder for its descriptor; False where another one holds it.

    A sweep holds locks for an instant, so a few tries are made. Where the system or the file
    system has no such locks, nothing is guarded and the answer is True.
    """
    for _ in range(_TRIES):
        if _lock(descriptor):
            return True
        time.sleep(_PAUSE_S)
    return False


def wait_for_lock(descriptor: int, seconds: float | None = None) -> bool:
    """Lock an open file for its descriptor, however long another process holds it.

    Args:
        descriptor: of the open file.
        seconds: how long to wait at most; None: for ever.

    Returns:
        Whether it is locked now; True too where there are no such locks.
    """
    end = None if seconds is None else time.monotonic() + seconds
    while not _lock(descriptor):
        if end is not None and time.monotonic() >= end:
            return False
        time.sleep(_PAUSE_S / 10)
    return True


def _lock(descriptor: int) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks there
        return True
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Whether a path still names the file or folder that was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder that this process has just made."""
    if os.name != "posix":
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try_lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def temporary_name(target: Path, kind: str = "tmp") -> Path:
    """A new name beside a target, which ``sweep`` knows."""
    return target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.{kind}"


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left in a folder while they wrote.

    A folder that was moved away for a new one which never came gets its name back.

    Args:
        folder: where to look; not inside its folders.
        name: only what was to become this file or folder; None: everything.
    """
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            found = _TEMPORARY.fullmatch(entry.name)
            if found and name in (None, found["name"]):
                _remove_left(Path(entry.path), folder / found["name"], found["kind"])


def _remove_left(path: Path, target: Path, kind: str) -> None:
    with contextlib.suppress(OSError), _left_alone(path):
        if kind == "old" and not target.exists():
            path.replace(target)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


@contextlib.contextmanager
def _left_alone(path: Path) -> Iterator[None]:
    """Hold a lock that was free; a BlockingIOError says that a living process holds it."""
    import fcntl

    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder ``name-...`` in ``parent`` for the time of a block; those of the dead go."""
    sweep_scratch(parent, name)
    folder, descriptor = _new_scratch(parent, name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def temporary_folder() -> contextlib.AbstractContextManager[Path]:
    """A scratch folder in the system's place for temporary files."""
    return scratch_folder(Path(tempfile.gettempdir()), "seqlab-scratch")


def _new_scratch(parent: Path, name: str) -> tuple[Path, int | None]:
    """Make a folder and lock it; again, where a sweep met it before it was locked."""
    while True:
        folder = parent / f"{name}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(mode=0o700)
        if os.name != "posix":
            return folder, None
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            try_lock(descriptor)
            if is_at(descriptor, folder):
                return folder, descriptor
            os.close(descriptor)


def sweep_scratch(parent: Path, name: str) -> None:
    """Remove the scratch folders of killed processes."""
    if os.name == "posix":
        for folder in parent.glob(f"{name}-{'[0-9a-f]' * 8}"):
            _remove_left(folder, folder, "tmp")


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[int]:
    """Make a folder and hold it for this process until the block ends; gives the descriptor.

    Raises:
        RunError: another process holds it, or it cannot be made or written.
    """
    path = folder / LOCK_NAME
    for _ in range(_TRIES):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # its last user has just removed it
        except OSError as error:
            raise RunError(
                f"output folder {folder} is not writable ({error.strerror or error}); choose "
                "another with hydra.run.dir=FOLDER"
            ) from error
        try:
            if not try_lock(descriptor):
                raise RunError(in_use_text(folder))
            if is_at(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)
    raise RunError(in_use_text(folder))


def in_use(folder: Path) -> bool:
    """Whether a process holds a folder."""
    try:
        with _left_alone(folder / LOCK_NAME):
            return False
    except BlockingIOError:
        return True
    except (OSError, ImportError):
        return False


def in_use_text(folder: Path) -> str:
    """The error that says so."""
    return f"run folder {folder} is in use by another process; choose another hydra.run.dir"
