"""What a machine does to a program, told in one line: no room, no memory, no files, a kill.

Torch, Lightning and the system say the same thing in many types and texts; here they are known by
what they say.
"""

from __future__ import annotations

import errno
import os
import re

from seqlab.errors import MachineError
from seqlab.memory import free_memory, size_text

_MEMORY = re.compile(
    r"MemoryError|std::bad_alloc|can't allocate memory|not enough memory|out of memory"
    r"|cannot allocate memory"
    r"|unable to allocate [\d.]+|storage size calculation overflow|integer multiplication overflow"
    r"|overflow when unpacking|unable to mmap|unable to write to file </torch"
    r"|failed to map segment|could not create a primitive$",
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
#: How to go on.
_LESS = "; make the model or data.batch_size smaller"
_FEWER = "; allow more, or use fewer data.num_workers"
_MORE_ROOM = {
    errno.ENOSPC: "; free some room there",
    errno.EDQUOT: "; free some room there",
    errno.EFBIG: "; it needs a larger limit (ulimit -f)",
}
_NO_FILES = {errno.EMFILE, errno.ENFILE}
#: Errors of writing, whatever the file is; others are known by having a file's name.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def machine_failure(error: BaseException) -> MachineError | None:
    """The failure of the machine that an exception tells of, or None if it tells of none.

    >>> machine_failure(OSError(28, "No space left on device", "run/metrics.csv"))
    MachineError('cannot write run/metrics.csv: No space left on device; free some room there')
    >>> machine_failure(ValueError("something else")) is None
    True
    """
    if isinstance(error, MachineError):
        return error
    if text := shortage(error):
        return MachineError(text + (_LESS if _MEMORY.match(text) else _FEWER))
    number = _number(error)
    if number in _NO_ROOM:
        name = getattr(error, "filename", None) or "the output"
        return cannot_write(name, OSError(number, os.strerror(number)))
    return _process_failure(error) if isinstance(error, RuntimeError) else None


def shortage(error: BaseException) -> str | None:
    """What an exception says the machine is short of: memory, file handles, or None of them.

    >>> shortage(OSError(24, "Too many open files")).partition(" (")[0]
    'too many open files'
    """
    text, number = str(error), _number(error)
    told = isinstance(error, (RuntimeError, OverflowError, TypeError, ImportError, OSError))
    if number in _NO_FILES or (told and _FILES.search(text)):
        return _files_text()
    if number == errno.ENOMEM or isinstance(error, MemoryError):
        return _memory_text(text)
    return _memory_text(text) if told and _MEMORY.search(text) else None


def cannot_write(target: object, error: OSError) -> MachineError:
    """The error that says which file could not be written, why, and how to go on."""
    reason = error.strerror or str(error)
    return MachineError(f"cannot write {target}: {reason}{_MORE_ROOM.get(error.errno or 0, '')}")


def _number(error: BaseException) -> int | None:
    """The system's number of an error; libraries in Rust have it in their text."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _SYSTEM.search(str(error))
    return int(found.group(1)) if found else None


def _process_failure(error: RuntimeError) -> MachineError | None:
    text = str(error)
    if found := _WORKER.search(text):
        how = f" ({found['signal'].strip()})" if found["signal"] else ""
        return MachineError(
            f"a worker process that loads data was killed{how}, as the system does when memory is "
            "short; fewer data.num_workers or a smaller data.batch_size need less"
        )
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
    return f"out of memory{asked}{left}"


def _files_text() -> str:
    limit = ""
    if os.name == "posix":
        import resource

        limit = f" (the limit is {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}; see ulimit -n)"
    return f"too many open files{limit}"
