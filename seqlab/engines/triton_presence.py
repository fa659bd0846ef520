"""Whether Triton is here, and where it runs kernels: on a GPU or, to test them, on the CPU."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
from typing import Any

import torch

#: One for all, for launches are many.
_HERE = contextlib.nullcontext()

MISSING = "Triton is not installed (pip install 'seqlab[triton]')"


@functools.cache
def installed() -> bool:
    """Whether Triton can be imported."""
    return importlib.util.find_spec("triton") is not None


def interpreted() -> bool:
    """Whether Triton's interpreter runs kernels on the CPU (``TRITON_INTERPRET=1``)."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def launching_on(device: torch.device) -> Any:
    """A context whose launches run on ``device``; Triton launches on the current GPU alone."""
    if device.type != "cuda" or device.index == torch.cuda.current_device():
        return _HERE
    return torch.cuda.device(device)
