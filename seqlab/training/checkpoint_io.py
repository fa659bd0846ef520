"""Checkpoints that are always whole: the old one or the new one, never a piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from seqlab.errors import RunError
from seqlab.files import atomic_writer, fsync_folder


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
        try:
            checkpoint: dict[str, Any] = torch.load(
                path, map_location=map_location or "cpu", weights_only=True
            )
        except Exception as error:  # torch raises many types for a damaged file
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise RunError(f"checkpoint {path} cannot be read: {reason}") from error
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint; a missing one is no error."""
        Path(path).unlink(missing_ok=True)
        fsync_folder(Path(path).parent)
