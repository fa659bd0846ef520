"""``seqlab inspect`` and ``seqlab gradients``: what they write, and what they refuse."""

import json

import pytest
import torch
from seqlab.bundle import save_bundle
from seqlab.cli import main
from seqlab.errors import ConfigError, RunError, UnknownNameError
from seqlab.verbs import gradients, inspect

from small_runs import changed, pairs_spec, sentences_spec, series_spec, untrained, words_spec


def bundle_of(spec, folder):
    torch.manual_seed(1)
    model, data = untrained(spec)
    save_bundle(folder, model, data.processor, spec)
    return folder


def text_model(folder):
    text = {"column": "word", "kind": "text", "tokenizer": {"name": "chars"}}
    target = {"kind": "inputs"}
    return changed(
        words_spec(folder),
        data={"features": {"text": text}, "target": target, "batch_size": 5},
        head={"name": "language_model"},
        encoder__wrappers=[],
    )


@pytest.mark.parametrize(
    "make",
    [text_model,
     *(pytest.param(make, marks=pytest.mark.slow)
       for make in (pairs_spec, words_spec, sentences_spec, series_spec))],
)  # fmt: skip
def test_inspect_writes_numbers_and_a_page(make, tmp_path, capsys):
    spec = make(tmp_path)
    bundle = bundle_of(spec, tmp_path / "bundle")
    output = tmp_path / "out"
    words = [f"bundle={bundle}", f"input={spec['source']['test']}", f"output={output}", "rows=6"]
    assert inspect.run(words) == 0
    found = json.loads((output / "inspect.json").read_text("utf-8"))
    assert (found["of"], found["rows"]) == ("loss", 6)
    for layer in found["layers"]:
        assert layer["cell"] == "GRUCell"
        assert layer["gradient"][0][0] == 1
        assert set(layer["memory"]) == {"half_life", "rate", "reach"}
        assert set(layer["gates"]) == {"update", "reset", "candidate"}
        assert layer["jacobian"]["norm"]
    assert len(found["examples"]) == 3
    for example in found["examples"]:
        assert len(example["contributions"]) == len(example["steps"])
        for layer in example["layers"].values():
            assert len(layer["outputs"]) == len(example["steps"])
    if make is pairs_spec:
        (weights,) = found["examples"][0]["attention"].values()
        assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in weights)
        assert found["decoder"][0]["path"] == "head.decoder.layer"
    page = (output / "report.html").read_text("utf-8")
    assert "The gradient by distance" in page
    assert str(output / "report.html") in capsys.readouterr().out


def test_rows_without_a_target_are_looked_at_too(tmp_path):
    bundle = bundle_of(words_spec(tmp_path), tmp_path / "bundle")
    file = tmp_path / "words.txt"
    file.write_text("abc\nfade\n", "utf-8")
    assert main(["inspect", f"bundle={bundle}", f"input={file}"]) == 0
    found = json.loads((tmp_path / "bundle-inspect" / "inspect.json").read_text("utf-8"))
    assert (found["of"], found["loss"], found["rows"]) == ("output", None, 2)
    assert found["examples"][0]["steps"] == ["a", "b", "c"]


def test_attention_of_a_pooling_is_shown(tmp_path):
    spec = changed(words_spec(tmp_path), head__pooling="attention")
    bundle = bundle_of(spec, tmp_path / "bundle")
    assert inspect.run([f"bundle={bundle}", f"input={spec['source']['test']}"]) == 0
    found = json.loads((tmp_path / "bundle-inspect" / "inspect.json").read_text("utf-8"))
    ((row,),) = found["examples"][0]["attention"].values()
    assert len(row) == len(found["examples"][0]["steps"])


def test_inspect_names_a_wrong_row(tmp_path, capsys):
    bundle = bundle_of(words_spec(tmp_path), tmp_path / "bundle")
    file = tmp_path / "rows.csv"
    file.write_text("word,kind\nab,few\ncd,none\n", "utf-8")
    assert main(["inspect", f"bundle={bundle}", f"input={file}"]) == 2
    error = capsys.readouterr().err
    assert f"{file} line 3" in error
    assert "none" in error
    file.write_text("word,kind\n", "utf-8")
    assert main(["inspect", f"bundle={bundle}", f"input={file}"]) == 2
    assert "no row" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bundle=x"], "input= is missing"),
        (["bundle=x", "input=y.csv", "rows=0"], "rows"),
        (["bundle=x", "input=y.csv", "rows=many"], "rows"),
        (["bundle=x", "imput=y.csv"], "did you mean 'input'"),
    ],
)
def test_wrong_words_of_inspect_are_named(words, message):
    with pytest.raises(ConfigError, match=message):
        inspect.run(words)


