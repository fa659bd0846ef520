from __future__ import annotations

import shutil

import pytest
import torch
from seqlab.bundle import save_bundle

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
