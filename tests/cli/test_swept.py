"""What a killed command left is swept by the next one that writes there."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
import torch

from forked import seqlab
from small_runs import untrained, words_spec

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL and locks")
#: All temporary files lie in the folder that is looked at.
PLACES = """
import os, tempfile
os.environ["SEQLAB_CACHE"] = "cache"
os.makedirs("tmp", exist_ok=True)
tempfile.tempdir = os.path.abspath("tmp")
"""
#: The process is killed when it has made and locked a temporary file or folder.
DIES = """
import signal
from seqlab import files, locks
real = locks.try_lock
def dying(descriptor):
    path = os.readlink(f"/proc/self/fd/{{descriptor}}")
    if {name!r} in path:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(descriptor)
locks.try_lock = files.try_lock = dying
"""
COMPILES = """
from seqlab.engines.cpp_compiler import load_library
from pathlib import Path
load_library('extern "C" int seven() { return 7; }', "float", Path("cache"))
"""
TRAIN = [
    *("train", "source=files", "source.path=words/train.csv", "data=text_label"),
    *("data.features.text.column=word", "data.target.column=kind", "head=classification"),
    *("trainer.max_epochs=1", "hydra.run.dir=run", "cell.hidden_size=3"),
]
#: What is written: part of the temporary name, then the command.
COMMANDS = {
    "answers": (".out.jsonl.", ["predict", "bundle=b", "input=in.txt", "output=out.jsonl"]),
    "measures": (".m.json.", ["evaluate", "bundle=b", "split=test", "output=m.json"]),
    "graph": (".graph.", ["export", "bundle=b", "format=torch_export", "output=graph"]),
    "layers": (".layers.", ["convert", "input=w.pt", "output=layers"]),
    "keras_layers": (".l.keras.", ["convert", "input=w.pt", "output=l.keras"]),
    "certificate": (
        ".c.json.",
        ["certify", "cell=gru", "only=constructor", "format=json", "output=c.json"],
    ),
    "kit": ("/seqlab-scratch-", ["certify", "tokenizer=chars", "fast=true"]),
    "plugin": (".seqlab-mine.", ["new-plugin", "cell", "mine"]),
    "diagram": (".c.svg.", ["list", "cell=gru", "output=c.svg"]),
    "run_identity": ("/seqlab-scratch-", TRAIN),
    "run_config": (".config.yaml.", TRAIN),
    "run_spec": (".spec.json.", TRAIN),
    "run_table": (".metrics.csv.", TRAIN),
    "run_checkpoint": (".resume.ckpt.", TRAIN),
    "run_bundle": (".bundle.", TRAIN),
    "run_result": (".result.json.", TRAIN),
    "compiled_code": ("/compiling-", ["--version"]),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    from seqlab.bundle import save_bundle

    folder = tmp_path_factory.mktemp("bundle")
    spec = words_spec(folder)
    model, data = untrained(spec)
    save_bundle(folder / "b", model, data.processor, spec)
    return folder


def temporaries(folder):
    """What lies there under a temporary name."""
    known = (".tmp", ".old")
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.suffix in known or path.name.startswith(("seqlab-scratch-", "compiling-"))
    ]


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="Linux")  # noqa: PTH110
@pytest.mark.parametrize("written", COMMANDS)
def test_what_a_killed_command_left_is_swept(bundle, tmp_path, written):
    folder = shutil.copytree(bundle, tmp_path / "work")
    (folder / "in.txt").write_text("abc\n")
    torch.save(torch.nn.LSTM(2, 3).state_dict(), folder / "w.pt")
    name, words = COMMANDS[written]
    before = PLACES + DIES.format(name=name)
    after = COMPILES if written == "compiled_code" else ""
    assert seqlab(folder, *words, before=before + after).returncode == -signal.SIGKILL
    assert temporaries(folder), "the kill came too early or too late"
    if words == TRAIN:
        words = [*words, "resume=true"]
    outcome = seqlab(folder, *words, before=PLACES + after)
    assert outcome.returncode == 0, outcome.stderr
    assert temporaries(folder) == []
