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

import pytest
import seqlab
import torch
from huggingface_hub import ModelCard
from seqlab.build import build_model
from seqlab.bundle import save_bundle
from seqlab.bundle.card import model_card
from seqlab.errors import BundleError, DataError, MachineError, OptionError
from seqlab.heads.classification import ClassificationHead

from small_runs import pairs_spec, sentences_spec, untrained, words_spec

SPECS = {"words": words_spec, "sentences": sentences_spec, "pairs": pairs_spec}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One bundle of each task: folder, model, data, spec."""
    found = {}
    for name, make in SPECS.items():
        folder = tmp_path_factory.mktemp(name)
        spec = make(folder)
        torch.manual_seed(1)
        model, data = untrained(spec)
        save_bundle(
            folder / "bundle",
            model,
            data.processor,
            spec,
            metrics={"test": {"accuracy": 0.625}},
            data_identity=data.source.describe(),
        )
        found[name] = (folder / "bundle", model, data, spec)
    return found


@pytest.fixture
def bundle(made, tmp_path):
    """A copy of the bundle of words, to be spoilt."""
    return shutil.copytree(made["words"][0], tmp_path / "bundle")


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
    assert manifest["format"] == 1
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


@pytest.mark.parametrize("name", SPECS)
def test_the_cards_example_runs_as_it_is_printed(made, name, tmp_path):
    folder = made[name][0]
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "seqlab"
    assert card.data.tags[-1] == made[name][3]["head"]["name"]
    (code,) = re.findall(r"^```python\n(.*?)^```", card.content, re.MULTILINE | re.DOTALL)
    (tmp_path / "path" / "to" / "this").mkdir(parents=True)
    shutil.copytree(folder, tmp_path / "path" / "to" / "this" / "folder")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = ast.literal_eval(done.stdout)
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
    save_bundle(folder, model, data.processor, spec)
    assert not (folder / "stray.json").exists()
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


def rewrite(folder, name, change):
    """Change a JSON file and make the manifest agree, as an attacker would."""
    path = folder / name
    value = json.loads(path.read_text())
    replaced = change(value)
    value = replaced if isinstance(replaced, list) else value
    path.write_text(json.dumps(value))
    if name != "manifest.json":
        manifest = json.loads((folder / "manifest.json").read_text())
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"][name] = {"sha256": digest, "size": len(content)}
        (folder / "manifest.json").write_text(json.dumps(manifest))


def one_line_error(folder):
    with pytest.raises(BundleError) as caught:
        seqlab.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("index", [500, 10**9, 3, -1])
@pytest.mark.parametrize(
    ("task", "file"),
    [
        ("words", "tokenizer.json"),
        ("pairs", "target_tokenizer.json"),
        ("sentences", "tokenizer.json"),
    ],
)
def test_ids_of_a_tokenizer_that_are_not_a_range_are_refused(made, task, file, index, tmp_path):
    folder = shutil.copytree(made[task][0], tmp_path / "bundle")

    def change(content):
        vocab = content["model"]["vocab"]
        vocab[max(vocab, key=vocab.get)] = index

    rewrite(folder, file, change)
    assert re.search(rf"{file}: the ids of its \d+ entries must be 0 to", one_line_error(folder))


def test_entries_beyond_the_embedding_are_refused(bundle):
    def change(content):
        vocab = content["model"]["vocab"]
        vocab["another"] = len(vocab)

    rewrite(bundle, "tokenizer.json", change)
    assert "do not belong together" in one_line_error(bundle)


FILES = ["README.md", "config.json", "labels.json", "model.safetensors", "processor.json"]


@pytest.mark.parametrize("name", [*FILES, "tokenizer.json"])
def test_one_changed_bit_is_found(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    assert f"{name} was changed" in one_line_error(bundle)


@pytest.mark.parametrize("name", FILES)
def test_cut_and_missing_files_are_found(bundle, name):
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[:-3])
    assert f"{name}: {len(content) - 3} bytes, and the manifest says" in one_line_error(bundle)
    (bundle / name).unlink()
    assert f"{name} is missing" in one_line_error(bundle)


def test_unlisted_files_that_could_be_read_are_refused(bundle):
    (bundle / ".gitattributes").write_text("")
    (bundle / "notes.txt").write_text("hello")
    (bundle / "code.py").write_text("raise SystemExit")
    seqlab.load(bundle)
    (bundle / "tokenizer.text.json").write_text("{}")
    assert "does not belong to the bundle" in one_line_error(bundle)


@pytest.mark.parametrize("name", ["../secret.json", "/etc/passwd", "a/b.json", "..", "x\ny", ""])
def test_manifest_cannot_point_outside(bundle, name):
    (bundle.parent / "secret.json").write_text("{}")
    entry = {"sha256": hashlib.sha256(b"{}").hexdigest(), "size": 2}
    rewrite(bundle, "manifest.json", lambda m: m["files"].update({name: entry}))
    assert "is not a plain file name" in one_line_error(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format=2), "format 2, and this seqlab reads format 1"),
        (lambda m: m.update(format=None), "format None"),
        (lambda m: m.pop("files"), "expected an object with 'files'"),
        (lambda m: m["files"].pop("config.json"), "'config.json' is not listed"),
        (lambda m: m["files"].pop("labels.json"), "labels.json does not belong"),
        (lambda m: m["files"].update({"config.json": 5}), "expected size and sha256"),
        (lambda _: [1, 2], "object"),
    ],
)
def test_wrong_manifests(bundle, change, message):
    rewrite(bundle, "manifest.json", change)
    assert message in one_line_error(bundle)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_manifest_that_is_no_json(bundle, content):
    (bundle / "manifest.json").write_bytes(content)
    assert "manifest.json: not JSON" in one_line_error(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["encoder"]["cell"].update(name="os.system"), "os.system"),
        (lambda c: c["encoder"]["cell"].update(_target_="os.system"), "_target_"),
        (lambda c: c["head"].update(name="builtins.eval"), "builtins.eval"),
        (lambda c: c["encoder"]["cell"].update(hidden_size=7), "tensor 'encoder"),
        (lambda c: c["encoder"]["cell"].update(hidden_size=2**20), "tensor 'encoder"),
        (lambda c: c["encoder"]["cell"].update(hidden_size=2**40), "cannot be rebuilt"),
        (lambda c: c["encoder"].update(wrappers=[]), "tensor 'encoder"),
        (lambda c: c["info"].pop("target"), "'info' does not describe"),
        (lambda c: c["info"]["features"][0].update(size=2**40), "tensor 'encoder"),
        (lambda c: c["info"]["target"].update(names=["x", "y"]), "do not belong together"),
        (lambda c: c.update(encoder="lstm"), "cannot be rebuilt"),
        (lambda _: [], "expected a JSON object"),
    ],
)
def test_configs_that_ask_for_something_else(bundle, change, message):
    rewrite(bundle, "config.json", change)
    assert message in one_line_error(bundle)


def test_weights_that_are_no_safetensors(bundle):
    (bundle / "model.safetensors").write_bytes(b"\x80\x04K\x01.")
    manifest = json.loads((bundle / "manifest.json").read_text())
    digest = hashlib.sha256(b"\x80\x04K\x01.").hexdigest()
    manifest["files"]["model.safetensors"] = {"sha256": digest, "size": 5}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert "model.safetensors cannot be read" in one_line_error(bundle)


def test_missing_plugin_is_named_with_its_distribution(made, tmp_path):
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
    bad = {**entry, "distribution": "x; rm -rf ~"}
    rewrite(tmp_path / "bundle", "manifest.json", lambda m: m.update(plugins=[bad, 5]))
    assert "rm -rf" not in one_line_error(tmp_path / "bundle")


def test_paths_that_are_no_bundles(tmp_path, monkeypatch):
    assert "there is no such folder" in one_line_error(tmp_path / "nothing")
    assert "there is no such folder" in one_line_error("./nothing")
    assert "there is no such folder" in one_line_error("a/b/c")
    assert "manifest.json is missing" in one_line_error(tmp_path)
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
