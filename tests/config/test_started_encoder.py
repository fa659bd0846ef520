"""The encoder of a run that begins with a bundle is the bundle's, but for given words."""

from __future__ import annotations

import json

import pytest
from seqlab.config.started_encoder import started_encoder
from seqlab.errors import BundleError

THEIRS = {
    "cell": {"name": "gru", "hidden_size": 7, "dropout": 0.1},
    "wrappers": [{"name": "stacked", "num_layers": 2}],
    "embedding": {"size": 5, "features": {"text": {"size": 3}}},
    "engine": "loop",
    "dropout": 0.2,
}
OURS = {
    "cell": {"name": "lstm", "hidden_size": 128, "zoneout": 0.3},
    "wrappers": [{"name": "bidirectional"}],
    "embedding": {"size": 64, "dropout": 0.4, "features": {}},
    "engine": "auto",
    "dropout": 0.0,
}


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"encoder": THEIRS}), "utf-8")
    return str(tmp_path)


def encoder_of(bundle, *words, parts=("encoder",), features=("words",)):
    config = {
        "encoder": OURS,
        "start": {"bundle": bundle, "parts": list(parts)},
        "data": {"features": {name: {} for name in features}},
    }
    return started_encoder(config, words)["encoder"]


def test_without_words_it_is_the_bundles(bundle):
    found = encoder_of(bundle, "experiment=mine", "optimizer.lr=0.1")
    embedding = {"size": 5, "features": {"words": {"size": 3}}}
    assert found == {**THEIRS, "engine": "auto", "embedding": embedding}


def test_words_say_more(bundle):
    found = encoder_of(
        bundle, "+encoder.cell.zoneout=0.3", "~encoder.dropout", "encoder.embedding.dropout=0.4"
    )
    assert found["cell"] == {**THEIRS["cell"], "zoneout": 0.3}
    assert found["dropout"] == 0.0
    assert found["embedding"]["dropout"] == 0.4
    chosen = encoder_of(bundle, "cell=lstm", "wrapper=bidirectional")
    assert chosen["cell"] == OURS["cell"]
    assert chosen["wrappers"] == OURS["wrappers"]
    assert chosen["embedding"]["size"] == 5


def test_it_is_the_runs_own_where_the_layers_are_not_taken(bundle):
    assert encoder_of(bundle, parts=["encoder.embedding"]) == OURS
    assert encoder_of(None) == OURS


def test_a_folder_without_a_bundle_is_told(tmp_path):
    with pytest.raises(BundleError, match="is no bundle"):
        encoder_of(str(tmp_path))
    (tmp_path / "bundle").mkdir()
    with pytest.raises(BundleError, match=r"is no bundle; give start=.*/bundle$"):
        encoder_of(str(tmp_path))
    (tmp_path / "config.json").write_text("{}", "utf-8")
    with pytest.raises(BundleError, match="'encoder' is missing"):
        encoder_of(str(tmp_path))
