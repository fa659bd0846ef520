"""The scan's Triton kernels by Triton's interpreter, on the CPU."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from seqlab.engines import triton_presence
from seqlab.engines.scan import tile_pass

KERNEL_TESTS = Path(__file__).parents[1] / "gpu" / "test_scan_kernels.py"


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is for Linux")
def test_interpreted_kernels():
    """In a process of its own: Triton decides when it is imported."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "gpu", "-n", "0", str(KERNEL_TESTS)],
        env={**os.environ, "TRITON_INTERPRET": "1", "SEQLAB_TEST_DEVICE": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout


def test_says_why_not(monkeypatch):
    x = torch.zeros(1)
    monkeypatch.setattr(triton_presence, "installed", lambda: False)
    assert "pip install 'seqlab[triton]'" in tile_pass.missing(x, torch.float32)
    monkeypatch.setattr(triton_presence, "installed", lambda: True)
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    assert tile_pass.missing(x, torch.float32) == "Triton's kernels do not run on cpu"
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert tile_pass.missing(x, torch.float32) is None
    assert "torch.int32" in tile_pass.missing(x, torch.int32)
