"""JSON files of a processor: bounded before they are read, checked after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seqlab.errors import BundleError


def read_json(path: Path, limit: int) -> dict[str, Any]:
    """The JSON object in a file of at most ``limit`` bytes.

    Raises:
        BundleError: the file is missing, too large, or not a JSON object.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise BundleError(f"{path}: {size:,} bytes, more than the {limit:,} allowed")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path}: expected a JSON object")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, readable by people."""
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
