"""Files that are either whole or not there: temporary neighbour, fsync, rename.

A rename is atomic only inside one file system, so the temporary file lies in the target's own
folder, never in the system's folder for temporary files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from seqlab.errors import RunError, SeqlabError, one_line


@contextlib.contextmanager
def reading(path: object, error: type[SeqlabError], expected: str = "") -> Iterator[None]:
    """Around a foreign parser: whatever it raises becomes one line that names the file.

    Errors of seqlab's own pass unchanged. A parser meets hostile and damaged files with every
    type of exception there is, so no list of types would be whole.

    Args:
        path: what the message calls the file; with a row, where that is known.
        error: the class to raise.
        expected: what the file should be, such as ``a Parquet file``.

    Example:
        >>> from seqlab.errors import DataError
        >>> with reading("a.json row 3", DataError, "a number"):
        ...     float("x")
        Traceback (most recent call last):
        seqlab.errors.DataError: a.json row 3: not a number: could not convert string to float: 'x'

    Raises:
        SeqlabError: of the class ``error``, when the block raises anything.
    """
    try:
        yield
    except SeqlabError:
        raise
    except FileNotFoundError as problem:
        raise error(f"{path}: no such file") from problem
    except BaseException as problem:
        # a parser written in Rust panics with a BaseException of its own
        if not isinstance(problem, Exception) and type(problem).__name__ != "PanicException":
            raise
        if isinstance(problem, OSError) and problem.errno is not None:
            raise error(
                f"{path}: cannot be read: {problem.strerror or one_line(problem)}"
            ) from problem
        what = f"not {expected}" if expected else "cannot be read"
        raise error(f"{path}: {what}: {one_line(problem)}") from problem


def fsync_folder(folder: Path) -> None:
    """Make renames inside a folder durable; a no-op where folders cannot be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_writer(path: str | Path) -> Iterator[BinaryIO]:
    """Open a binary file that takes its name only when the block ends without an error.

    At every instant ``path`` holds either its old content or all of the new one.

    Raises:
        RunError: the folder cannot be made or written.
    """
    target = Path(path)
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        stream = temporary.open("wb")
    except OSError as error:
        raise RunError(f"cannot write {target}: {error.strerror or error}") from error
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
        fsync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_writer(path) as stream:
        stream.write(text.encode())


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Fill a new folder that takes its name only when the block ends without an error.

    An existing folder of that name is replaced, and kept when the block fails.

    Raises:
        RunError: the parent folder cannot be written.
    """
    target = Path(path)
    mark = uuid.uuid4().hex[:8]
    temporary = target.parent / f".{target.name}.{mark}.tmp"
    retired = target.parent / f".{target.name}.{mark}.old"
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise RunError(f"cannot write {target}: {error.strerror or error}") from error
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.is_file():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
        fsync_folder(temporary)
        if target.exists():
            target.replace(retired)
        temporary.replace(target)
        fsync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def check_writable(folder: Path) -> None:
    """Make a folder and prove that a file can be written there.

    Raises:
        RunError: it cannot; the message gives the folder and the system's reason.
    """
    probe = folder / f".probe.{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"output folder {folder} is not writable ({reason}); choose another with "
            "hydra.run.dir=FOLDER"
        ) from error
