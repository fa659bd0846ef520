"""Every cell, wrapper and merge travels: by pickle, copies, torch, joblib, to a new process."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys

import joblib
import pytest
import seqlab
import torch
from seqlab.layers.base import Layer
from seqlab.wrappers.base import LayerFactory

WIDTH = 4
X = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(1))
OPTIONS = {
    "activation": {"name": "leaky_relu", "negative_slope": 0.1},
    "kernel_initializer": {"name": "random_normal", "stddev": 0.1},
    "kernel_regularizer": "l2",
    "recurrent_constraint": "max_norm",
    "activity_regularizer": {"name": "l1", "l1": 0.1},
    "zoneout": 0.1,
    "dropout": 0.1,
    "recurrent_dropout": 0.1,
    "layer_norm": True,
    "proj_size": 3,
}


def layers() -> dict[str, Layer]:
    """One layer for everything registered that a layer can hold."""
    made: dict[str, Layer] = {}
    for name in seqlab.available("cell"):
        if name == "gru_d":  # its input is in three parts
            continue
        made[name] = seqlab.Recurrent(seqlab.get("cell", name)(WIDTH, WIDTH), engine="loop")
    for name in ("loop", "fused", "compiled"):
        made[f"lstm {name}"] = seqlab.LSTM(WIDTH, WIDTH, engine=name)
    made["options"] = seqlab.LSTM(WIDTH, WIDTH, peepholes=True, chrono=9, **OPTIONS)
    made["two products"] = seqlab.GRU(WIDTH, WIDTH, reset_after=False, untied_dropout=True)
    for name in seqlab.available("wrapper"):
        wrapper = seqlab.get("wrapper", name)()
        made[name] = LayerFactory({"name": "gru", "hidden_size": WIDTH}, (wrapper,))(WIDTH)
    for name in seqlab.available("merge"):
        made[f"merge {name}"] = seqlab.Bidirectional(seqlab.GRU(WIDTH, WIDTH), name)
    return made


LAYERS = layers()


def by_torch(layer):
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def by_joblib(layer):
    buffer = io.BytesIO()
    joblib.dump(layer, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


WAYS = {
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),  # noqa: S301  # made here
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "torch": by_torch,
    "joblib": by_joblib,
}


def outputs(layer):
    output, state = layer.eval()(X)
    parts = output if isinstance(output, tuple) else (output,)
    return torch.cat([*parts, layer.final_output(state).unsqueeze(1).expand(-1, 5, -1)], -1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LAYERS)
def test_the_round_trip_changes_nothing(name, way):
    layer = LAYERS[name]
    if "compiled" in name and layer.explain(X).engine.name != "compiled":
        pytest.skip("there is no compiler here")
    expected = outputs(layer)
    layer.train()(X)  # a layer that has run keeps nothing that cannot travel
    twin = WAYS[way](layer)
    assert type(twin) is type(layer)
    assert twin.training
    assert torch.equal(outputs(twin), expected)
    assert list(twin.state_dict()) == list(layer.state_dict())


NEW_PROCESS = """
import pickle, sys, torch
with open(sys.argv[1], "rb") as file:
    x, layers = pickle.load(file)
results = {}
for name, layer in layers.items():
    output = layer(x)[0]
    results[name] = torch.cat(output, -1) if isinstance(output, tuple) else output
with open(sys.argv[1], "wb") as file:
    pickle.dump({k: v.detach() for k, v in results.items()}, file)
"""


def test_a_new_process_that_has_imported_nothing_gives_the_same_numbers(tmp_path):
    path = tmp_path / "layers.pickle"
    sent = {name: layer.eval() for name, layer in LAYERS.items()}
    with path.open("wb") as file:
        pickle.dump((X, sent), file)
    subprocess.run([sys.executable, "-c", NEW_PROCESS, str(path)], check=True, timeout=240)
    with path.open("rb") as file:
        found = pickle.load(file)  # noqa: S301  # written by the line above
    for name, layer in sent.items():
        output = layer(X)[0]
        output = torch.cat(output, -1) if isinstance(output, tuple) else output
        torch.testing.assert_close(found[name], output, rtol=1e-5, atol=1e-6)
