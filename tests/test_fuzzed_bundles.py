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
from seqlab.errors import SeqlabError

from small_runs import pairs_spec, sentences_spec, untrained, words_spec

pytestmark = pytest.mark.slow

SPECS = {"words": words_spec, "sentences": sentences_spec, "pairs": pairs_spec}
TRIES = 150
VALUES = (
    None,
    True,
    -1,
    10**30,
    float("nan"),
    "",
    "../../etc",
    "\ud800",
    [],
    {},
    [[[[[]]]]],
    {"_target_": "os.system"},
)


@pytest.fixture(scope="module", params=SPECS)
def bundle(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    spec = SPECS[request.param](folder)
    torch.manual_seed(1)
    model, data = untrained(spec)
    return save_bundle(folder / "bundle", model, data.processor, spec)


def outcome(folder):
    """What loading ends in; anything but a bundle or one line of seqlab's own fails the test."""
    try:
        seqlab.load(folder)
    except SeqlabError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < 1500
        return "refused"
    return "loaded"


def tried(bundle, tmp_path, spoil):
    """Counts of what became of ``TRIES`` spoilt copies."""
    counts = {"refused": 0, "loaded": 0}
    for seed in range(TRIES):
        draw = random.Random(seed)  # noqa: S311  # test data
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(bundle, copy)
        said = spoil(copy, draw)
        try:
            counts[outcome(copy)] += 1
        except Exception as error:
            error.add_note(f"seed {seed}: {said}")
            raise
    print(counts)  # noqa: T201  # the record of the long tests
    return counts


def sign(folder, name):
    """Give a file's entry of the manifest its present digest, as whoever changed it would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    content = (folder / name).read_bytes()
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    manifest["files"][name] = entry
    (folder / "manifest.json").write_text(json.dumps(manifest))


def pick(folder, draw, suffix=""):
    return draw.choice(sorted(p for p in folder.iterdir() if p.name.endswith(suffix)))


def test_a_flipped_bit_or_a_cut_is_refused(bundle, tmp_path):
    def spoil(folder, draw):
        path = pick(folder, draw)
        content = bytearray(path.read_bytes())
        place = draw.randrange(len(content))
        if draw.random() < 0.5:
            content[place] ^= 1 << draw.randrange(8)
        else:
            del content[place:]
        path.write_bytes(content)
        return f"{path.name} at {place}"

    counts = tried(bundle, tmp_path, spoil)
    assert counts["refused"] > 0.9 * TRIES, "what loads has a changed note in the manifest"


def nodes(value, found):
    """Every container inside a JSON value, with a key of it."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        found.append((value, key))
        if isinstance(value[key], dict | list):
            nodes(value[key], found)
    return found


def test_signed_json_with_other_values_is_refused_or_loads(bundle, tmp_path):
    def spoil(folder, draw):
        path = pick(folder, draw, ".json")
        content = json.loads(path.read_text())
        container, key = draw.choice(nodes(content, []))
        container[key] = value = draw.choice(VALUES)
        path.write_text(json.dumps(content))
        if path.name != "manifest.json":
            sign(folder, path.name)
        return f"{path.name}: {key!r} = {value!r}"

    counts = tried(bundle, tmp_path, spoil)
    assert sum(counts.values()) == TRIES
    assert counts["refused"] > 0.5 * TRIES


def test_signed_weights_with_flipped_bytes_end_in_one_line_or_a_model(bundle, tmp_path):
    def spoil(folder, draw):
        path = folder / "model.safetensors"
        content = bytearray(path.read_bytes())
        place = draw.randrange(min(len(content), 2000))
        content[place] = draw.randrange(256)
        path.write_bytes(content)
        sign(folder, path.name)
        return f"byte {place} = {content[place]}"

    assert sum(tried(bundle, tmp_path, spoil).values()) == TRIES
