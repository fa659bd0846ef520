"""Checkpoints that are always whole: the old one or the new one, never a piece."""

from __future__ import annotations

import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.plugins.io import CheckpointIO
from torch import Tensor

from seqlab.errors import RunError
from seqlab.files import atomic_writer, fsync_folder, reading
from seqlab.registry import spoken

_PLAIN = (bool, int, float, str, bytes, type(None), Tensor)


def check_plain(trainer: Trainer, checkpoint: Mapping[str, Any]) -> None:
    """Refuse states of callbacks, optimisers and schedules that could not be read again.

    Raises:
        RunError: one holds something else than numbers, text, tensors, lists and mappings of
            these; the message says where.
    """
    callbacks = {callback.state_key: callback for callback in trainer.callbacks}  # type: ignore[attr-defined]
    states = [(callbacks.get(k, k), v) for k, v in checkpoint.get("callbacks", {}).items()]
    states += [("the optimizer", state) for state in checkpoint.get("optimizer_states", ())]
    states += [("the scheduler", state) for state in checkpoint.get("lr_schedulers", ())]
    for owner, state in states:
        if found := _other(state, "state"):
            name = owner if isinstance(owner, str) else spoken("callback", owner)
            raise RunError(
                f"{name} cannot be saved: {found[0]} is {found[1]}; a state_dict holds numbers, "
                "text, tensors, and lists, tuples and mappings of these"
            )


def _other(value: Any, place: str) -> tuple[str, str] | None:
    """The first place in a state that holds an object of another type, and the type's name."""
    if type(value) in _PLAIN or isinstance(value, Tensor):
        return None
    if type(value) in (dict, OrderedDict, defaultdict):
        pairs = [(f"{place}[{key!r}]", item) for key, item in value.items()]
        pairs += [(f"a key of {place}", key) for key in value]
    elif type(value) in (list, tuple, set):
        pairs = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
    else:
        return place, f"a {type(value).__name__}"
    return next(filter(None, (_other(item, where) for where, item in pairs)), None)


class AtomicCheckpointIO(CheckpointIO):
    """Writes next to the target, fsyncs and renames; reads tensors and plain values only.

    Lightning's own way goes through the system's folder for temporary files, and a kill during
    the copy from there leaves a piece of a file under the good name.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any | None = None,
    ) -> None:
        """Write a checkpoint under ``path``, atomically.

        Raises:
            MachineError: the file cannot be written.
            TypeError: ``storage_options`` are given; local files have none.
        """
        if storage_options is not None:
            raise TypeError("AtomicCheckpointIO writes local files and takes no storage_options")
        with atomic_writer(path) as stream:
            torch.save(checkpoint, stream)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any | None = None,
        weights_only: bool | None = None,  # noqa: ARG002 - part of the interface; always True here
    ) -> dict[str, Any]:
        """Read a checkpoint of tensors and plain values; no other object is ever unpickled.

        Raises:
            RunError: the file is missing, damaged, or holds other objects.
        """
        if not Path(path).is_file():
            raise RunError(f"checkpoint {path} does not exist")
        with reading(f"checkpoint {path}", RunError):
            _check_content(path)
            checkpoint: dict[str, Any] = torch.load(
                path, map_location=map_location or "cpu", weights_only=True
            )
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint; a missing one is no error."""
        Path(path).unlink(missing_ok=True)
        fsync_folder(Path(path).parent)


def _check_content(path: str | Path) -> None:
    """Compare what a checkpoint holds with its checksums, which torch does not look at.

    Raises:
        ValueError: a part of it has changed since it was written.
    """
    with zipfile.ZipFile(path) as archive:
        if (part := archive.testzip()) is not None:
            raise ValueError(f"{part} has changed since it was written")
