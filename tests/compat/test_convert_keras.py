"""Keras's files, read and written, against live Keras."""

from __future__ import annotations

import json
import zipfile

import h5py
import numpy as np
import pytest
import seqlab
import torch
from seqlab.compat import keras as ours
from seqlab.compat.convert import read_layers, write_layers
from seqlab.compat.folder import load_layers
from seqlab.compat.keras.files import load_keras
from seqlab.compat.keras.transfer import to_seqlab_layer
from seqlab.errors import ConfigError, DataError, OptionError

# Keras 3.15.1 hands numpy 2 an array protocol without copy=
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def model(keras):
    """A model with every kind of recurrent layer, all weights random."""
    layers = keras.layers
    built = keras.Sequential(
        [
            keras.Input((6, 3)),
            layers.Masking(name="masking"),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both"),
            layers.GRU(5, return_sequences=True, reset_after=False, name="before"),
            layers.GRU(3, return_sequences=True, activation="elu", name="mine"),
            layers.RNN(
                layers.StackedRNNCells([layers.LSTMCell(4), layers.LSTMCell(3), layers.GRUCell(2)]),
                return_sequences=True,
                name="cells",
            ),
            layers.SimpleRNN(
                4, use_bias=False, return_sequences=True, go_backwards=True, name="back"
            ),
            layers.Dense(2, name="dense"),
        ]
    )
    rng = np.random.default_rng(4)
    built.set_weights([0.5 * rng.standard_normal(w.shape) for w in built.get_weights()])
    return built


def outputs_of(model, x):
    found = {}
    value = x
    for layer in model.layers:
        source = value
        value = layer(value)
        found[layer.name] = (source, value)
    return found


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_layers_of_a_file(keras, model, tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    model.save(path) if suffix == ".keras" else model.save_weights(path)
    layers, others = read_layers(path)
    names = [layer.name for layer in model.layers if layer.name != "masking"]
    assert "dense" in others
    values = outputs_of(model, torch.randn(2, 6, 3))
    found = {part.name: part for part in layers}
    expected_names = names[:-1]
    if suffix == ".weights.h5":  # the order of stacked cells is not in the file
        expected_names = sorted(set(expected_names) - {"cells"})
    assert sorted(found) == sorted(expected_names)
    for name, part in found.items():
        assert part.weights == 0
        assert part.outputs < 1e-14
        source, expected = values[name]
        output, _ = part.layer(source)
        if part.layer.reverse:
            expected = expected.flip(1)
        if suffix == ".keras" or name not in {"mine", "back"}:  # no config: other options
            torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


def test_a_folder_keeps_everything(model, tmp_path):
    model.save(tmp_path / "model.keras")
    layers, _ = read_layers(tmp_path / "model.keras")
    assert write_layers(tmp_path / "folder", layers) == 0
    again, others = read_layers(tmp_path / "folder")
    assert others == []
    for first, second in zip(layers, again, strict=True):
        assert (first.name, first.spec) == (second.name, second.spec)
        assert second.outputs < 1e-14
        for a, b in zip(first.layer.parameters(), second.layer.parameters(), strict=True):
            assert torch.equal(a, b)


CASES = {
    "lstm": lambda lib: lib.LSTM(4, activation="elu", recurrent_activation="hard_sigmoid"),
    "gru": lambda lib: lib.GRU(4, reset_after=False, kernel_regularizer="l2"),
    "rnn": lambda lib: lib.SimpleRNN(4, use_bias=False, go_backwards=True),
    "both": lambda lib: lib.Bidirectional(lib.GRU(4, return_sequences=True), "sum"),
}


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
@pytest.mark.parametrize("name", CASES)
def test_keras_loads_what_is_written(keras, tmp_path, name, suffix):
    mine = CASES[name](ours)
    x = torch.randn(2, 5, 3)
    mine(x)
    layer = to_seqlab_layer(mine)
    model = keras.Sequential([keras.Input((5, 3)), CASES[name](keras.layers)])
    model.save(tmp_path / "source.keras")
    ((source,), _) = read_layers(tmp_path / "source.keras")
    written = source._replace(layer=layer)
    path = tmp_path / f"out{suffix}"
    assert write_layers(path, [written]) == 0
    if suffix == ".keras":
        loaded = keras.saving.load_model(path)
    else:
        loaded = keras.Sequential([keras.Input((5, 3)), CASES[name](keras.layers)])
        loaded.load_weights(path)
    output = loaded(x)
    expected = mine(x) if output.dim() == 2 else layer(x)[0]
    if output.dim() == 3 and layer.reverse:
        expected = expected.flip(1)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


def test_from_torch_to_keras_and_back(keras, tmp_path):
    module = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)
    torch.save(module.state_dict(), tmp_path / "a.pt")
    layers, _ = read_layers(tmp_path / "a.pt")
    assert write_layers(tmp_path / "b.keras", layers) == 0
    x = torch.randn(2, 5, 3)
    loaded = keras.saving.load_model(tmp_path / "b.keras")
    torch.testing.assert_close(loaded(x), module(x)[0], rtol=1e-5, atol=1e-5)