def test_a_page_of_something_else_is_not_written_over(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "report.html").write_text("a run's")
    words = ["cell=rnn", "length=3", "hidden_size=2", "rows=1"]
    with pytest.raises(RunError, match=r"report\.html is a page of something else \(gradients\.j"):
        gradients.run([*words, f"output={run}"])
    with pytest.raises(RunError, match="is a file; give a folder"):
        gradients.run([*words, f"output={run / 'report.html'}"])
    rows = tmp_path / "rows.csv"
    rows.write_text("word,kind\na,few\n")
    bundle = bundle_of(words_spec(tmp_path), tmp_path / "bundle")
    with pytest.raises(
        RunError, match=r"page of something else \(inspect\.json is not beside it\)"
    ):
        inspect.run([f"bundle={bundle}", f"input={rows}", f"output={run}"])
    assert (run / "report.html").read_text() == "a run's"


def test_gradients_that_vanish_below_the_least_float_are_drawn(tmp_path):
    words = ["cell=rnn", "length=900", "hidden_size=2", "rows=1", f"output={tmp_path}"]
    assert gradients.run(words) == 0
    curve = json.loads((tmp_path / "gradients.json").read_text("utf-8"))["cells"]["rnn"]["gradient"]
    assert curve[-1] == [900, 0.0]


def test_a_state_that_explodes_is_said_in_one_line(tmp_path, capsys):
    words = ["cell=rnn", "length=300", "hidden_size=4", "rows=1", "cell.activation=exponential"]
    assert main(["gradients", *words, f"output={tmp_path / 'out'}"]) == 2
    assert "error: rnn: the state grows beyond the range of numbers at step 5 of 300; give a" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


def test_gradients_writes_numbers_and_a_page(tmp_path, capsys):
    words = ["cell=rnn,lstm,mgu", "length=30", "hidden_size=5", "rows=2", f"output={tmp_path}"]
    assert main(["gradients", *words]) == 0
    found = json.loads((tmp_path / "gradients.json").read_text("utf-8"))
    assert (found["length"], found["hidden_size"], found["rows"]) == (30, 5, 2)
    assert list(found["cells"]) == ["rnn", "lstm", "mgu"]
    for entry in found["cells"].values():
        assert entry["gradient"][0][0] == 1
        assert entry["gradient"][-1][0] == 30
        assert 0 < entry["memory"]["rate"] < 1
    first = (tmp_path / "report.html").read_bytes()
    assert "half-life" in capsys.readouterr().out
    assert main(["gradients", *words]) == 0
    assert (tmp_path / "report.html").read_bytes() == first


def test_options_of_cells_change_the_curves(tmp_path):
    words = ["cell=lstm,rnn", "length=20", "hidden_size=4", "rows=1", f"output={tmp_path}"]
    assert gradients.run([*words, "cell.kernel_initializer=zeros", "lstm.chrono=20"]) == 0
    first = json.loads((tmp_path / "gradients.json").read_text("utf-8"))["cells"]
    assert gradients.run([*words, "cell.kernel_initializer=zeros"]) == 0
    second = json.loads((tmp_path / "gradients.json").read_text("utf-8"))["cells"]
    assert first["rnn"] == second["rnn"]
    assert first["lstm"]["memory"]["rate"] > second["lstm"]["memory"]["rate"]
    # an RNN at rest with an orthogonal matrix keeps everything
    assert second["rnn"]["memory"] == {
        "half_life": None,
        "rate": pytest.approx(1),
        "reach": pytest.approx(18, abs=0.6),
    }


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["length=3"], ConfigError, "cell= is missing"),
        (["cell=lstmm"], UnknownNameError, "did you mean 'lstm'"),
        (["cell=lstm", "length=none"], ConfigError, "length"),
        (["cell=lstm", "gru.dropout=0.1"], ConfigError, "gru"),
        (["cell=lstm", "cell.dropuot=0.1"], Exception, "did you mean 'dropout'"),
        (["cell=lstm", "cell.dropout"], ConfigError, "expected cell.OPTION=VALUE"),
        (
            ["cell=lstm", "cell.recurrent_initializer={name: orthogonal, gain: 2}"],
            ConfigError,
            "cell.recurrent_initializer: expected JSON or a plain word, got {name: orth",
        ),
    ],
)
def test_wrong_words_of_gradients_are_named(words, error, message):
    with pytest.raises(error, match=message):
        gradients.run(words)
