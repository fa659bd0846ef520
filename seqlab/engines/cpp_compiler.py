"""The machine's C++ compiler, and a cache of what it made, shared by all processes of a user."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from seqlab.files import CACHE_VARIABLE, cache_folder
from seqlab.locks import scratch_folder

_FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math",
          "-ffp-contract=fast", "-Wno-psabi", "-Wno-ignored-attributes")  # fmt: skip

#: Some compilers take -fopenmp and lack its header.
_PROBE = """#ifdef _OPENMP
#include <omp.h>
#endif
#include <vector>
extern "C" int answer() { return int(std::vector<int>(42).size()); }
"""


class CompilerError(Exception):
    """There is no working compiler here; the message says what was tried."""


class Compiler(NamedTuple):
    """A C++ compiler that was seen working, with the flags for this machine."""

    command: tuple[str, ...]
    flags: tuple[str, ...]
    identity: str

    @property
    def path(self) -> str:
        """The program."""
        return self.command[0]


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
    """The first that makes a working library: ``$CXX``, g++, clang++, c++, the one of ziglang.

    The last is a package of PyPI (``pip install seqlab[compiler]``), for machines without another;
    it knows no OpenMP, so its code runs in one thread.

    Raises:
        CompilerError: none does.
    """
    if os.name != "posix":
        raise CompilerError("compiled code needs Linux or macOS")
    found = list(_candidates())
    for command in found:
        for extra in (("-march=native", "-fopenmp"), ("-fopenmp",), ("-march=native",), ()):
            flags = (*_FLAGS, *extra)
            identity = _identity(command[0])
            if _known_to_work(command, flags, identity):
                return Compiler(command, flags, identity)
    tried = ", ".join(" ".join(command) for command in found)
    tried = tried or "g++, clang++, c++ are not on PATH"
    raise CompilerError(
        f"no working C++ compiler ({tried}); install g++, set CXX or pip install seqlab[compiler]"
    )


def _candidates() -> Iterator[tuple[str, ...]]:
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        path = shutil.which(name) if name else None
        if path is not None:
            yield (path,)
    spec = importlib.util.find_spec("ziglang")
    if spec is not None and spec.origin is not None:
        zig = Path(spec.origin).with_name("zig")
        if zig.exists():
            yield str(zig), "c++"


def _known_to_work(command: tuple[str, ...], flags: tuple[str, ...], identity: str) -> bool:
    """Whether a compiler works; a mark in the cache spares later processes the proof."""
    text = "\0".join([*command, *flags, identity])
    mark = kernel_folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.works"
    if mark.exists():
        return True
    works = _works(command, flags)
    if works:
        mark.touch()
    return works


def _works(command: tuple[str, ...], flags: tuple[str, ...]) -> bool:
    with _scratch() as folder:
        source, target = folder / "probe.cpp", folder / "probe.so"
        source.write_text(_PROBE)
        whole = [*command, *flags, str(source), "-o", str(target)]
        if _run(whole, folder, timeout=300).returncode:
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
        env={**os.environ, "TMPDIR": str(folder), **_zig_caches(folder)},
    )


def _zig_caches(folder: Path) -> dict[str, str]:
    """Where zig keeps its libraries, which take it minutes to build, and what it makes else."""
    return {
        "ZIG_GLOBAL_CACHE_DIR": str(kernel_folder() / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(folder),
    }


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
def library_file(source: str, real: str, headers: Path) -> Path:
    """Where the compiled code of a source lies, or will lie.

    Args:
        source: the C++ text.
        headers: the folder of what it includes.
        real: ``float`` or ``double``, the type of all values.

    Raises:
        CompilerError: there is no compiler.
    """
    compiler = find_compiler()
    included = "".join(path.read_text() for path in sorted(headers.glob("*.h")))
    text = "\0".join(
        [source, real, included, *compiler.command, *compiler.flags, compiler.identity]
    )
    return kernel_folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.so"


@functools.cache
def load_library(source: str, real: str, headers: Path) -> ctypes.CDLL:
    """Compile a source, or take what was made of it before from the cache; see ``library_file``.

    Raises:
        CompilerError: no compiler, or it refuses the source.
    """
    target = library_file(source, real, headers)
    if not target.exists():
        _compile(find_compiler(), source, real, headers, target)
    return ctypes.CDLL(str(target))


def _compile(compiler: Compiler, source: str, real: str, headers: Path, target: Path) -> None:
    """Compile next to the target and rename, so that other processes never see half a file."""
    with _scratch() as folder:
        text, made = folder / "kernel.cpp", folder / "kernel.so"
        text.write_text(source)
        command = [*compiler.command, *compiler.flags, f"-DREAL={real}", f"-I{headers}", str(text),
                   "-o", str(made)]  # fmt: skip
        done = _run(command, folder, timeout=600)
        if done.returncode:
            reason = next((ln for ln in done.stderr.splitlines() if "error" in ln), done.stderr)
            raise CompilerError(f"{compiler.path} failed: {reason.strip()[:300]}")
        made.replace(target)
