"""Pictures in the loggers of others, read back from what they wrote."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from seqlab.pages import Lines
from seqlab.pages.drawing import as_png
from seqlab.training.loggers import build_loggers, log_picture

PNG = as_png(Lines({"a": [(1, 1.0), (2, 0.5)]}), dpi=40)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def send(logger):
    """Numbers and pictures of two steps, as a run sends them."""
    for step in (1, 5):
        logger.log_metrics({"microscope/half_life": 2.5 * step}, step)
        log_picture(logger, "microscope/gradient", PNG, step)
    logger.finalize("success")


def assert_written(files, count=2):
    files = list(files)
    assert len(files) == count, files
    for file in files:
        assert np.array_equal(pixels(file.read_bytes()), pixels(PNG))


@pytest.mark.slow
def test_wandb_keeps_them_without_a_network(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    [logger] = build_loggers({"wandb": {"mode": "offline"}}, tmp_path)
    send(logger)
    wandb.finish()
    assert_written(tmp_path.glob("wandb/offline-run-*/files/media/images/microscope/*.png"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # SQLAlchemy's, of MLflow's own code
def test_mlflow_keeps_them_in_the_folder_of_the_run(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    [logger] = build_loggers({"mlflow": {}}, tmp_path / "run")
    send(logger)
    run = logger.experiment.get_run(logger.run_id)
    assert run.data.metrics == {"microscope/half_life": 12.5}
    files = [tmp_path.glob(f"run/mlruns/**/microscope_gradient_{s:08d}.png") for s in (1, 5)]
    for found in files:
        assert_written(found, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


SENDING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_logger_pictures import build_loggers, send
[logger] = build_loggers({"trackio": {"name": "looked"}}, Path(sys.argv[2]))
send(logger)
"""


@pytest.mark.slow
def test_trackio_keeps_them_on_this_machine(tmp_path):
    pytest.importorskip("trackio")
    kept = tmp_path / "kept"  # its folder is chosen when it is imported
    subprocess.run(
        [sys.executable, "-c", SENDING, str(Path(__file__).parent), str(tmp_path)],
        check=True, timeout=300, env={**os.environ, "TRACKIO_DIR": str(kept)},
    )  # fmt: skip
    assert_written(kept.glob("media/seqlab/looked/**/*.png"))
