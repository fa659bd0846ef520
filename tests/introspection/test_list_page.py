from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import seqlab
from seqlab.cli import main


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main(["list", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def install(site, number, code):
    """A plugin with one cell, as pip leaves it on disk."""
    name = f"many_{number}"
    (site / f"{name}.py").write_text(code, encoding="utf-8")
    info = site / f"{name}-1.{number}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: many-{number}\nVersion: 1.{number}\n"
        "Requires-Dist: seqlab>=0.1\n"
    )
    (info / "entry_points.txt").write_text(f"[seqlab.cell]\ncell_{number} = {name}:Cell\n")


FILES_OF_A_PLUGIN = 3  # what it registers, its version and needs, its code: each read once
PROBE = """
import json, sys
from seqlab.cli import main
opened = []
sys.addaudithook(lambda event, seen: opened.append(str(seen[0])) if event == "open" else None)
code = main(sys.argv[1:])
loaded = [n for n in sys.modules if n.startswith("many_") or n in ("torch", "numpy", "hydra")]
print(json.dumps([loaded, len([name for name in opened if "many_" in name])]), file=sys.stderr)
sys.exit(code)
"""


def test_each_of_200_plugins_is_read_once_and_none_is_imported(tmp_path):
    for number in range(200):
        trap = "while True: pass" if number % 2 else "raise SystemExit(3)"
        docstring = f'"""Number {number}.\n\n        h_t = x_t + {number}\n\n    More.\n    """'
        install(tmp_path, number, f"class Cell:\n    {docstring}\n\n{trap}\n")
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "list", "format=json"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded, opened = json.loads(done.stderr)
    assert loaded == []
    # the work of it, where a time would only hold on one machine
    assert 0 < opened <= 200 * FILES_OF_A_PLUGIN
    cells = {part["name"]: part for part in json.loads(done.stdout)["cell"]}
    assert cells["cell_17"]["version"] == "1.17"
    assert cells["cell_17"]["summary"] == "Number 17."
    assert cells["cell_17"]["equation"] == "h_t = x_t + 17"
    assert len([name for name in cells if name.startswith("cell_")]) == 200


def test_the_overview_has_description_and_equation(command):
    code, out, _ = command("kind=cell")
    assert code == 0
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:1] == ["lstm"])
    assert lines[start + 1].strip() == "The long short-term memory with forget gate."
    assert lines[start + 2].strip() == "h_t = o_t * tanh(c_t)"


def test_the_page_of_a_cell(command):
    code, out, err = command("cell=lstm", "cell.peepholes=true")
    assert (code, err) == (0, "")
    assert out.startswith(f"cell 'lstm' of seqlab {seqlab.__version__} (seqlab.cells.lstm:LSTMCell")
    for piece in (
        "i_t = sigmoid(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i)",
        "gates    input, forget, candidate, output",
        "options  peepholes=True",
        "peephole_input   [H]      H",
        r"c_{t} &= f_{t} \odot c_{t-1} + i_{t} \odot g_{t}",
        "  h_t = ⊙\n    ├─ o_t\n    └─ tanh\n       └─ c_t",
    ):
        assert piece in out


def test_the_page_of_a_cell_in_every_form(command, tmp_path):
    facts = json.loads(command("cell=mgu", "format=json")[1])
    assert facts["distribution"] == "seqlab-mgu"
    assert facts["size"] == "2H² + 2HD + 2H"
    assert command("cell=mgu", "format=latex")[1].startswith("\\begin{aligned}")
    assert command("cell=mgu", "format=mermaid")[1].startswith("flowchart LR")
    code, out, _ = command("cell=mgu", "output=mgu.svg")
    assert (code, out) == (0, "")
    assert (tmp_path / "mgu.svg").read_text("utf-8").startswith("<svg xmlns=")


def test_the_page_of_another_part(command):
    code, out, _ = command("wrapper=stacked")
    assert code == 0
    assert "num_layers=None" in out
    assert json.loads(command("merge=gate", "format=json")[1])["equation"].startswith("g = sigmoid")


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["cell=ltsm"], "unknown cell 'ltsm': did you mean 'lstm'?"),
        (["cell=lstm", "cell.peephole=true"], "cell: cell 'lstm' has no option 'peephole'"),
        (["cell=lstm", "head=tagging"], "head: one part at a time, and cell=lstm is given"),
        (["cell=lstm", "format=pdf"], "format: expected one of 'text', 'json', 'latex', "),
        (["head=tagging", "format=svg"], "format: expected one of 'text', 'json', got 'svg'"),
        (["head=tagging", "head.scheme=x"], "head.scheme: unknown key"),
        (["cell=lru", "format=svg"], "format: cell 'lru' has no svg: h_t = a_t"),
        (["cell=lstm", "formt=svg"], "formt: unknown key, did you mean 'format'?"),
        (["cell=lstm", "format=svg", "format=svg"], "format: given twice"),
        (["cell=lstm", "tiny"], "'tiny' is not understood: expected cell=NAME"),
        (["cell=lstm", "output=/proc/nothing/x.svg"], "cannot write /proc/nothing/x.svg"),
    ],
)
def test_mistakes_are_one_line(command, words, start):
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {start}")
    assert err.count("\n") == 1
