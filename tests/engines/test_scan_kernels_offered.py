"""When the scan's Triton kernels run; test_triton_interpreted.py runs them, by the interpreter."""

from __future__ import annotations

import torch
from seqlab.engines import triton_presence
from seqlab.engines.scan import tile_pass


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
