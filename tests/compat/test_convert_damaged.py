"""Damaged and hostile files: one line, whatever is wrong, and no memory taken for it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from seqlab.compat import keras
from seqlab.compat.convert import read_layers, write_layers
from seqlab.compat.keras.files import save_keras
from seqlab.compat.torch import form_of
from seqlab.errors import DataError, ShapeError
from seqlab.testing.formats import damaged
from torch import nn

from damage import damaged_json, tried

STATE = nn.LSTM(3, 4).state_dict()


def written(folder, ending):
    """A sound file or folder of each kind that `convert` reads."""
    path = folder / f"sound{ending}"
    if ending in {".pt", ".pth", ".bin"}:
        torch.save(STATE, path, _use_new_zipfile_serialization=ending != ".pth")
    elif ending == ".safetensors":
        save_file(STATE, path)
    elif ending == "":
        write_layers(path, read_layers(written(folder, ".safetensors"))[0])
    else:
        save_keras(path, [keras.LSTM(4, input_size=3), keras.GRU(2, input_size=4)])
    return path


ENDINGS = (".pt", ".pth", ".bin", ".safetensors", ".keras", ".weights.h5", "")


def refused(path):
    with pytest.raises(DataError) as caught:
        read_layers(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000 + len(str(path))
    assert str(path.name) in str(caught.value)
    return str(caught.value)


def attack(folder, ending, tries, seed):
    """How many damaged copies were refused with one line; the rest were read."""
    sound = written(folder, ending)
    path = folder / f"damaged{ending}"
    if ending == "":
        shutil.copytree(sound, path)
    files = sorted(sound.iterdir()) if ending == "" else [sound]
    counts = Counter()
    for file in files:

        def read(content, file=file):
            (path / file.name if ending == "" else path).write_bytes(content)
            read_layers(path)

        spoil = damaged_json if file.suffix == ".json" else damaged
        counts += tried(read, spoil(file.read_bytes(), tries // len(files), seed), DataError)
        if ending == "":
            shutil.copy(file, path)
    return counts["refused"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_damaged_files_are_one_line(tmp_path, ending):
    assert attack(tmp_path, ending, tries=40, seed=1) > 0


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_many_damaged_files_are_one_line(tmp_path, ending):
    assert attack(tmp_path, ending, tries=400, seed=2) > 0


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".pt", ".keras"])
def test_archives_that_are_sound_around_a_damaged_member(tmp_path, ending):
    path = tmp_path / f"packed{ending}"
    with zipfile.ZipFile(written(tmp_path, ending)) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}

    def read(changed):
        with zipfile.ZipFile(path, "w") as made:
            for name, content in {**members, **changed}.items():
                made.writestr(name, content)
        read_layers(path)

    def changes():
        for name, content in members.items():
            spoil = damaged_json if name.endswith(".json") else damaged
            for changed in spoil(content, 100, seed=3) if content else ():
                yield {name: changed}

    counts = tried(read, changes(), DataError)
    assert counts.total() >= 300
    assert counts["refused"] > 50


TORCH = {
    "ints": {"weight_ih_l0": STATE["weight_ih_l0"].int()},
    "complex": {"weight_hh_l0": STATE["weight_hh_l0"].to(torch.complex64)},
    "float8": {"weight_hh_l0": STATE["weight_hh_l0"].to(torch.float8_e4m3fn)},
    "no dimensions": {"bias_ih_l0": torch.tensor(1.0)},
    "one dimension": {"weight_hh_l0": torch.zeros(16)},
    "empty": {"weight_ih_l0": torch.zeros(16, 0)},
    "sparse": {"weight_ih_l0": STATE["weight_ih_l0"].to_sparse()},
    "meta": {"weight_ih_l0": torch.empty(16, 3, device="meta")},
    "expanded": {"weight_ih_l0": torch.zeros(1, 1).expand(4 * 10**6, 10**6)},
    "far layer": {"weight_ih_l999999999": STATE["weight_ih_l0"]},
    "very far layer": {"weight_ih_l" + "9" * 5000: STATE["weight_ih_l0"]},
    "wide": {"weight_hh_l0": torch.zeros(16, 5)},
}


@pytest.mark.parametrize("change", TORCH)
def test_a_state_dict_with_strange_tensors(tmp_path, change):
    path = tmp_path / "strange.pt"
    torch.save({**STATE, **TORCH[change]}, path)
    refused(path)
    if change != "very far layer":
        with pytest.raises(ShapeError):
            form_of({**STATE, **TORCH[change]})


def test_other_objects_in_a_torch_file(tmp_path):
    path = tmp_path / "objects.pt"
    torch.save({"weight_ih_l0": Path("x")}, path)
    assert "save module.state_dict() instead" in refused(path)
    torch.save([1, 2], path)
    assert "expected a state dict, got list" in refused(path)


def archive(path, config, weights):
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        made.writestr("model.weights.h5", weights)


def edited(path, edit):
    """The archive with its config edited."""
    with zipfile.ZipFile(path) as opened:
        config = json.loads(opened.read("config.json"))
        weights = opened.read("model.weights.h5")
    edit(config)
    changed = path.with_name("edited.keras")
    archive(changed, config, weights)
    return changed


def layer_config(config):
    return config["config"]["layers"][1]["config"]


EDITS = {
    "a list as config": lambda c: c.update(config=[1]),
    "null as config": lambda c: c.update(config=None),
    "a part that is a string": lambda c: c["config"]["layers"].insert(1, "lstm"),
    "a part with null": lambda c: c["config"]["layers"][1].update(config=None),
    "huge units": lambda c: layer_config(c).update(units=10**9),
    "other units": lambda c: layer_config(c).update(units=5),
    "negative units": lambda c: layer_config(c).update(units=-1),
    "unknown option": lambda c: layer_config(c).update(strange=1),
    "a wrong activation": lambda c: layer_config(c).update(activation={"class_name": "Lambda"}),
    "very many cells": lambda c: c["config"]["layers"][1].update(
        class_name="RNN",
        config={
            "cell": {
                "class_name": "StackedRNNCells",
                "config": {
                    "cells": [{"class_name": "GRUCell", "config": {"units": 4}}] * 20_000,
                },
            }
        },
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_keras_config_of_another_form(tmp_path, name):
    refused(edited(written(tmp_path, ".keras"), EDITS[name]))


@pytest.mark.parametrize(
    "config", ["[]", "nonsense", '{"a":' * 5000, "1", '"x"', "null", "[" * 100_000]
)
def test_a_keras_config_that_is_none(tmp_path, config):
    path = tmp_path / "model.keras"
    archive(path, config, b"")
    refused(path)


def test_strange_things_in_a_weights_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    import numpy as np

    path = tmp_path / "strange.weights.h5"

    def null(group):
        group.create_dataset("0", data=h5py.Empty("f4"))

    def long_double(group):
        group.create_dataset("0", data=np.zeros((3, 16), dtype=np.longdouble))

    def named_type(group):
        group["0"] = np.dtype("f4")

    def text(group):
        group.create_dataset("0", data="words")

    def soft_link(group):
        group["0"] = h5py.SoftLink("/elsewhere")

    def external_link(group):
        group["0"] = h5py.ExternalLink("other.h5", "/x")

    def huge(group):
        group.create_dataset("0", shape=(10**6, 10**6), dtype="f4", chunks=(1000, 1000))

    def integers(group):
        group.create_dataset("0", data=np.zeros((3, 16), dtype=np.int32))
        group.create_dataset("1", data=np.zeros((4, 16), dtype=np.int32))

    for make in (
        null, long_double, named_type, text, soft_link, external_link, huge, integers,
    ):  # fmt: skip
        with h5py.File(path, "w") as file:
            make(file.create_group("layers/lstm/cell/vars"))
        refused(path)
    with h5py.File(path, "w") as file:
        file["layers"] = np.dtype("f4")
    refused(path)


def test_a_folder_of_layers_with_sizes_that_are_not_stored(tmp_path):
    path = written(tmp_path, "")
    specs = json.loads((path / "layers.json").read_text())
    (name,) = specs["layers"]
    sound = specs["layers"][name]["spec"]

    def with_spec(spec):
        specs["layers"][name]["spec"] = spec
        (path / "layers.json").write_text(json.dumps(specs))
        return refused(path)

    assert "more layers than" in with_spec({"type": "stacked", "layers": [sound] * 20_000})
    huge = {**sound, "cell": {**sound["cell"], "hidden_size": 10**9}}
    with_spec(huge)
    wide = {**sound, "cell": {**sound["cell"], "hidden_size": 10**6}}
    assert "the spec asks for" in with_spec(wide)
    with_spec({**sound, "input_size": 10**30})
    with_spec([])
    with_spec({"type": "recurrent"})
    nested = sound
    for _ in range(3000):
        nested = {"type": "stacked", "layers": [nested]}
    (path / "layers.json").write_text("{" * 100_000)
    refused(path)
    specs["layers"] = {name: "lstm"}
    (path / "layers.json").write_text(json.dumps(specs))
    refused(path)
