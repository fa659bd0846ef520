from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import seqlab
from seqlab.cli import main
from seqlab.data.processor import Processor, fit_processor
from seqlab.errors import BundleError, ConfigError, DataError
from seqlab.testing import parametrize_with_checks

ROWS = [{"x": [float(n), 1.0], "y": n * n} for n in range(12)]


def spec(**options):
    return {
        "features": {"x": {"kind": "numeric"}},
        "target": {"column": "y", "kind": "levels", **options},
    }


@parametrize_with_checks(["target=levels", "transform=winsorize"])
def test_conforms(check):
    check()


def test_levels_hold_like_many_rows_and_come_back_as_numbers(tmp_path):
    fit_processor(spec(levels=4), ROWS).save(tmp_path)
    processor = Processor.load(tmp_path)
    levels = [int(processor.encode(row).target) for row in ROWS]
    assert levels == sorted(levels)
    assert [levels.count(level) for level in range(4)] == [3, 3, 3, 3]
    assert [processor.decode_target(level) for level in range(4)] == [1.0, 16.0, 49.0, 100.0]


def test_series_lose_their_extremes_by_the_training_rows_alone(tmp_path):
    clip = {"name": "winsorize", "column": "x", "tail": 0.25}
    fit_processor({**spec(levels=4), "transforms": [clip]}, ROWS).save(tmp_path)
    processor = Processor.load(tmp_path)
    rows = processor.transform_inputs([[99.0, -99.0, 2.0]], str)
    steps = [step for row in ROWS for step in row["x"]]
    low, high = np.quantile(steps, [0.25, 0.75])
    assert rows[0]["x"] == [high, low, 2.0]
    with pytest.raises(
        DataError, match=r"row 1: data\.transforms\[0\]: column 'x': expected a series"
    ):
        processor.transform_inputs([[1.0], "much"], "row {}".format)


def test_wrong_options_and_rows_are_one_line():
    with pytest.raises(ConfigError, match=r"data\.target\.levels: expected an int of at least 2"):
        fit_processor(spec(levels=1), ROWS)
    with pytest.raises(DataError, match="3 levels need as many different ranges"):
        fit_processor(spec(), [{"x": [1.0], "y": 7}] * 5)
    with pytest.raises(DataError, match="train row 2: column 'y': expected a number"):
        fit_processor(spec(), [ROWS[0], {"x": [1.0], "y": "much"}])


def test_it_trains_and_its_bundle_names_what_it_needs(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"series": [n / 30, (n % 7) / 7], "value": n} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = ["train", "source=files", f"source.path={path}", "data=series_winsorized"]
    words += ["data.validation=0.2", "head=classification", "cell.hidden_size=4"]
    words += ["trainer.max_epochs=1", f"hydra.run.dir={tmp_path / 'run'}"]
    assert main(words) == 0
    bundle = tmp_path / "run" / "bundle"
    answer = seqlab.load(bundle).predict([[0.5, 0.1]])[0]
    assert answer["label"].startswith(("below", "from")) or " to " in answer["label"]
    script = f"import seqlab; seqlab.load({str(bundle)!r})"
    without = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "SEQLAB_DISABLE_PLUGINS": "seqlab-levels"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    last = without.stderr.strip().splitlines()[-1]
    assert BundleError.__name__ in last
    assert "needs the target 'levels' of seqlab-levels" in last
    assert "pip install seqlab-levels" in last
