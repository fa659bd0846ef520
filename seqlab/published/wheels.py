"""Published models from the wheels that hold them, read as archives."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seqlab.bundle import TrainedModel
from seqlab.errors import DataError
from seqlab.published.g2p_en import g2p_en
from seqlab.published.g2pm import g2pm
from seqlab.published.pickled_arrays import LIMIT, read_pickled_arrays

#: Where each model comes from, for its card.
ORIGINS: Mapping[str, Mapping[str, str]] = {
    "g2p_en": {
        "name": "CMU pronouncing dictionary",
        "origin": "weights of the PyPI distribution g2p-en (Park and Kim, 2019)",
        "licence": "Apache-2.0 (weights)",
    },
    "g2pm": {
        "name": "Chinese Polyphones with Pinyin",
        "origin": "weights of the PyPI distribution g2pM (Park and Lee, 2020)",
        "licence": "Apache-2.0 (weights)",
    },
}


def published(name: str, wheel: str | Path) -> TrainedModel:
    """A published model.

    Args:
        name: ``g2p_en`` or ``g2pm``.
        wheel: the file that ``pip download --no-deps g2p-en`` or ``g2pM`` gives.

    Raises:
        DataError: the file is no such wheel, or damaged.
    """
    if name == "g2p_en":
        content = _member(wheel, "g2p_en/checkpoint20.npz")
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return g2p_en(dict(arrays))
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{wheel}: checkpoint20.npz cannot be read: {error}") from error
    found: list[Any] = []
    for member in ("np_ckpt.pkl", "char2idx.pkl", "class2idx.pkl"):
        value = read_pickled_arrays(_member(wheel, f"g2pM/{member}"), f"{wheel}: {member}")
        if not isinstance(value, dict):
            raise DataError(f"{wheel}: {member}: expected a dict")
        found.append(value)
    return g2pm(*found)


def _member(wheel: str | Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(name).file_size > LIMIT:
                raise DataError(f"{wheel}: {name} is larger than {LIMIT:,} bytes")
            return archive.read(name)
    except KeyError as error:
        raise DataError(f"{wheel}: has no {name}") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{wheel}: no wheel that can be read ({error})") from error
