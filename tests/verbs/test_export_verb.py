"""``seqlab export``: graphs of bundles, and what they compute."""

from __future__ import annotations

import json

import pytest
import seqlab
import torch
from seqlab.bundle import save_bundle
from seqlab.errors import ConfigError, EngineError
from seqlab.verbs import export

from small_runs import changed, pairs_spec, sentences_spec, untrained, words_spec

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def bundle_of(spec, folder):
    """A bundle with random weights."""
    torch.manual_seed(1)
    model, data = untrained(spec)
    save_bundle(folder, model, data.processor, spec)
    return folder


@pytest.mark.parametrize(
    ("make", "scores"), [(words_spec, (3, 2)), (sentences_spec, (3, 6, 4)), (pairs_spec, None)]
)
def test_the_graph_gives_the_scores_of_heads_that_have_them(make, scores, tmp_path, capsys):
    bundle = bundle_of(make(tmp_path), tmp_path / "bundle")
    assert export.run([f"bundle={bundle}", "format=torch_export"]) == 0
    written = tmp_path / "bundle-torch_export"
    outputs = ["output", "final", "scores"] if scores else ["output", "final"]
    assert json.loads((written / "export.json").read_text())["outputs"] == outputs
    assert "2 rows of 17 steps: output " in capsys.readouterr().out
    if scores:
        model = seqlab.load(bundle).model.eval()
        feature = model.info.features[0]
        batch = seqlab.types.Batch(
            {feature.name: torch.randint(0, feature.size, (3, 6))}, torch.tensor([6, 1, 4])
        )
        with torch.no_grad():
            expected = model.head.scores(model.encode(batch))
            found = torch.export.load(written / "model.pt2").module()(
                [batch.inputs[feature.name]], batch.lengths
            )[2]
        assert found.shape == scores
        torch.testing.assert_close(found, expected)


def test_a_tagger_as_onnx(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    bundle = bundle_of(sentences_spec(tmp_path), tmp_path / "bundle")
    assert export.run([f"bundle={bundle}", "format=onnx", f"output={tmp_path / 'graph'}"]) == 0
    report = json.loads((tmp_path / "graph" / "export.json").read_text())
    assert report["outputs"] == ["output", "final", "scores"]
    assert all(v < 1e-5 for shape in report["largest_difference"].values() for v in shape.values())
    assert "scores" in capsys.readouterr().out


def test_a_step_needs_a_layer_that_streams(tmp_path):
    spec = words_spec(tmp_path)
    both = bundle_of(spec, tmp_path / "both")
    with pytest.raises(EngineError, match="cannot be streamed"):
        export.run([f"bundle={both}", "format=step"])
    forward = bundle_of(changed(spec, encoder__wrappers=[]), tmp_path / "forward")
    assert export.run([f"bundle={forward}", "format=step"]) == 0
    report = json.loads((tmp_path / "forward-step" / "export.json").read_text())
    assert report["inputs"] == ["text", "state_0"]
    assert report["outputs"] == ["output", "next_0"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bundle=x"], r"format= is missing: expected bundle=DIR, format=onnx"),
        (["format=onnx"], r"bundle= is missing"),
        (
            ["bundle=x", "format=onx"],
            "format: expected one of 'onnx', .*, got 'onx', did you mean 'onnx'?",
        ),
        (["bundle=x", "form=onnx"], r"form: unknown key, did you mean 'format'"),
        (["bundle=x", "bundle=y", "format=onnx"], r"bundle: given twice"),
        (["bundle", "format=onnx"], r"'bundle' is not understood: expected bundle=DIR, format="),
        (["bundle=", "format=onnx"], r"'bundle=' is not understood"),
    ],
)
def test_wrong_words_are_named(words, message):
    with pytest.raises(ConfigError, match=message):
        export.run(words)
