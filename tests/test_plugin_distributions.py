"""Each example distribution passes its own tests, as installed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree as ET

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


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What became of each distribution's tests: one process for all, for starting takes longest."""
    report = tmp_path_factory.mktemp("plugins") / "report.xml"
    done = subprocess.run(
        [*PYTEST, f"--junitxml={report}", "-m", "not slow and not gpu"]
        + [f"{name}/tests" for name in DISTRIBUTIONS],
        cwd=ROOT / "plugins",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=290,
    )
    assert report.is_file(), done.stdout + done.stderr
    outcomes = {name: [] for name in DISTRIBUTIONS}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - our own file
        name = next(n for n in DISTRIBUTIONS if f"plugins.{n}." in f"{case.get('classname')}.")
        outcomes[name].append({child.tag for child in case})
    return done, outcomes


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_it_passes_its_own_tests(name, results):
    files = metadata.files(name)
    assert files
    package = name.replace("-", "_")
    assert f"{package}/__init__.py" in {file.as_posix() for file in files}
    done, outcomes = results
    assert set() in outcomes[name], f"no test of {name} passed:\n{done.stdout}{done.stderr}"
    broken = [tags for tags in outcomes[name] if tags & {"failure", "error"}]
    assert not broken, done.stdout + done.stderr


def test_nothing_broke_outside_a_test(results):
    done, _ = results
    assert done.returncode == 0, done.stdout + done.stderr
