"""Series of numbers of a length of their own."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import seqlab
import torch
from seqlab.cli import main
from seqlab.data.features.whole_series import WholeSeriesFeature
from seqlab.data.processor import fit_processor
from seqlab.errors import DataError

where = "line {}".format
ROWS = [
    {"t": "a b c", "pulse": [[1.0, 10.0], [3.0, 20.0], [5.0, 30.0]], "kind": "up"},
    {"t": "a", "pulse": [[7.0, 0.0]], "kind": "down"},
]
SPEC = {
    "features": {"t": {"kind": "text"}, "pulse": {"kind": "whole_series", "longest": 2}},
    "target": {"column": "kind", "kind": "label"},
}


def test_series_are_scaled_by_the_training_steps_and_cut_behind_the_longest():
    processor = fit_processor(SPEC, ROWS)
    batch = processor.collate([processor.encode(row) for row in ROWS])
    assert batch.inputs["t"].shape == (2, 3)
    assert batch.inputs["pulse"].shape == (2, 1, 5)
    assert batch.inputs["pulse"][:, 0, 0].tolist() == [2, 1]
    steps = np.array([step for row in ROWS for step in row["pulse"]])
    scaled = (steps - steps.mean(0)) / steps.std(0)
    expected = np.stack([scaled[:2], [scaled[3], [0, 0]]]).reshape(2, 4)
    np.testing.assert_allclose(batch.inputs["pulse"][:, 0, 1:], expected, rtol=1e-6)
    read = processor.decode_input(batch.inputs["pulse"][1].tolist(), "pulse")
    np.testing.assert_allclose(read, ROWS[1]["pulse"], atol=1e-5)


def test_bad_series_are_one_line_with_the_row():
    processor = fit_processor(SPEC, ROWS)
    for value, said in (
        ([[1.0, math.nan]], "found [1.0, nan] at step 0; the transform fill mends gaps"),
        ([[1.0, 2.0], [None, 3.0]], "found [None, 3.0] at step 1"),
        ([[1.0, 2.0], [3.0]], "expected a series of numbers, or of equally long rows of them"),
        ([[1.0, 2.0, 3.0]], "expected 2 channels as in the training rows"),
        ([], "expected a series of at least one step, found none; allow_empty: true of feature"),
        (None, "expected a series of numbers"),
        ("high", "expected a series of numbers"),
        ([[1e300, 0.0]], "finite numbers within float32's range"),
    ):
        with pytest.raises(DataError) as caught:
            processor.encode({**ROWS[0], "pulse": value}, where="line 9")
        text = str(caught.value)
        assert text.startswith("line 9: column 'pulse'")
        assert said in text
        assert "\n" not in text


def test_a_row_among_many_is_the_one_that_is_named():
    feature = WholeSeriesFeature("s", "s", standardize=False)
    feature.fit(lambda: [([[1, 2], [3]], where)])
    with pytest.raises(DataError, match=r"^line 2: column 's'"):
        feature.encode([[1], [2, 3], []], where)
    free = WholeSeriesFeature("s", "s", standardize=False, longest=2, allow_empty=True)
    free.fit(lambda: [([[1, 2], [], [3, 4, 5]], where)])
    found = free.encode([[1], [], "4 5 6"], where)
    assert found.values.tolist() == [[1, 1, 0], [0, 0, 0], [2, 4, 5]]
    assert [free.decode(found.row(row)) for row in range(3)] == [[[1]], [], [[4], [5]]]


@pytest.mark.parametrize(
    "form", ["{cell: {name: gru, hidden_size: 6}}", "{convolution: {size: 8}}"]
)
def test_the_label_is_in_the_series_alone(tmp_path, form):
    """The words say nothing; the series rises or falls, over 2 to 6 steps beside 1 to 3 words."""
    generator = torch.Generator().manual_seed(0)

    def line(place):
        steps = 2 + place % 5
        rises, level = place % 2 == 0, torch.randn(1, generator=generator).item()
        series = [level + (step if rises else -step) for step in range(steps)]
        words = ["some", "words", "here"][: 1 + place % 3]
        return json.dumps({"text": " ".join(words), "sensor": series, "label": "ud"[not rises]})

    for name, places in (("train", range(80)), ("test", range(80, 120))):
        (tmp_path / name).write_text("".join(f"{line(place)}\n" for place in places))
    run = tmp_path / "run"
    command = ["train", "source=files", "source.format=jsonl", "data=text_label"]
    command += ["head=classification", "report=false", f"hydra.run.dir={run}"]
    command += [f"source.{split}={tmp_path / split}" for split in ("train", "test")]
    command += ["data.features.sensor={kind: whole_series, longest: 8}"]
    command += ["embedding.features.sensor={cell: {name: gru, hidden_size: 8}}", "embedding.size=2"]
    command += [
        "cell=gru",
        "cell.hidden_size=8",
        "optimizer.lr=0.05",
        "trainer.max_epochs=20",
        "data.batch_size=16",
    ]
    assert main(command) == 0
    result = json.loads((run / "result.json").read_text())
    assert result["test"]["accuracy"] > 0.9
    model = seqlab.load(run / "bundle")
    rows = [{"text": "words", "sensor": [50, 51, 52, 53]}, {"text": "here", "sensor": [9, 8, 7]}]
    assert len(model.predict(rows)) == 2
    with pytest.raises(DataError, match=r"^input 2: column 'sensor'"):
        model.predict([rows[0], {"text": "here", "sensor": []}])
