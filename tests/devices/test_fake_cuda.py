"""Every part for GPUs runs forward and backward on a made-up one: no devices are mixed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import seqlab
import torch
from seqlab import plugins
from seqlab.engines.cpp_compiler import CompilerError, find_compiler

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What came of each part."""
    try:
        compiler = find_compiler().path
    except CompilerError as error:
        pytest.skip(str(error))
    if not sys.platform.startswith("linux") or torch.version.cuda is not None:
        pytest.skip("needs Linux and a build of torch without CUDA")
    library = tmp_path_factory.mktemp("device") / "fake_cuda.so"
    home = Path(torch.__file__).parent
    folders = f"-I{home / 'include'}", f"-L{home / 'lib'}"
    words = f"-std=c++20 -shared -fPIC -o {library}".split()
    built = subprocess.run(
        [compiler, *words, *folders, str(HERE / "fake_cuda.cpp"), "-lc10", "-ltorch_cpu"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-2000:]
    done = subprocess.run(
        [sys.executable, str(HERE / "on_fake_cuda.py"), str(library)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_no_part_mixes_devices(results):
    refused = {what for what, came in results.items() if came.startswith("refused")}
    assert {what: came for what, came in results.items() if came != "ran"}.keys() == refused
    assert all(" engine=" in what for what in refused)


def test_every_part_ran(results):
    ran = {word for what, came in results.items() if came == "ran" for word in what.split()}
    for kind in ("cell", "wrapper", "merge", "head"):
        # the zoo's cells have tests of their own, without a made-up device
        names = {
            name
            for name, declared in plugins.declared(kind).items()
            if kind != "cell" or declared.distribution != "seqlab-zoo"
        }
        assert {f"{kind}={name}" for name in names} <= ran
    # compiled code is for CPUs
    engines = set(seqlab.available("engine")) - {"compiled"}
    assert {f"engine={name}" for name in engines} <= ran
