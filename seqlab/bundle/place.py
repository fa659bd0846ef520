"""Where a bundle is: a folder here, or one on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seqlab.errors import BundleError

WEIGHTS = "model.safetensors"
_HUB_PATTERNS = ("*.json", WEIGHTS, "README.md")


def each_bundle(path: str | Path | Sequence[str]) -> list[str | Path]:
    """The bundles that are named: one, or those of an ensemble."""
    return [path] if isinstance(path, (str, Path)) else list(path)


def local_bundle(path: str | Path) -> Path:
    """The folder of a bundle; one that is not here is fetched from the Hub."""
    folder = Path(path)
    if folder.is_dir():
        return folder
    words = str(path).split("/")
    if isinstance(path, Path) or len(words) != 2 or not all(words) or words[0] in {".", "..", "~"}:
        raise BundleError(f"no bundle at {path}: there is no such folder")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(path), allow_patterns=list(_HUB_PATTERNS)))
    except Exception as error:  # the Hub's client raises many types, with long texts
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise BundleError(
            f"no bundle at {path}: there is no such folder, and the Hugging Face Hub did not "
            f"give one ({reason})"
        ) from error
