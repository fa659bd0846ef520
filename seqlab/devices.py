"""Where a run computes: checked before anything else, undone afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from seqlab.errors import ConfigError, RunError


def check_device(trainer: Mapping[str, Any]) -> None:
    """Refuse a device that is not there.

    Raises:
        RunError: no GPU, or fewer than asked for.
        ConfigError: the precision does not fit the device.
    """
    accelerator = trainer.get("accelerator", "auto")
    devices = trainer.get("devices", 1)
    if accelerator in ("gpu", "cuda"):
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if accelerator == "gpu" and not found and torch.backends.mps.is_available():
            found = 1
        if not found:
            raise RunError(
                f"trainer.accelerator={accelerator}: there is no GPU on this machine that torch "
                f"{torch.__version__} can use; choose trainer=cpu"
            )
        highest = max(devices) + 1 if isinstance(devices, list) else devices
        if isinstance(highest, int) and highest > found:
            raise RunError(f"trainer.devices={devices}: there are {found} GPUs on this machine")
    if accelerator == "mps" and not torch.backends.mps.is_available():
        raise RunError("trainer.accelerator=mps: torch finds no Apple GPU; choose trainer=cpu")
    if accelerator == "cpu" and trainer.get("precision") in ("16-mixed", "16-true", 16):
        raise ConfigError(
            f"trainer.precision={trainer['precision']} needs a GPU; on the CPU choose bf16-mixed"
        )


def pick_device(name: str) -> torch.device:
    """The device that ``device=`` of ``evaluate`` and ``predict`` means.

    Raises:
        RunError: it is not there.
        ConfigError: torch does not know it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device("cuda" if name == "gpu" else name)
    except RuntimeError as error:
        raise ConfigError(f"device: unknown {name!r}; auto, cpu, cuda, cuda:1, mps") from error
    if device.type in ("cuda", "mps"):
        check_device({"accelerator": device.type, "devices": (device.index or 0) + 1})
    return device


@contextlib.contextmanager
def global_settings(num_threads: int | None) -> Iterator[None]:
    """Set torch's threads, and give back all global settings a run changes."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    # repeatable runs never read uninitialized memory; filling it would only take time
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        memory.fill_uninitialized_memory = filled
