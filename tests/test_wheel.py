"""The wheel works without the checkout, with a plugin's wheel beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def build_wheel(project: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target)]
    subprocess.run([*command, str(project)], check=True, capture_output=True)
    return max(target.glob("*.whl"), key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Both wheels in one folder, which comes before everything else on the path."""
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    built = [build_wheel(ROOT, wheels), build_wheel(ROOT / "plugins" / "seqlab-mgu", wheels)]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(site), *map(str, built)], check=True)
    return site, built


def run(installed, folder, *command):
    site, _ = installed
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, "-m", "seqlab", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_ships_configs_and_types(installed):
    names = set(zipfile.ZipFile(installed[1][0]).namelist())
    assert {"seqlab/conf/config.yaml", "seqlab/conf/cell/lstm.yaml", "seqlab/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests/", "conf/", "plugins/"))]


def test_list_runs_from_another_directory(installed, tmp_path):
    listed = run(installed, tmp_path, "list", "kind=cell", "format=json")
    assert listed.returncode == 0, listed.stderr
    assert '"mgu"' in listed.stdout


def test_train_with_a_plugin_from_another_directory(installed, tmp_path):
    rows = [f"{'good' if i % 2 else 'bad'} film number {i},{i % 2}" for i in range(40)]
    (tmp_path / "films.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    trained = run(
        installed,
        tmp_path,
        "train",
        "source=files",
        "source.train=films.csv",
        "data=text_label",
        "data.validation=0.2",
        "head=classification",
        "cell=mgu",
        "cell.hidden_size=8",
        "trainer.max_epochs=1",
        "report=false",
        "hydra.run.dir=out",
    )
    assert trained.returncode == 0, trained.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["parameters"] > 0
    assert (tmp_path / "out" / "bundle" / "model.safetensors").exists()
