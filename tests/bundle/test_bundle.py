from __future__ import annotations

import ast
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile

import pytest
import seqlab
import torch
from huggingface_hub import ModelCard
from seqlab import plugins
from seqlab.build import build_model
from seqlab.bundle import save_bundle
from seqlab.bundle.card import model_card
from seqlab.errors import DataError, MachineError, OptionError, RunError
from seqlab.heads.classification import ClassificationHead
from spoilt_bundles import one_line_error, rewrite

from forked_shell import ForkedShell
from small_runs import pairs_spec, sentences_spec, words_spec

SPECS = {"words": words_spec, "sentences": sentences_spec, "pairs": pairs_spec}


@pytest.mark.parametrize("name", SPECS)
def test_loaded_model_answers_as_the_saved_one(made, name):
    folder, model, data, spec = made[name]
    loaded = seqlab.load(folder)
    state = loaded.model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    rows = [data.rows("test")[i] for i in range(5)]
    batch = data.processor.collate([data.processor.encode_input(row) for row in rows])
    expected = model.predict(batch)
    for answer, own in zip(loaded.predict(rows, batch_size=2), expected, strict=True):
        for key, value in own.items():
            if isinstance(value, float) or key == "scores":
                assert answer[key] == pytest.approx(value, abs=1e-6)
            else:
                assert answer[key] == value
        if name == "pairs":
            assert answer["text"] == data.processor.decode_target(own["tokens"])
    assert loaded.config["head"] == spec["head"]
    twin = pickle.loads(pickle.dumps(loaded))  # noqa: S301  # made here
    assert twin.predict(rows) == loaded.predict(rows)
    assert not loaded.model.training


def test_contents_of_the_folder(made):
    folder = made["words"][0]
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "README.md",
        "config.json",
        "labels.json",
        "manifest.json",
        "model.safetensors",
        "processor.json",
        "tokenizer.json",
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format"] == 2
    assert manifest["plugins"] == []
    assert manifest["versions"]["seqlab"] == seqlab.__version__
    assert sorted(manifest["files"]) == [name for name in names if name != "manifest.json"]
    for name, entry in manifest["files"].items():
        content = (folder / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        assert entry == {"sha256": digest, "size": len(content)}
    card = (folder / "README.md").read_text()
    for text in ("| test | accuracy | 0.6250 |", "the user's files", "seqlab.load", '"train": 46'):
        assert text in card
    assert "_target_" not in (folder / "config.json").read_text()


@pytest.fixture(scope="module", name="shell")
def _shell():
    with ForkedShell() as shell:
        yield shell


@pytest.mark.parametrize("name", SPECS)
def test_the_cards_example_runs_as_it_is_printed(made, name, tmp_path, shell):
    folder = made[name][0]
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "seqlab"
    assert card.data.tags[-1] == made[name][3]["head"]["name"]
    (code,) = re.findall(r"^```python\n(.*?)^```", card.content, re.MULTILINE | re.DOTALL)
    (tmp_path / "path" / "to" / "this").mkdir(parents=True)
    shutil.copytree(folder, tmp_path / "path" / "to" / "this" / "folder")
    answers = ast.literal_eval(shell.run("python", code, tmp_path))
    assert len(answers) == 1
    assert answers == seqlab.load(folder).predict(example_of(code))


def example_of(code):
    call = ast.parse(code).body[-1].value.args[0]
    return ast.literal_eval(call.args[0])


NUMBERS = {"column": "x", "kind": "numeric"}
WORDS = {"column": "words", "kind": "tokens"}


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"x": NUMBERS}, [[0.0, 0.0]] * 3),
        ({"x": NUMBERS, "w": WORDS}, {"x": [[0.0, 0.0]] * 3, "words": ["some", "words"]}),
        ({"w": WORDS}, ["some", "words"]),
        ({"t": {"column": "t"}}, "some text"),
    ],
)
def test_the_cards_example_has_the_form_of_the_features(features, expected):
    config = {
        "data": {"features": features},
        "info": {"features": [{"name": name, "size": 2} for name in features]},
        "encoder": {"cell": {"name": "gru"}},
        "head": {"name": "regression"},
    }
    assert f"model.predict([{expected!r}])" in model_card(config, {}, {}, 10)


def test_predict_keeps_order_and_takes_all_forms_of_input(made):
    words = seqlab.load(made["words"][0])
    inputs = ["abc", "", "ffffff", {"word": "a"}, "abc"]
    answers = words.predict(inputs, batch_size=2)
    singly = [words.predict(value)[0] for value in inputs]
    assert [answer["label"] for answer in answers] == [answer["label"] for answer in singly]
    for answer, single in zip(answers, singly, strict=True):
        assert answer["scores"] == pytest.approx(single["scores"], abs=1e-6)
    assert words.predict([]) == []
    sentences = seqlab.load(made["sentences"][0])
    assert len(sentences.predict([["the", "ann"]])[0]["tags"]) == 2
    assert sentences.predict("the ann") == sentences.predict([["the", "ann"]])


