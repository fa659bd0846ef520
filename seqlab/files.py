"""Files that are either whole or not there: temporary neighbour, fsync, rename.

A rename is atomic only inside one file system, so the temporary file lies in the target's own
folder, never in the system's folder for temporary files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from seqlab.errors import BundleError, MachineError, RunError, SeqlabError, one_line
from seqlab.failures import cannot_write, shortage
from seqlab.locks import held, sweep, temporary_name, try_lock

CACHE_VARIABLE = "SEQLAB_CACHE"


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
        if lacking := shortage(problem):
            raise error(f"{path}: {lacking}") from problem
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
def writing(target: Path) -> Iterator[None]:
    """Around writing a file: what the system refuses becomes one line that names the file.

    Raises:
        MachineError: no room, no permission, the folder is gone, ...
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(target, error) from error


class _File(io.FileIO):
    """A file that remembers what the system refused: writers in C++ report something else."""

    refused: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.refused = error
            raise


@contextlib.contextmanager
def atomic_writer(path: str | Path, *, parents: bool = True) -> Iterator[BinaryIO]:
    """Open a binary file that takes its name only when the block ends without an error.

    At every instant ``path`` holds either its old content or all of the new one.

    Args:
        path: the file.
        parents: make the folders it lies in.

    Raises:
        MachineError: the folder cannot be made, or the file cannot be written.
    """
    target = Path(path)
    temporary = temporary_name(target)
    with writing(target):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent, target.name)
        file = _File(temporary, "wb")
    try:
        try_lock(file.fileno())
        stream = io.BufferedWriter(file)
        try:
            yield stream
        except BaseException:
            if file.refused is not None:
                raise cannot_write(target, file.refused) from file.refused
            raise
        with writing(target):
            stream.flush()
            os.fsync(file.fileno())
            temporary.replace(target)
            fsync_folder(target.parent)
    finally:
        with contextlib.suppress(OSError):
            stream.close()
        file.close()
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_json(path: Path, limit: int) -> dict[str, Any]:
    """The JSON object in a file of a bundle.

    Raises:
        BundleError: the file is missing, larger than ``limit`` bytes, or not a JSON object.
    """
    with reading(path, BundleError, "JSON"):
        size = path.stat().st_size
        if size > limit:
            raise BundleError(f"{path}: {size:,} bytes, more than the {limit:,} allowed")
        content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise BundleError(f"{path}: expected a JSON object")
    return content


def write_json(path: str | Path, value: Any, *, indent: int = 2) -> None:
    """Write a value as indented JSON, atomically."""
    content = json_bytes(value, indent=indent, allow_nan=False)
    with atomic_writer(path) as stream:
        stream.write(content)


def json_bytes(value: Any, **options: Any) -> bytes:
    r"""A value as JSON, and the end of its line.

    Half of a surrogate pair, as odd rows and file names hold, has no UTF-8: then all that is not
    ASCII is escaped.

    >>> json_bytes("\u00e9"), json_bytes("\udcff")
    (b'"\xc3\xa9"\n', b'"\\udcff"\n')
    """
    try:
        return f"{json.dumps(value, ensure_ascii=False, **options)}\n".encode()
    except UnicodeEncodeError:
        return f"{json.dumps(value, **options)}\n".encode()


def json_line(value: Any) -> bytes:
    r"""A value as a line of JSON, whatever it holds: numbers that JSON has not are null.

    >>> json_line({"scores": [0.5, float("nan")]})
    b'{"scores": [0.5, null]}\n'
    """
    try:
        return json_bytes(value, default=str, allow_nan=False)
    except ValueError:
        return json_bytes(_finite(value), default=str)


def _finite(value: Any) -> Any:
    """The same with None for NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def atomic_folder(path: str | Path, mark: str) -> Iterator[Path]:
    """Fill a new folder that takes its name only when the block ends without an error.

    An existing folder of that name and kind is replaced, and kept when the block fails.

    Args:
        path: the folder.
        mark: a file that folders of this kind have. What exists without it is somebody's own.

    Raises:
        RunError: something else has the name; it is left as it is.
        MachineError: the folder cannot be written.
    """
    target = Path(path)
    check_replaceable(target, mark)
    temporary, retired = temporary_name(target), temporary_name(target, "old")
    with writing(target):
        temporary.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent, target.name)
        temporary.mkdir()
    try:
        with held(temporary):
            yield temporary
            with writing(target):
                _make_durable(temporary)
                _exchange(temporary, target, retired)
    except OSError as error:  # of the block: files inside the new folder
        raise cannot_write(target, error) from error
    except MachineError as error:
        raise MachineError(str(error).replace(str(temporary), str(target))) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def check_replaceable(
    target: Path, mark: str, advice: str = "choose another name for output"
) -> None:
    """Refuse to put a new folder in the place of other things; an empty folder is none.

    Args:
        target: the place.
        mark: see ``atomic_folder``.
        advice: what to do about it.

    Raises:
        RunError: other things lie there.
    """
    with writing(target):
        if target.is_dir():
            own = (target / mark).is_file() or next(target.iterdir(), None) is None
            what = f"a folder of other things ({mark} is not in it)"
        else:
            own, what = not target.exists(), "a file"
    if not own:
        raise RunError(f"{target} is {what}, which would be lost; {advice}")


def check_page_folder(folder: Path, numbers: str, page: str) -> None:
    """Refuse to write a page over that of something else, such as a run's.

    Args:
        folder: where page and numbers go, beside what is there.
        numbers: the name of the file of numbers, by which such a page is known.
        page: the name of the page.

    Raises:
        RunError: the folder has another page, or is a file.
    """
    if folder.is_file():
        raise RunError(f"output={folder} is a file; give a folder")
    if (folder / page).is_file() and not (folder / numbers).is_file():
        raise RunError(
            f"{folder / page} is a page of something else ({numbers} is not beside it); "
            "choose another output"
        )


def _make_durable(folder: Path) -> None:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
    fsync_folder(folder)


def _exchange(new: Path, target: Path, retired: Path) -> None:
    if target.exists():
        with held(target):
            target.replace(retired)
            new.replace(target)
    else:
        new.replace(target)
    fsync_folder(target.parent)


def cache_folder() -> Path:
    """Where downloads and compiled code are kept: ``$SEQLAB_CACHE``, or the user's cache folder."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("seqlab", appauthor=False)


def sha256_of(content: Path | BinaryIO) -> str:
    """The SHA-256 of what a file or an open stream holds, as 64 hexadecimal digits."""
    if isinstance(content, Path):
        with content.open("rb") as stream:
            return sha256_of(stream)
    digest = hashlib.sha256()
    while chunk := content.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def check_writable(folder: Path) -> None:
    """Make a folder and prove that a file can be written there.

    Raises:
        RunError: it cannot; the message gives the folder and the system's reason.
    """
    probe = temporary_name(folder / "probe")
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
