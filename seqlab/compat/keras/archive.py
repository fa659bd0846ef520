"""Keras's files as plain data: sizes bounded, nothing executed, no links followed.

A ``.keras`` file is a zip of ``config.json`` and ``model.weights.h5``. Of the HDF5 file, groups and
floating-point arrays are read; links, external storage and objects are refused.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from seqlab.errors import DataError, RunError
from seqlab.files import atomic_writer, reading

CONFIG_BYTES = 64 << 20
WEIGHT_BYTES = 4 << 30
MAX_NODES = 100_000
MAX_DEPTH = 24
#: How much larger unpacked data may be than stored; weights hardly compress.
MAX_RATIO = 200

#: Kind and bytes of the numbers that torch has too.
_NUMBERS = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})

#: The group of a layer's own arrays, in which Keras also stores the layer's name.
VARS = "vars"


class WeightTree:
    """A group of a weights file: its arrays in order, its name, and the groups below it."""

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.name = ""
        self.arrays: list[Tensor] = []
        self.children: dict[str, WeightTree] = {}

    def all_arrays(self) -> Iterator[Tensor]:
        """The arrays of this group and of all below it."""
        yield from self.arrays
        for child in self.children.values():
            yield from child.all_arrays()

    def at(self, path: str) -> WeightTree | None:
        """The group at a path below this one, or None."""
        here: WeightTree | None = self
        for part in path.split("/"):
            here = here.children.get(part) if here is not None else None
        return here


def _h5py() -> Any:
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise RunError("Keras's files need h5py: pip install 'seqlab[keras]'") from error
    return h5py


def read_archive(path: Path) -> tuple[dict[str, Any], WeightTree]:
    """The config and the weights of a ``.keras`` file.

    Raises:
        DataError: the file is not one, is damaged, or is larger than allowed.
    """
    with reading(path, DataError, "a .keras file"), zipfile.ZipFile(path) as archive:
        text = _member(archive, path, "config.json", CONFIG_BYTES)
        weights = _member(archive, path, "model.weights.h5", WEIGHT_BYTES)
    with reading(f"{path}: config.json", DataError, "JSON"):
        config = json.loads(text)
    if not isinstance(config, dict):
        raise DataError(f"{path}: config.json must be an object, got {type(config).__name__}")
    return config, read_weights(path, io.BytesIO(weights))


def _member(archive: zipfile.ZipFile, path: Path, name: str, limit: int) -> bytes:
    if name not in archive.namelist():
        raise DataError(f"{path}: the member {name} is missing")
    info = archive.getinfo(name)
    if info.file_size > info.compress_size * MAX_RATIO + (1 << 20):
        raise DataError(f"{path}: {name} unpacks to {MAX_RATIO} times its size or more")
    with archive.open(name) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise DataError(f"{path}: {name} is larger than {limit} bytes")
    return data


def read_weights(path: Path, stream: BinaryIO | None = None) -> WeightTree:
    """The groups and arrays of a ``.weights.h5`` file.

    Raises:
        DataError: the file is damaged, too large, or holds what is not plain floating-point data.
    """
    h5py = _h5py()
    source = path if stream is None else stream
    with reading(path, DataError, "an HDF5 weights file"), h5py.File(source, "r") as file:
        return _Reader(h5py, path).group(file, WeightTree(), 0)


class _Reader:
    """Walks one file and counts what it has read."""

    def __init__(self, h5py: Any, path: Path) -> None:
        self.h5py, self.path = h5py, path
        self.nodes = self.bytes = 0

    def group(self, group: Any, tree: WeightTree, depth: int) -> WeightTree:
        """Read a group and all below it into a tree."""
        if depth > MAX_DEPTH:
            raise DataError(f"{self.path}: groups nest deeper than {MAX_DEPTH}")
        for key in group:
            self.nodes += 1
            if self.nodes > MAX_NODES:
                raise DataError(f"{self.path}: more than {MAX_NODES} groups and arrays")
            where = f"{tree.path}/{key}".strip("/")
            if not isinstance(group.get(key, getlink=True), self.h5py.HardLink):
                raise DataError(f"{self.path}: {where} is a link, and links are not followed")
            node = group[key]
            if not isinstance(node, self.h5py.Group):
                raise DataError(f"{self.path}: {where} is no group, outside of a group '{VARS}'")
            if key == VARS:
                tree.name = _text(node.attrs.get("name", ""))
                tree.arrays = [self.array(node, k, where) for k in sorted(node, key=_number)]
            else:
                tree.children[key] = self.group(node, WeightTree(where), depth + 1)
        return tree

    def array(self, group: Any, key: str, where: str) -> Tensor:
        """Read one array after looking at its form."""
        where = f"{where}/{key}"
        if not isinstance(group.get(key, getlink=True), self.h5py.HardLink):
            raise DataError(f"{self.path}: {where} is a link, and links are not followed")
        data = group[key]
        plain = isinstance(data, self.h5py.Dataset) and not data.is_virtual and not data.external
        if not plain or data.dtype.str[1:] not in _NUMBERS or not 0 < len(data.shape or ()) <= 8:
            raise DataError(f"{self.path}: {where} is not a plain array of numbers")
        size = int(np.prod(data.shape, dtype=object)) * data.dtype.itemsize
        if size > data.id.get_storage_size() * MAX_RATIO + (1 << 12):
            raise DataError(f"{self.path}: {where} unpacks to {MAX_RATIO} times its size or more")
        self.bytes += size
        if self.bytes > WEIGHT_BYTES:
            raise DataError(f"{self.path}: the arrays are larger than {WEIGHT_BYTES} bytes")
        return torch.from_numpy(np.array(data[()]))


def _number(key: str) -> tuple[int, str]:
    return (int(key), "") if key.isdigit() else (1 << 30, key)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def write_weights(stream: BinaryIO, tree: WeightTree) -> None:
    """Write groups and arrays as Keras does."""
    with _h5py().File(stream, "w") as file:
        _write_group(file, tree)


def _write_group(group: Any, tree: WeightTree) -> None:
    own = group.create_group(VARS)
    if tree.name:
        own.attrs["name"] = tree.name
    for index, array in enumerate(tree.arrays):
        own.create_dataset(str(index), data=array.numpy())
    for key, child in tree.children.items():
        _write_group(group.create_group(key), child)


def write_archive(path: Path, config: Mapping[str, Any], tree: WeightTree) -> None:
    """Write a ``.keras`` file, whole or not at all."""
    weights = io.BytesIO()
    write_weights(weights, tree)
    metadata = {"keras_version": "3.0.0", "date_saved": "1980-01-01@00:00:00"}
    with atomic_writer(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        # the zip format's first date keeps equal content equal, byte for byte
        for name, text in (("metadata.json", metadata), ("config.json", config)):
            archive.writestr(zipfile.ZipInfo(name), json.dumps(text))
        archive.writestr(zipfile.ZipInfo("model.weights.h5"), weights.getvalue())
