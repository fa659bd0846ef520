"""Whether Triton is here, and whether it runs kernels on a GPU or, to test them, on the CPU."""

from __future__ import annotations

import functools
import importlib.util
import os

MISSING = "Triton is not installed (pip install 'seqlab[triton]')"


@functools.cache
def installed() -> bool:
    """Whether Triton can be imported."""
    return importlib.util.find_spec("triton") is not None


def interpreted() -> bool:
    """Whether Triton's interpreter runs kernels on the CPU (``TRITON_INTERPRET=1``)."""
    return os.environ.get("TRITON_INTERPRET") == "1"