def test_predict_options_are_the_heads(made):
    pairs = seqlab.load(made["pairs"][0])
    assert len(pairs.predict("xyz", max_length=2)[0]["tokens"]) <= 2
    beam = pairs.predict("xyz", search={"name": "beam", "width": 3})[0]
    assert beam["score"] >= pairs.predict("xyz")[0]["score"] - 1e-6
    with pytest.raises(OptionError, match="no option 'widht'"):
        pairs.predict("xyz", widht=3)
    with pytest.raises(OptionError, match="batch_size"):
        pairs.predict("xyz", batch_size=0)
    with pytest.raises(DataError, match="input 2"):
        pairs.predict(["xyz", 5])


def test_float64_weights_stay_float64(made, tmp_path):
    _, _, data, spec = made["words"]
    model = build_model(spec, data.info).double()
    save_bundle(tmp_path / "double", model, data.processor, spec)
    loaded = seqlab.load(tmp_path / "double")
    assert next(loaded.model.parameters()).dtype == torch.float64
    state = loaded.model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert len(loaded.predict(["abc"])) == 1


def test_saving_again_replaces_and_a_failure_keeps(made, tmp_path, monkeypatch):
    _, model, data, spec = made["words"]
    folder = tmp_path / "bundle"
    save_bundle(folder, model, data.processor, spec)
    (folder / "stray.json").write_text("{}")
    with pytest.raises(RunError, match=r"bundle has stray\.json beside the bundle, which would be"):
        save_bundle(folder, model, data.processor, spec)
    (folder / "stray.json").unlink()
    save_bundle(folder, model, data.processor, spec)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def broken(_folder):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(data.processor, "save", broken)
    with pytest.raises(MachineError, match=r"cannot write .*bundle: no space left"):
        save_bundle(folder, model, data.processor, spec)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot write"):
        save_bundle(tmp_path / "file" / "bundle", model, data.processor, spec)


def test_missing_plugin_is_named_with_its_distribution(made, tmp_path, monkeypatch):
    _, _, data, spec = made["words"]

    @seqlab.register("head", "outside")
    class OutsideHead(ClassificationHead):
        pass

    try:
        spec = {**spec, "head": {"name": "outside"}}
        model = build_model(spec, data.info)
        save_bundle(tmp_path / "bundle", model, data.processor, spec)
        seqlab.load(tmp_path / "bundle")
    finally:
        seqlab.registry.unregister("head", "outside")
    entry = {"kind": "head", "name": "outside", "distribution": "seqlab-out", "version": "1.2"}
    rewrite(tmp_path / "bundle", "manifest.json", lambda m: m.update(plugins=[entry]))
    message = one_line_error(tmp_path / "bundle")
    assert "needs the head 'outside' of seqlab-out 1.2, which is not installed" in message
    assert message.endswith("pip install seqlab-out")
    real, problem = plugins.declared, "it requires seqlab>=7, and this is seqlab 0.1.0"
    there = plugins.Declaration("head", "outside", "seqlab-out", "1.3", "out:Head", problem)
    with monkeypatch.context() as patched:
        patched.setattr(plugins, "declared", lambda kind: {**real(kind), "outside": there})
        message = one_line_error(tmp_path / "bundle")
    assert message.endswith(
        f"of seqlab-out 1.2; seqlab-out 1.3 is installed and cannot be used: {problem}"
    )
    bad = {**entry, "distribution": "x; rm -rf ~"}
    rewrite(tmp_path / "bundle", "manifest.json", lambda m: m.update(plugins=[bad, 5]))
    assert "rm -rf" not in one_line_error(tmp_path / "bundle")


def test_paths_that_are_no_bundles(tmp_path, monkeypatch):
    assert "there is no such folder" in one_line_error(tmp_path / "nothing")
    assert "there is no such folder" in one_line_error("./nothing")
    assert "there is no such folder" in one_line_error("a/b/c")
    assert "manifest.json is missing" in one_line_error(tmp_path)
    (tmp_path / "rows.csv").touch()
    assert one_line_error(tmp_path / "rows.csv").endswith("it is a file, and a bundle is a folder")
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as packed:
        packed.writestr("manifest.json", "{}")
    assert one_line_error(tmp_path / "bundle.zip").endswith("a bundle is a folder; unpack it first")
    run = tmp_path / "run"
    (run / "bundle").mkdir(parents=True)
    (run / "bundle" / "manifest.json").touch()
    assert one_line_error(run).endswith(f"{run} is a run, and its bundle is {run / 'bundle'}")
    import huggingface_hub

    asked = []

    def unreachable(name, **options):
        asked.append((name, options))
        raise OSError("no network\nmany lines")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    message = one_line_error("someone/model")
    assert "Hugging Face Hub did not give one (no network)" in message
    [(name, options)] = asked
    assert name == "someone/model"
    assert set(options["allow_patterns"]) == {"*.json", "model.safetensors", "README.md"}


def test_bundle_from_the_hub(made, monkeypatch):
    import huggingface_hub

    folder = str(made["words"][0])
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: folder)
    assert len(seqlab.load("someone/model").predict(["abc"])) == 1


def test_loading_needs_neither_lightning_nor_hydra_nor_datasets(made, tmp_path):
    script = textwrap.dedent("""
        import sys
        import seqlab
        print(seqlab.load(sys.argv[1]).predict(["abc"])[0]["label"])
        heavy = {"pytorch_lightning", "lightning", "hydra", "omegaconf", "datasets", "pandas"}
        print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(made["words"][0])],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    label, heavy = done.stdout.splitlines()
    assert label in {"few", "many"}
    assert heavy == "[]"
