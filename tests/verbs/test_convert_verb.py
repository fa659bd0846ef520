"""``seqlab convert`` from the command line."""

from __future__ import annotations

import json

import pytest
import torch
from seqlab.cli import main
from torch import nn


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "model.pt"
    model = nn.ModuleDict({"lstm": nn.LSTM(3, 4, bidirectional=True), "out": nn.Linear(8, 2)})
    torch.save(model.state_dict(), path)
    return path


def test_report_and_folder(checkpoint, tmp_path, capsys):
    assert main(["convert", f"input={checkpoint}", f"output={tmp_path / 'folder'}"]) == 0
    text = capsys.readouterr().out
    assert "lstm   bidirectional  2 LSTMCell  3   8    256" in text
    assert "left out, not recurrent: out.bias, out.weight" in text
    assert "read back: largest difference 0.0e+00" in text
    words = ["convert", f"input={tmp_path / 'folder'}", f"output={tmp_path / 'a.safetensors'}"]
    assert main([*words, "format=json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["layers"][0]["difference_outputs"] < 1e-14
    assert report["written"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "input= is missing"),
        (["input=a.pt"], "output= is missing"),
        (["input=a.pt", "output=b", "to=keras"], "to: unknown key"),
        (["input=a.pt", "output=b", "input=c"], "input: given twice"),
        (["input=a.pt", "output=a.pt"], "output= is the input itself"),
        (["input=a.pt", "output=b"], "a.pt: no such file"),
        (
            ["input=a.pt", "output=b", "format=xml"],
            "format: expected one of 'text', 'json', got 'xml'",
        ),
        (["a.pt"], "'a.pt' is not understood"),
    ],
)
def test_wrong_words(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["convert", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_wrong_layers_and_endings(checkpoint, tmp_path, capsys):
    words = ["convert", f"input={checkpoint}"]
    assert main([*words, f"output={tmp_path / 'b'}", "layer=lsmt"]) == 2
    assert "layer=lsmt: did you mean 'lstm'" in capsys.readouterr().err
    assert main([*words, f"output={tmp_path / 'b.onnx'}"]) == 2
    assert "unknown ending" in capsys.readouterr().err
    assert main([*words, f"output={tmp_path / 'b'}", "nonlinearity=gelu"]) == 2
    assert "nonlinearity: expected one of 'tanh', 'relu', got 'gelu'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_help(capsys):
    assert main(["convert", "--help"]) == 0
    assert "usage: seqlab convert input=FILE output=PATH" in capsys.readouterr().out
