"""What a machine does to a program, told in one line: no room, no memory, no files, a kill.

Torch, Lightning and the system say the same thing in many types and texts; here they are known by
what they say.
"""

from __future__ import annotations

import errno
import os
import re

import torch

from seqlab.errors import MachineError
from seqlab.files import cannot_write
from seqlab.memory import free_memory, size_text

_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|out of memory|cannot allocate memory|std::bad_alloc"
    r"|unable to allocate [\d.]+|storage size calculation overflow|integer multiplication overflow"
    r"|overflow when unpacking|unable to mmap|unable to write to file </torch",
    re.IGNORECASE,
)
_ASKED = re.compile(
    r"(?:tried to allocate|unable to allocate) ([\d.]+) ?([KMGTPE]i?B)?", re.IGNORECASE
)
_FILES = re.compile(r"too many open files|received \d+ items of ancdata", re.IGNORECASE)
_WORKER = re.compile(
    r"DataLoader worker \(pid\S* [\d, ]+\) (?:is killed by signal: (?P<signal>[A-Za-z ]+)|exited)"
)
_PEER = re.compile(
    r"gloo.*(closed by peer|reset by peer|broken pipe|connect|timed out|application timeout)"
    r"|connection (closed|reset) by peer|NCCL (error|communicator was aborted)"
    r"|remote process exited",
    re.IGNORECASE | re.DOTALL,
)
_SYSTEM = re.compile(r"\(os error (\d+)\)")
_NO_FILES = {errno.EMFILE, errno.ENFILE}
#: Errors of writing, whatever the file is; others are known by having a file's name.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def machine_failure(error: BaseException) -> MachineError | None:
    """The failure of the machine that an exception tells of, or None if it tells of none.

    >>> machine_failure(OSError(28, "No space left on device", "run/metrics.csv"))
    MachineError('cannot write run/metrics.csv: No space left on device')
    >>> machine_failure(ValueError("something else")) is None
    True
    """
    if isinstance(error, MachineError):
        return error
    text = str(error)
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _SYSTEM.search(text)):
        number = int(found.group(1))
    if number in _NO_FILES or _FILES.search(text):
        return MachineError(_files_text())
    if number == errno.ENOMEM or isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return MachineError(_memory_text(text))
    if number in _NO_ROOM:
        name = getattr(error, "filename", None) or "the output"
        return cannot_write(name, OSError(number, os.strerror(number)))
    return (
        _known_text(error, text)
        if isinstance(error, (RuntimeError, OverflowError, TypeError))
        else None
    )


def _known_text(error: Exception, text: str) -> MachineError | None:
    if found := _WORKER.search(text):
        how = f" ({found['signal'].strip()})" if found["signal"] else ""
        return MachineError(
            f"a worker process that loads data was killed{how}, as the system does when memory is "
            "short; fewer data.num_workers or a smaller data.batch_size need less"
        )
    if _MEMORY.search(text):
        return MachineError(_memory_text(text))
    if type(error).__name__ in {"DistBackendError", "DistNetworkError"} or _PEER.search(text):
        return MachineError("another process of this run has ended, so this one cannot go on")
    return None


def _memory_text(text: str) -> str:
    asked = ""
    if found := _ASKED.search(text):
        amount, unit = float(found.group(1)), found.group(2)
        asked = f" {amount:g} {unit}" if unit else f" {size_text(amount)}"
        asked = f":{asked} were asked for"
    free = free_memory()
    left = f"{',' if asked else ':'} {size_text(free)} are free" if free is not None else ""
    return f"out of memory{asked}{left}; make the model or data.batch_size smaller"


def _files_text() -> str:
    limit = ""
    if os.name == "posix":
        import resource

        limit = f" (the limit is {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}; see ulimit -n)"
    return f"too many open files{limit}; allow more, or use fewer data.num_workers"
