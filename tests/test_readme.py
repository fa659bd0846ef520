"""Every block of the README that runs is run, in order, in one folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from forked_shell import ForkedShell

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SET_UP = "scripts/demo"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """What the README's commands left behind, and what they printed."""
    folder = tmp_path_factory.mktemp("readme")
    with ForkedShell() as shell:
        printed = {
            code: shell.run(language, code, folder)
            for language, code in BLOCK.findall((ROOT / "README.md").read_text())
            if SET_UP not in code
        }
    return folder, printed


def shown_by(printed, part):
    (output,) = [text for code, text in printed.items() if part in code]
    return output


def test_own_data_trains_to_a_bundle(workplace):
    folder, printed = workplace
    for name, metric in {
        "films": "accuracy",
        "names": "span_f1",
        "turned": "token_error_rate",
    }.items():
        result = json.loads((folder / "runs" / name / "result.json").read_text())
        assert metric in result["test"]
        assert (folder / "runs" / name / "bundle" / "manifest.json").exists()
        assert metric in shown_by(printed, f"runs/{name}\n")


def test_the_bundle_is_reused(workplace):
    folder, printed = workplace
    lines = shown_by(printed, "seqlab predict").splitlines()
    answers = [json.loads(line) for line in lines if line.startswith("{")]
    assert [answer["input"] for answer in answers] == ["a moving film", "a dull film"]
    assert {answer["label"] for answer in answers} <= {"good", "bad"}
    assert "accuracy" in json.loads((folder / "measured.json").read_text())["test"]
    assert shown_by(printed, "seqlab.load").strip() in {"good", "bad"}


def test_python_shows_what_it_says(workplace):
    assert shown_by(workplace[1], "seqlab.Stacked").strip() == "torch.Size([4, 10, 16])"
