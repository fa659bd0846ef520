"""Triton's kernels of gated cells by Triton's interpreter, on the CPU, and what surrounds them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import seqlab
import torch
from seqlab.engines import triton_presence
from seqlab.engines.base import Sequence
from seqlab.engines.calls import expected_calls
from seqlab.engines.cost import Cost
from seqlab.engines.triton.engine import TritonEngine, _precision
from seqlab.errors import EngineError

GPU_TESTS = Path(__file__).parents[1] / "gpu"
installed = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is for Linux"
)


#: The cells that the ordinary tests run; the long ones run all, in both directions.
ORDINARY = "lstm or gru or odd"
CELLS = f"triton_cells and not blocks and (not equals or (True and ({ORDINARY})))"
GRAPHS = "triton_graphs and (callers_own or are_drawn or given_back or captured_kernels)"
OTHERS = f"triton_cells and equals and True and not ({ORDINARY})"


@installed
@pytest.mark.parametrize(
    "kind",
    [
        # one process, for starting takes long
        f"scan_kernels or ordinary or ({CELLS}) or ({GRAPHS})",
        pytest.param("triton_graphs", marks=pytest.mark.slow),
        pytest.param(OTHERS, marks=pytest.mark.slow),
        pytest.param("triton_cells and equals and False", marks=pytest.mark.slow),
        pytest.param("triton_cells and blocks", marks=pytest.mark.slow),
        pytest.param("triton_steps and equals", marks=pytest.mark.slow),
        pytest.param("triton_steps and not equals and not ordinary", marks=pytest.mark.slow),
    ],
)
def test_interpreted_kernels(kind):
    """In a process of its own: Triton decides when it is imported."""
    names = ("test_triton_cells.py", "test_triton_steps.py", "test_triton_graphs.py",
             "test_scan_kernels.py")  # fmt: skip
    tests = [str(GPU_TESTS / name) for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "gpu", "-n", "0", "-k", kind, *tests],
        env={**os.environ, "TRITON_INTERPRET": "1", "SEQLAB_TEST_DEVICE": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_without_a_device_the_loop_runs_and_says_why():
    layer = seqlab.GRU(3, 4, engine="triton")
    with pytest.warns(UserWarning, match="engine 'triton' is replaced by 'loop'"):
        plan = layer.explain(torch.zeros(2, 3, 3))
    assert plan.engine.name == "loop"
    assert any(word in plan.refused["triton"] for word in ("no CUDA device", "not installed"))


def test_without_triton_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(triton_presence, "installed", lambda: False)
    assert "pip install 'seqlab[triton]'" in str(TritonEngine().unavailable())


def test_devices_that_it_was_not_made_for(monkeypatch):
    monkeypatch.setattr(triton_presence, "installed", lambda: True)
    monkeypatch.setattr(triton_presence, "interpreted", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, device.index))
    engine = TritonEngine()
    assert engine.unavailable() is None
    monkeypatch.setattr(TritonEngine, "refusal", lambda *_: None)
    run = Sequence(SimpleNamespace(device=torch.device("cuda:5")), ())
    assert "8.0, the device has 7.5" in engine.offer(seqlab.get("cell", "gru")(3, 4), run)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert "NVIDIA" in engine.unavailable()


def test_what_it_takes_and_refuses(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(triton_presence, "installed", lambda: True)
    x = torch.zeros(2, 3, 3)
    run = Sequence(x, ())
    for words, options in {
        "one Triton kernel": {},
        "at each step (layer_norm needs all gates of a row": {"layer_norm": True},
        "at each step (proj_size is a product of its own": {"proj_size": 2},
    }.items():
        offer = TritonEngine().offer(seqlab.get("cell", "gru")(3, 4, **options), run)
        assert words in offer.why
    layer = seqlab.Recurrent(seqlab.get("cell", "lru")(3, 4), engine="triton")
    with pytest.raises(EngineError, match="not a GatedCell"):
        layer.explain(x)


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "rnn"), reason="an older torch")
def test_products_are_as_precise_as_torch_is_told():
    cell, kernels = seqlab.get("cell", "gru")(3, 4), torch.backends.cudnn.rnn
    before, found = kernels.fp32_precision, []
    try:
        for kernels.fp32_precision in ("tf32", "ieee"):
            found.append(_precision(cell, None, interpreted=False))
    finally:
        kernels.fp32_precision = before
    assert found == ["tf32", "tf32x3"]
    torch.backends.cudnn.allow_tf32 = False
    try:
        assert _precision(cell, None, interpreted=False) == "tf32x3"
    finally:
        torch.backends.cudnn.allow_tf32 = True


def test_what_was_not_timed_on_a_gpu_is_chosen_by_name_alone(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(triton_presence, "installed", lambda: True)
    monkeypatch.setattr(Cost, "seconds", lambda cost, *_: 1e-9 if cost.step == 1 else 1.0)
    x = torch.zeros(2, 3, 3)
    with expected_calls(1_000_000_000):
        plan = seqlab.LSTM(3, 4, proj_size=2).explain(x)
        assert plan.engine.name != "triton"
        assert "not timed on a GPU yet; ask for it by name" in plan.refused["triton"]
        assert seqlab.LSTM(3, 4, proj_size=2, engine="triton").explain(x).engine.name == "triton"
