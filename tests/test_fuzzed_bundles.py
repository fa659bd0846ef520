"""Damaged and hostile bundles: each is refused in one line, or loads as a bundle."""

from __future__ import annotations

import hashlib
import json
import random
import shutil

import pytest
import seqlab
import torch
from seqlab.bundle import save_bundle
from seqlab.testing.formats import damaged

from damage import damaged_json, tried
from small_runs import pairs_spec, sentences_spec, series_spec, untrained, words_spec

pytestmark = pytest.mark.slow

SPECS = {
    "words": words_spec,
    "sentences": sentences_spec,
    "pairs": pairs_spec,
    "series": series_spec,
}
TRIES = 300


@pytest.fixture(scope="module", params=SPECS)
def bundle(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    spec = SPECS[request.param](folder)
    torch.manual_seed(1)
    model, data = untrained(spec)
    return save_bundle(folder / "bundle", model, data.processor, spec)


@pytest.fixture
def load_with(bundle, tmp_path):
    """Load a copy of the bundle with another content of one file, which is signed if asked."""

    def load(changed, *, signed):
        name, content = changed
        folder = tmp_path / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(bundle, folder)
        (folder / name).write_bytes(content)
        if signed and name != "manifest.json":
            sign(folder, name)
        trained = seqlab.load(folder)
        trained.predict([])

    return load


def sign(folder, name):
    """Give a file's entry of the manifest its present digest, as whoever changed it would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    content = (folder / name).read_bytes()
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    manifest["files"][name] = entry
    (folder / "manifest.json").write_text(json.dumps(manifest))


def spread(bundle, suffix, spoil):
    """``TRIES`` pairs of a file's name and a spoilt content, over all files of an ending."""
    files = sorted(path for path in bundle.iterdir() if path.name.endswith(suffix))
    for number, path in enumerate(files):
        count = len(range(number, TRIES, len(files)))
        for content in spoil(path.read_bytes(), count, number):
            yield path.name, content


def test_a_flipped_bit_or_a_cut_is_refused(bundle, load_with):
    def spoil(content, count, seed):
        draw = random.Random(seed)  # noqa: S311 - test data
        for _ in range(count):
            place = draw.randrange(len(content))
            flipped = bytes([content[place] ^ 1 << draw.randrange(8)])
            rest = flipped + content[place + 1 :] if draw.random() < 0.5 else b""
            yield content[:place] + rest

    counts = tried(lambda new: load_with(new, signed=False), spread(bundle, "", spoil))
    assert counts.total() == TRIES
    assert counts["refused"] > 0.9 * TRIES, "what loads has a changed note in the manifest"


def test_signed_json_is_refused_or_loads(bundle, load_with):
    contents = spread(bundle, ".json", damaged_json)
    counts = tried(lambda new: load_with(new, signed=True), contents)
    assert counts.total() == TRIES
    assert counts["refused"] > 0.5 * TRIES


def test_signed_weights_are_refused_or_load(bundle, load_with):
    def header(content, count, seed):
        for changed in damaged(content[:2000], count, seed):
            yield changed + content[2000:]

    contents = spread(bundle, ".safetensors", header)
    assert tried(lambda new: load_with(new, signed=True), contents)["refused"] > 0.5 * TRIES
