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
    ("make", "scores"),
    [
        (words_spec, (3, 2)),
        pytest.param(pairs_spec, None, marks=pytest.mark.slow),
        pytest.param(sentences_spec, (3, 6, 4), marks=pytest.mark.slow),
    ],
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


@pytest.mark.slow
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


def exported(folder):
    return torch.export.load(folder / "model.pt2").module()


def test_the_step_of_a_tagger_gives_its_scores(tmp_path):
    spec = changed(sentences_spec(tmp_path), encoder__wrappers=[], encoder__initial_state="trained")
    bundle = bundle_of(spec, tmp_path / "bundle")
    assert export.run([f"bundle={bundle}", "format=step"]) == 0
    step, model = exported(tmp_path / "bundle-step"), seqlab.load(bundle).model
    ids, state = torch.randint(0, 5, (2, 4)), list(model.encoder.layer.initial_state(2))
    found = []
    with torch.no_grad():
        for t in range(4):
            _, *state, scores = step([ids[:, t]], state)
            found.append(scores)
        whole = model.encode(seqlab.types.Batch({"words": ids}, torch.tensor([4, 4])))
        torch.testing.assert_close(torch.stack(found, 1), model.head.scores(whole))


def test_the_step_of_a_language_model_gives_its_distribution(tmp_path):
    spec = changed(
        words_spec(tmp_path),
        data__target={"kind": "inputs", "column": "word"},
        head={"name": "language_model"},
        encoder__wrappers=[],
    )
    bundle = bundle_of(spec, tmp_path / "bundle")
    assert export.run([f"bundle={bundle}", "format=step"]) == 0
    report = json.loads((tmp_path / "bundle-step" / "export.json").read_text())
    assert report["outputs"] == ["output", "next_0", "scores"]
    zero = seqlab.load(bundle).model.encoder.layer.initial_state(1)
    with torch.no_grad():
        scores = exported(tmp_path / "bundle-step")([torch.tensor([2])], list(zero))[-1]
    assert float(scores.exp().sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("cell", "covering"),
    [
        pytest.param(cell, covering, marks=pytest.mark.slow)  # one as ONNX is an ordinary test
        for cell, covering in (("gru", False), ("gru", True), ("lstm", False))
    ],
)
def test_a_decoder_runs_by_its_two_graphs(cell, covering, tmp_path):
    decoder = {"cell": {"name": cell, "hidden_size": 6}, "num_layers": 2}
    feeding = cell == "gru"
    spec = changed(pairs_spec(tmp_path), head__decoder=decoder, head__input_feeding=feeding)
    seen = 3
    if covering:
        more = {"head__copy": True, "head__coverage": 1.0, "data__target__copies": "text"}
        spec, seen = changed(spec, **more, head__attention={"name": "multi_head", "heads": 2}), 4
    bundle = bundle_of(spec, tmp_path / "bundle")
    for part in ("decoder_start", "decoder_step"):
        assert export.run([f"bundle={bundle}", "format=torch_export", f"part={part}"]) == 0
    start, step = (
        exported(tmp_path / f"bundle-torch_export-decoder_{part}") for part in ("start", "step")
    )
    trained = seqlab.load(bundle)
    (answer,) = trained.predict(["xyzzy"])
    info = trained.model.info.target
    with torch.no_grad():
        batch = trained.processor.encode_inputs(["xyzzy"], str).batch(torch.tensor([0]).numpy())
        begun = list(start([batch.inputs["text"]], batch.lengths))
        memory, state = begun[:seen], begun[seen:]
        token, tokens = torch.tensor([info.bos]), []
        while len(tokens) < 8:
            log_p, *state = step(token, memory, state)
            log_p[:, info.bos] = -torch.inf  # as every search has it
            token = log_p.argmax(1)
            if int(token) == info.eos:
                break
            tokens.append(int(token))
    assert tokens == answer["tokens"][:8]


@pytest.mark.parametrize(
    ("part", "copies"),
    [
        ("decoder_step", False),
        pytest.param("decoder_step", True, marks=pytest.mark.slow),
        pytest.param("decoder_start", True, marks=pytest.mark.slow),
        pytest.param("step", False, marks=pytest.mark.slow),
    ],
)
def test_steps_as_onnx(part, copies, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    spec = changed(sentences_spec(tmp_path), encoder__wrappers=[])
    if part != "step":
        more = {"head__copy": True, "head__coverage": 1.0, "data__target__copies": "text"}
        spec = changed(pairs_spec(tmp_path), **(more if copies else {}))
    bundle = bundle_of(spec, tmp_path / "bundle")
    assert export.run([f"bundle={bundle}", "format=onnx", f"part={part}"]) == 0
    assert (tmp_path / f"bundle-onnx-{part}" / "model.onnx").is_file()


def test_a_model_without_a_decoder_has_no_step_of_one(tmp_path):
    bundle = bundle_of(words_spec(tmp_path), tmp_path / "bundle")
    with pytest.raises(EngineError, match="has no decoder, it has head 'classification'"):
        export.run([f"bundle={bundle}", "format=onnx", "part=decoder_step"])


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
