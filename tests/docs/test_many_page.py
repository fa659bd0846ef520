"""Every block of the page on many runs runs, in order, in one folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import seqlab

PAGE = (Path(__file__).parents[2] / "docs" / "many.md").read_text("utf-8")
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_blocks_do_what_the_page_says(tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    for language, code in BLOCK.findall(PAGE):
        if code.startswith("pip install"):
            continue
        command = ["bash", "-euc", code] if language == "bash" else [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
    found = json.loads((tmp_path / "found" / "sweep.json").read_text("utf-8"))
    assert sum(found["counts"].values()) == 10
    command = [sys.executable, "-m", "seqlab.cli", *shlex.split(found["again"])[1:]]
    command.append("trainer.max_epochs=1")
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"`(\w+)`", PAGE.split("| `sweep.json` |")[1].split("\n")[0])) <= set(
        found
    )
    assert seqlab.load(tmp_path / "found" / "bundle").predict(["abca"])
