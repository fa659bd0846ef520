"""The machine's C++ compiler, and a cache of what it made, shared by all processes of a user."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import stat
import subprocess
from pathlib import Path
from typing import NamedTuple

from seqlab.files import CACHE_VARIABLE, cache_folder
from seqlab.locks import scratch_folder

_FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math",
          "-ffp-contract=fast", "-Wno-psabi", "-Wno-ignored-attributes")  # fmt: skip


class CompilerError(Exception):
    """There is no working compiler here; the message says what was tried."""


class Compiler(NamedTuple):
    """A C++ compiler that was seen working, with the flags for this machine."""

    path: str
    flags: tuple[str, ...]
    identity: str


def kernel_folder() -> Path:
    """Where compiled code is kept.

    Raises:
        CompilerError: the folder belongs to somebody else, or others may write to it.
    """
    folder = cache_folder() / "kernels"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise CompilerError(f"the cache folder {folder} cannot be made: {error}") from error
    if hasattr(os, "geteuid") and (
        status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise CompilerError(
            f"the cache folder {folder} can be written by others; set {CACHE_VARIABLE} to a folder "
            "of your own"
        )
    return folder


@functools.cache
def find_compiler() -> Compiler:
    """The first of ``$CXX``, g++, clang++, c++ that makes a working library.

    Raises:
        CompilerError: none does.
    """
    if os.name != "posix":
        raise CompilerError("compiled code needs Linux or macOS")
    candidates = [os.environ.get("CXX"), "g++", "clang++", "c++"]
    found = [path for name in candidates if name and (path := shutil.which(name))]
    for path in found:
        for extra in (("-march=native", "-fopenmp"), ("-fopenmp",), ("-march=native",), ()):
            flags = (*_FLAGS, *extra)
            identity = _identity(path)
            if _known_to_work(path, flags, identity):
                return Compiler(path, flags, identity)
    tried = ", ".join(found) or "g++, clang++, c++ are not on PATH"
    raise CompilerError(f"no working C++ compiler ({tried}); install g++ or set CXX")


def _known_to_work(path: str, flags: tuple[str, ...], identity: str) -> bool:
    """Whether a compiler works; a mark in the cache spares later processes the proof."""
    text = "\0".join([path, *flags, identity])
    mark = kernel_folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.works"
    if mark.exists():
        return True
    works = _works(path, flags)
    if works:
        mark.touch()
    return works


def _works(path: str, flags: tuple[str, ...]) -> bool:
    with _scratch() as folder:
        source, target = folder / "probe.cpp", folder / "probe.so"
        source.write_text('extern "C" int answer() { return 42; }\n')
        command = [path, *flags, str(source), "-o", str(target)]
        if _run(command, folder, timeout=60).returncode:
            return False
        with contextlib.suppress(OSError):
            return int(ctypes.CDLL(str(target)).answer()) == 42
        return False


def _scratch() -> contextlib.AbstractContextManager[Path]:
    """A folder to compile in; the compiler's own temporary files lie there too."""
    return scratch_folder(kernel_folder(), "compiling")


def _run(command: list[str], folder: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # the user's own compiler
        command,
        capture_output=True,
        check=False,
        text=True,
        timeout=timeout,
        env={**os.environ, "TMPDIR": str(folder)},
    )


def _identity(path: str) -> str:
    """What the compiled code depends on beside its source: compiler and processor."""
    status = Path(path).resolve().stat()
    version = f"{Path(path).resolve()} {status.st_size} {status.st_mtime_ns}"
    processor = platform.machine() + platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        processor += next((ln for ln in lines if ln.lower().startswith(("flags", "features"))), "")
    return f"{version} {processor}"


@functools.cache
def load_library(source: str, real: str, headers: Path) -> ctypes.CDLL:
    """Compile a source, or take what was made of it before from the cache.

    Args:
        source: the C++ text.
        headers: the folder of what it includes.
        real: ``float`` or ``double``, the type of all values.

    Raises:
        CompilerError: no compiler, or it refuses the source.
    """
    compiler = find_compiler()
    included = "".join(path.read_text() for path in sorted(headers.glob("*.h")))
    text = "\0".join([source, real, included, compiler.path, *compiler.flags, compiler.identity])
    folder = kernel_folder()
    target = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.so"
    if not target.exists():
        _compile(compiler, source, real, headers, target)
    return ctypes.CDLL(str(target))


def _compile(compiler: Compiler, source: str, real: str, headers: Path, target: Path) -> None:
    """Compile next to the target and rename, so that other processes never see half a file."""
    with _scratch() as folder:
        text, made = folder / "kernel.cpp", folder / "kernel.so"
        text.write_text(source)
        command = [compiler.path, *compiler.flags, f"-DREAL={real}", f"-I{headers}", str(text),
                   "-o", str(made)]  # fmt: skip
        done = _run(command, folder, timeout=600)
        if done.returncode:
            reason = next((ln for ln in done.stderr.splitlines() if "error" in ln), done.stderr)
            raise CompilerError(f"{compiler.path} failed: {reason.strip()[:300]}")
        made.replace(target)
