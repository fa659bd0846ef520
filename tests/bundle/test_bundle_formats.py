"""Bundles of every format that was ever written load, and answer as they did."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
import seqlab
import torch
from seqlab import plugins
from seqlab.bundle import formats, manifest
from seqlab.bundle.formats import FORMAT, MIGRATIONS
from spoilt_bundles import rewrite

FROZEN = Path(__file__).parent / "frozen"
FOLDERS = sorted(FROZEN.iterdir())


def format_of(folder):
    return json.loads((folder / "manifest.json").read_text("utf-8"))["format"]


def test_every_format_has_a_way_to_this_one_and_a_frozen_bundle():
    assert sorted(MIGRATIONS) == list(range(1, FORMAT))
    assert {format_of(folder) for folder in FOLDERS} == set(range(1, FORMAT + 1))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_frozen_bundles_answer_as_they_did(folder):
    trained = seqlab.load(folder)
    expected = json.loads((folder / "expected.txt").read_text("utf-8"))
    found = trained.predict(expected["inputs"])
    for mine, theirs in zip(found, expected["answers"], strict=True):
        assert {key: mine[key] for key in ("label", "tags", "text") if key in mine} == {
            key: theirs[key] for key in ("label", "tags", "text") if key in theirs
        }
        scores = [
            torch.tensor(answer.get("scores", answer.get("score"))) for answer in (mine, theirs)
        ]
        torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-5)


def test_a_bundle_of_an_earlier_format_is_read_by_the_steps_to_this_one(tmp_path, monkeypatch):
    folder = shutil.copytree(FROZEN / "format-1-label", tmp_path / "bundle")

    def second(contents):
        contents.config["head"]["name"] = contents.config["head"].pop("called")
        return contents

    def first(contents):
        contents.config["head"]["called"] = contents.config["head"].pop("name")
        return MIGRATIONS[1](contents)

    for module in (formats, manifest):
        monkeypatch.setattr(module, "FORMAT", 3)
    monkeypatch.setattr(formats, "MIGRATIONS", {1: first, 2: second})
    assert seqlab.load(folder).manifest["format"] == 3
    monkeypatch.setattr(formats, "MIGRATIONS", {})
    with pytest.raises(seqlab.BundleError, match="format 1, and this seqlab reads format 3"):
        seqlab.load(folder)


def test_a_plugin_of_another_version_is_told(tmp_path, monkeypatch):
    folder = shutil.copytree(FROZEN / "format-1-label", tmp_path / "bundle")
    entry = {"kind": "cell", "name": "gru", "distribution": "seqlab-out", "version": "1.2"}
    rewrite(folder, "manifest.json", lambda m: m.update(plugins=[entry]))
    owners = {"gru": ("seqlab-out", "1.3")}
    monkeypatch.setattr(manifest.registry, "owner_of", lambda _, name: owners[name])
    with pytest.warns(UserWarning, match=r"made with seqlab-out 1\.2, and 1\.3 is installed"):
        seqlab.load(folder)
    owners["gru"] = ("other", "1.2")
    with pytest.warns(UserWarning, match="'gru' was that of seqlab-out, and is that of other now"):
        seqlab.load(folder)
    owners["gru"] = ("seqlab-out", "1.2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seqlab.load(folder)
    assert plugins.BUILT_IN == "seqlab"
