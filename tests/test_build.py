from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.build import build_layer, build_model
from seqlab.errors import ConfigError, OptionError, SeqlabError, UnknownNameError
from seqlab.types import Batch, DataInfo, FeatureInfo, TargetInfo

INFO = DataInfo(
    (FeatureInfo("text", "ids", 9), FeatureInfo("pitch", "numeric", 2)),
    TargetInfo("label", 3, ("a", "b", "c")),
)
HEAD = {"name": "classification", "pooling": "mean"}


def encoder(*wrappers, **options):
    return {"cell": {"name": "gru", "hidden_size": 5}, "wrappers": list(wrappers), **options}


def test_wrappers_are_applied_inside_out():
    stacked = {"name": "stacked", "num_layers": 2}
    layer = build_layer(encoder({"name": "bidirectional"}, stacked), 3)
    assert isinstance(layer, seqlab.Stacked)
    assert [type(part) for part in layer.layers] == [seqlab.Bidirectional] * 2
    layer = build_layer(encoder(stacked, {"name": "bidirectional", "merge_mode": "sum"}), 3)
    assert isinstance(layer, seqlab.Bidirectional)
    assert layer.output_size == 5
    assert build_layer(encoder(stacked, "bidirectional"), 3).output_size == 10


def test_engine_and_cell_options_reach_the_layer():
    layer = build_layer({"cell": "lstm"} | encoder(engine="loop"), 3)
    assert layer.engine == "loop"
    layer = build_layer({"cell": {"name": "lstm", "hidden_size": 4, "dropout": 0.25}}, 3)
    assert (layer.cell.dropout, layer.input_size) == (0.25, 3)


def test_model_runs_and_sizes_follow_from_the_data(asymmetric):
    spec = {
        "encoder": encoder(
            "bidirectional", embedding={"size": 4, "features": {"text": {"size": 6}}}
        ),
        "head": HEAD,
        "seed": 0,
    }
    model = asymmetric(build_model(spec, INFO))
    assert model.encoder.layer.input_size == 8
    batch = Batch(
        {"text": torch.tensor([[1, 2, 3], [4, 0, 0]]), "pitch": torch.randn(2, 3, 2)},
        torch.tensor([3, 1]),
        torch.tensor([2, 0]),
    )
    loss = model.loss(batch)
    loss.backward()
    assert loss.item() > 0
    assert [answer["label"] in "abc" for answer in model.predict(batch)] == [True, True]


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (encoder("bidirectoinal"), UnknownNameError, "did you mean 'bidirectional'"),
        (
            encoder("bidirectional", {"name": "stacked", "num_layer": 2}),
            OptionError,
            r"encoder\.wrappers\[1\]: wrapper 'stacked' has no option 'num_layer'",
        ),
        (
            encoder({"name": "bidirectional", "merge_mode": "none"}, {"name": "stacked"}),
            OptionError,
            r"encoder.*none",
        ),
        (
            encoder("stacked", {"name": "bidirectional", "merge_mode": {"name": "sum", "x": 1}}),
            OptionError,
            r"^encoder\.wrappers\[1\]\.merge_mode: merge 'sum' has no option 'x'",
        ),
        (encoder({"merge_mode": "sum"}), OptionError, r"encoder\.wrappers\[0\]: the key 'name'"),
        (encoder() | {"wrappers": "bidirectional"}, ConfigError, r"encoder\.wrappers: expected a"),
        (encoder() | {"wraper": []}, ConfigError, r"encoder\.wraper: unknown key, did you mean 'w"),
        ({"wrappers": []}, ConfigError, r"encoder\.cell: the key is missing"),
        (
            {"cell": {"name": "gru", "hidden_size": 4, "droput": 0.1}},
            OptionError,
            r"encoder\.cell: cell 'gru' has no option 'droput': did you mean 'dropout'",
        ),
        ({"cell": {"name": "gru", "hidden_size": -4}}, OptionError, r"encoder\.cell\.hidden_size"),
        ({"cell": {"name": "gru"}}, OptionError, r"encoder\.cell: cell 'gru' needs hidden_size"),
        (encoder(engine="warp"), SeqlabError, "warp"),
    ],
)
def test_mistakes_name_the_config_key(spec, error, message):
    with pytest.raises(error, match=message) as caught:
        build_layer(spec, 3)
    assert "\n" not in str(caught.value)


def test_unmerged_directions_under_a_head():
    spec = {"encoder": encoder({"name": "bidirectional", "merge_mode": "none"}), "head": HEAD}
    with pytest.raises(OptionError, match=r"merge_mode none.*choose concat, sum, mul or ave"):
        build_model(spec, INFO)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": {"name": "tagging"}}, r"^head 'tagging' needs a target of kind 'tags'"),
        ({"head": {"name": "classification", "poling": 1}}, r"head: .* no option 'poling'"),
        ({"head": None}, r"head: expected a mapping"),
        ({"encoder": None}, r"encoder: expected a mapping"),
        ({"encoder": encoder(embedding={"features": {"txt": {"size": 3}}})}, "text"),
    ],
)
def test_models_that_do_not_fit(changes, message):
    with pytest.raises(SeqlabError, match=message):
        build_model({"encoder": encoder(), "head": HEAD, **changes}, INFO)
