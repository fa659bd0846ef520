"""Each example distribution passes its own tests, from its own folder, as installed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from seqlab import plugins
from seqlab.registry import KINDS

ROOT = Path(__file__).parents[1]
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error")
DISTRIBUTIONS = sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir())


def test_there_are_examples_of_several_kinds():
    kinds = {
        kind
        for kind in KINDS
        for part in plugins.declared(kind).values()
        if part.distribution in DISTRIBUTIONS
    }
    assert {"cell", "wrapper", "source", "engine"} <= kinds


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_it_passes_its_own_tests(name):
    files = metadata.files(name)
    assert files
    package = name.replace("-", "_")
    assert f"{package}/__init__.py" in {file.as_posix() for file in files}
    done = subprocess.run(
        [*PYTEST, "-m", "not slow and not gpu", "tests"],
        cwd=ROOT / "plugins" / name,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout.splitlines()[-1]
