"""One pinned file from a package registry, by the registry's own client, kept in the cache.

Nothing of a package is installed or imported. pip reads the metadata of a source distribution
by running its build script; the pinned checksum is compared before that.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqlab import DataError, RunError
from seqlab.files import CACHE_VARIABLE, cache_folder, sha256_of
from seqlab.locks import scratch_folder

_TIMEOUT_S = 1800
#: No file has this checksum: pip then stops before it opens the file, and says what it found.
_NO_CHECKSUM = "0" * 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """One file of one release of a package.

    Args:
        index: ``pypi`` or ``npm``.
        package: the package's name.
        version: the exact version.
        kind: ``wheel`` or ``sdist``, for ``pypi``.
        sha256: the file's checksum in hexadecimal digits; None is never accepted, but the
            error then says what it is.
        wheel_for: for a package with a wheel for each platform, which of them: a version of Python
            and a platform, such as ``("3.11", "manylinux2014_x86_64")``; None: this machine's.
    """

    index: str
    package: str
    version: str
    kind: str = "wheel"
    sha256: str | None = None
    wheel_for: tuple[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.index} package {self.package} {self.version}"


def fetch(release: Release) -> Path:
    """The release's file: from the cache, or downloaded, checked and put there.

    Raises:
        DataError: it cannot be downloaded, or its checksum is not the pinned one.
        RunError: the registry's client is not installed, or the cache cannot be written.
    """
    kept = cache_folder() / "packages" / _kept_name(release)
    if release.sha256 and kept.is_file() and sha256_of(kept) == release.sha256:
        return kept
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(kept.parent, "download") as folder:
            _log.info("downloading %s", release)
            download = _download_npm if release.index == "npm" else _download_pypi
            file = download(release, folder)
            _check(release, sha256_of(file))
            file.replace(kept)
    except OSError as error:
        raise RunError(
            f"the cache folder {kept.parent} cannot be written ({error.strerror or error}); set "
            f"{CACHE_VARIABLE} to another one"
        ) from error
    return kept


def _kept_name(release: Release) -> str:
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", f"{release.package}-{release.version}").strip("-.")
    return f"{release.index}-{plain}-{(release.sha256 or _NO_CHECKSUM)[:16]}"


def _check(release: Release, found: str) -> None:
    if release.sha256 is None:
        raise DataError(
            f"{release}: source.sha256 is not given; the file's sha256 is {found}: put it into "
            "the config if you trust the file"
        )
    if found != release.sha256:
        raise DataError(
            f"{release}: the file has sha256 {found}, expected {release.sha256}; it is not the "
            "file that was pinned, and nothing of it was used"
        )


def _download_pypi(release: Release, folder: Path) -> Path:
    requirement = folder / "requirements.txt"
    pinned = release.sha256 or _NO_CHECKSUM
    requirement.write_text(
        f"{release.package}=={release.version} --hash=sha256:{pinned}\n", encoding="utf-8"
    )
    only = ["--only-binary", ":all:"]
    if release.kind == "sdist":
        only = ["--no-binary", release.package]
    if release.wheel_for is not None:
        python, platform = release.wheel_for
        only += ["--python-version", python, "--platform", platform]
    target = folder / "file"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
    command += ["--quiet", "--no-deps", "--retries", "2", *only]
    command += ["--dest", str(target), "--requirement", str(requirement)]
    result = _run(command, release)
    if result.returncode and "No module named pip" in result.stderr:
        raise RunError(f"{release}: needs pip; run `{sys.executable} -m ensurepip`")
    found = re.search(r"Got\s+([0-9a-f]{64})", result.stderr)
    if result.returncode and found:
        _check(release, found.group(1))
    return _only_file(target, release, result)


def _download_npm(release: Release, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise RunError(f"{release}: needs the program npm, which is not installed")
    command = [npm, "pack", f"{release.package}@{release.version}", "--ignore-scripts"]
    command += ["--silent", "--pack-destination", str(folder)]
    return _only_file(folder, release, _run(command, release, folder=folder))


def _run(
    command: Sequence[str], release: Release, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = {**os.environ, "NO_COLOR": "1"}
    try:
        return subprocess.run(  # noqa: S603 - a fixed program, arguments without a shell
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=environment,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{release}: the download took more than {_TIMEOUT_S} s") from error


def _only_file(folder: Path, release: Release, result: subprocess.CompletedProcess[str]) -> Path:
    files = [file for file in folder.glob("*") if file.is_file()] if folder.is_dir() else []
    if result.returncode or len(files) != 1:
        lines = [line.strip() for line in (result.stderr + result.stdout).splitlines()]
        reasons = [line for line in lines if re.match(r"(npm )?err(or)?\b", line, re.IGNORECASE)]
        reason = (reasons or [line for line in lines if line] or ["no file came"])[-1]
        raise DataError(f"{release}: cannot be downloaded: {reason}")
    return files[0]
