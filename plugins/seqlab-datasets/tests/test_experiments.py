"""The experiments reach what docs/results.md says; minutes each, run by scripts/test-long."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: experiment -> (metric, at least or at most, bound)
BOUNDS = {
    "g2p": ("phoneme_error_rate", "most", 0.15),
    "g2p_ctc": ("phoneme_error_rate", "most", 0.15),
    "mnist1d": ("accuracy", "least", 0.90),
    "japanese_vowels": ("accuracy", "least", 0.95),
    "reuters": ("accuracy", "least", 0.92),
    "ner": ("span_f1", "least", 0.50),
    "pos": ("accuracy", "least", 0.94),
    "petrogold": ("upos_accuracy", "least", 0.97),
    "pulse": ("mae", "most", 1.0),  # the last value: 2.5
    "taylor": ("mae", "most", 367.0),  # a quarter below the seasonal naive forecast's 490
    "scan": ("command_accuracy", "least", 0.95),
    "alice": ("bits_per_character", "most", 2.35),
    "alice_carried": ("bits_per_character", "most", 2.2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUNDS)
def test_the_experiment_reaches_its_bound(name, tmp_path):
    command = Path(sys.executable).parent / "seqlab"
    folder = tmp_path / name
    subprocess.run([command, "train", f"experiment={name}", f"hydra.run.dir={folder}"], check=True)
    metric, side, bound = BOUNDS[name]
    value = json.loads((folder / "result.json").read_text())["test"][metric]
    assert value >= bound if side == "least" else value <= bound
