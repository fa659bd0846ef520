"""The script that times layers on a GPU runs here, on the CPU and with toy sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "scripts"


def test_contests_and_page(tmp_path):
    output = tmp_path / "numbers"
    words = ["device=cpu", "--tiny", "--sizes", "0", "--rounds", "1", "--output", str(output)]
    script = [
        sys.executable,
        str(SCRIPTS / "bench_cuda.py"),
        *words,
        "--without",
        "compiled",
        "precisions",
    ]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(output.with_suffix(".json").read_text())
    cells = {contest["cell"]: contest["contestants"] for contest in results["contests"]}
    steps = {"gru, layer_norm", "lstm, proj_size"}
    assert set(cells) == {"gru", "lstm", "mgu", "min_gru", "lru"} | steps
    assert all("triton, graphs" in cells[cell] for cell in steps)
    failed = {name: entry["failed"] for entries in cells.values()
              for name, entry in entries.items() if "failed" in entry}  # fmt: skip
    assert failed == {}
    for base, cell in (("nn.GRU", "gru"), ("nn.LSTM", "lstm"), ("nn.GRU", "mgu")):
        assert next(iter(cells[cell])) == base
        assert cells[cell][base]["ratio"] == 1
        assert cells[cell]["auto"]["ms"] > 0
    page = output.with_suffix(".md").read_text()
    assert "| gru | 2, 3, 4, 4 |" in page
    again = [sys.executable, str(SCRIPTS / "bench_cuda_page.py"), str(output) + ".json"]
    subprocess.run(again, check=True)
    assert output.with_suffix(".md").read_text() == page