def test_what_keras_does_not_have_is_refused(tmp_path):
    def part(**cell):
        spec = {"type": "recurrent", "input_size": 3, "cell": {"hidden_size": 4, **cell}}
        from seqlab.compat.convert import Converted
        from seqlab.compat.layer_spec import build_layer

        return Converted("a", spec, build_layer(spec), 0.0, None)

    with pytest.raises(OptionError, match="has no argument 'layer_norm'"):
        write_layers(tmp_path / "a.keras", [part(name="lstm", layer_norm=True)])
    with pytest.raises(OptionError, match="no layer with the cell 'min_gru'"):
        write_layers(tmp_path / "a.keras", [part(name="min_gru")])
    with pytest.raises(ConfigError, match="takes one layer; choose it with layer=NAME of a, a"):
        write_layers(tmp_path / "a.keras", [part(name="gru")] * 2)
    assert not list(tmp_path.iterdir())


def rewrite(source, target, **members):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if members.get(name, b"") is not None:
                new.writestr(name, members.get(name, old.read(name)))


def test_archives_that_are_not_what_they_should_be(model, tmp_path):
    good, bad = tmp_path / "good.keras", tmp_path / "bad.keras"
    model.save(good)
    with zipfile.ZipFile(good) as archive:
        config = json.loads(archive.read("config.json"))

    def refused(message, **members):
        rewrite(good, bad, **members)
        with pytest.raises(DataError, match=message) as caught:
            load_keras(bad)
        assert "\n" not in str(caught.value)

    refused("config.json: not JSON", **{"config.json": b"{"})
    refused("config.json must be an object", **{"config.json": b"[]"})
    refused("not that of a Sequential, Functional model", **{"config.json": b'{"class_name": 3}'})
    refused("the member model.weights.h5 is missing", **{"model.weights.h5": None})
    refused("unpacks to 200 times its size", **{"config.json": b" " * (30 << 20)})
    refused("not an HDF5", **{"model.weights.h5": b"no"})
    lstm = config["config"]["layers"][2]["config"]["layer"]["config"]
    lstm["units"] = 5
    refused(r"both: .*must be \(3, 20\), got \(3, 16\)", **{"config.json": json.dumps(config)})
    lstm["units"], lstm["activation"] = 4, "os.system"
    refused("both: .*unknown activation", **{"config.json": json.dumps(config)})


def test_weights_files_with_links_or_objects(tmp_path):
    path = tmp_path / "a.weights.h5"

    def refused(message):
        with pytest.raises(DataError, match=message):
            load_keras(path)

    with h5py.File(path, "w") as file:
        file["layers/lstm/cell/vars"] = h5py.SoftLink("/elsewhere")
    refused("is a link, and links are not followed")
    with h5py.File(path, "w") as file:
        file["layers/lstm"] = h5py.ExternalLink("/etc/passwd", "/")
    refused("is a link, and links are not followed")
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/lstm/cell/vars/0", (10**6, 10**6), "f4", chunks=(10, 10))
    refused("unpacks to 200 times its size")
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/lstm/cell/vars/0", data=["a"], dtype=h5py.string_dtype())
    refused("is not a plain array of numbers")
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/lstm/cell/vars/0", data=np.zeros((2, 7)))
        file.create_dataset("layers/lstm/cell/vars/1", data=np.zeros((2, 7)))
    refused("has not 1, 3 or 4 gates")


def test_a_folder_that_was_tampered_with(model, tmp_path):
    model.save(tmp_path / "model.keras")
    layers, _ = read_layers(tmp_path / "model.keras")
    folder = tmp_path / "folder"
    write_layers(folder, layers)
    text = json.loads((folder / "layers.json").read_text())

    def refused(message):
        (folder / "layers.json").write_text(json.dumps(text))
        with pytest.raises(DataError, match=message) as caught:
            load_layers(folder)
        assert "\n" not in str(caught.value)

    mine = text["layers"]["mine"]
    mine["spec"]["cell"]["name"] = "os.system"
    refused("mine: .*unknown cell 'os.system'")
    mine["spec"]["cell"] |= {"name": "gru", "hidden_size": 9}
    refused("mine: tensor cell.bias is \\(9,\\), and the spec asks")
    mine["dtype"] = "load"
    refused("dtype: expected one of")
    mine["spec"] = {"type": "recurrent", "_target_": "os.system"}
    refused("wrong: _target_, cell, input_size|dtype")
    text["format"] = 2
    refused("expected format 1")
    assert seqlab.__version__
