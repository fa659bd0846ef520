"""Where a bundle is: a folder here, or one on the Hugging Face Hub."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from seqlab.errors import BundleError

WEIGHTS = "model.safetensors"
_HUB_PATTERNS = ("*.json", WEIGHTS, "README.md")


def each_bundle(path: str | Path | Sequence[str]) -> list[str | Path]:
    """The bundles that are named: one, or those of an ensemble."""
    return [path] if isinstance(path, (str, Path)) else list(path)


def local_bundle(
    path: str | Path,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
) -> Path:
    """The folder of a bundle; one that is not here is fetched from the Hub.

    Args:
        path: a folder, or ``owner/name`` on the Hub if no such folder exists.
        revision: branch, tag or commit on the Hub; the newest of its main branch by default.
        token: for what is not public; the one that was logged in with by default.
        cache_dir: where what was fetched is kept; the Hub's own folder by default.

    Raises:
        BundleError: there is none.
    """
    folder = Path(path)
    if folder.is_dir():
        if revision is not None:
            raise BundleError(f"{path} is a folder here, which has no revision '{revision}'")
        return folder
    if folder.is_file():
        packed = zipfile.is_zipfile(folder) or tarfile.is_tarfile(folder)
        unpack = "; unpack it first" if packed else ""
        raise BundleError(f"no bundle at {path}: it is a file, and a bundle is a folder{unpack}")
    if not is_hub_name(path):
        raise BundleError(f"no bundle at {path}: there is no such folder")
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                str(path),
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                allow_patterns=list(_HUB_PATTERNS),
            )
        )
    except Exception as error:  # the Hub's client raises many types, with long texts
        named = f" at revision '{revision}'" if revision else ""
        raise BundleError(
            f"no bundle at {path}{named}: there is no such folder, and the Hugging Face Hub did "
            f"not give one ({reason_of(error)})"
        ) from error


def is_hub_name(path: str | Path) -> bool:
    """Whether it may be the name of a repository, ``owner/name``.

    >>> is_hub_name("owner/name"), is_hub_name("./name"), is_hub_name("name")
    (True, False, False)
    """
    words = str(path).split("/")
    plain = len(words) == 2 and all(words) and words[0] not in {".", "..", "~"}
    return plain and not isinstance(path, Path)


def reason_of(error: BaseException) -> str:
    """The first line of what the Hub's client says."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
