"""How much memory is free, and sizes for people."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: Numbers in a config that are no danger as sizes, such as the longest answer of a decoder.
ALWAYS_FINE = 10_000

_CGROUP = Path("/sys/fs/cgroup")
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")


def free_memory(device: torch.device | None = None) -> int | None:
    """Bytes that this process may still take; None where the system does not say.

    The least of what the machine has, what a container grants, and the process's own limit.

    Args:
        device: a GPU, or None for the machine's main memory.
    """
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    found = [_of_machine(), _of_container(), _of_process()]
    return min((size for size in found if size is not None), default=None)


def _of_machine() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _of_container() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        limit = (_CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            used = int((_CGROUP / "memory.current").read_text())
            # the cache of files gives way
            stat = dict(line.split() for line in (_CGROUP / "memory.stat").open())
            return max(0, int(limit) - used + int(stat.get("file", 0)))
    return None


def _of_process() -> int | None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            return max(0, limit - pages * resource.getpagesize())
    return None


def size_text(count: float) -> str:
    """A number of bytes for people.

    >>> size_text(512), size_text(768_000_000_000)
    ('512 bytes', '768 GB')
    """
    power = 0
    while count >= 1000 and power < len(_UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.3g} {_UNITS[power]}"


def whole_numbers(value: Any) -> Iterator[int]:
    """All ints anywhere inside plain data."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, (Mapping, list)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from whole_numbers(part)
