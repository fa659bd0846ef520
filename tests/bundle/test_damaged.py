"""Damaged and forged bundles are refused in one line."""

from __future__ import annotations

import hashlib
import json
import re
import shutil

import pytest
import seqlab
from spoilt_bundles import one_line_error, rewrite


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
        (lambda m: m.update(format=3), "format 3, and this seqlab reads formats 1 and 2; install"),
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


BOTH, MANY = {"name": "bidirectional"}, {"name": "stacked", "num_layers": 10**7}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["encoder"]["cell"].update(name="os.system"), "os.system"),
        (lambda c: c["encoder"]["cell"].update(_target_="os.system"), "_target_"),
        (lambda c: c["head"].update(name="builtins.eval"), "builtins.eval"),
        (lambda c: c["encoder"]["cell"].update(hidden_size=7), "tensor 'encoder"),
        (lambda c: c["encoder"]["cell"].update(hidden_size=2**20), "tensor 'encoder"),
        (lambda c: c["encoder"]["cell"].update(hidden_size=2**40), "larger than any memory"),
        (lambda c: c["encoder"]["cell"].update(hidden_size=10**30), "larger than any memory"),
        (lambda c: c["encoder"].update(wrappers=[BOTH] * 40), "asks for more tensors than the"),
        (lambda c: c["encoder"].update(wrappers=[MANY]), "asks for more tensors than the"),
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
