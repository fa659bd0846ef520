"""Forecasts: steps, units and bases by hand, decoders, what is known ahead, what is refused."""

import numpy as np
import pytest
import seqlab
import torch
from seqlab.build import build_model
from seqlab.data.processor import Processor, fit_processor
from seqlab.engines.calls import at_least, coming_calls
from seqlab.errors import ConfigError, DataError, EngineError, OptionError
from seqlab.types import DataInfo, FeatureInfo, TargetInfo, TargetStatistics
from seqlab.verbs import graphs, traced_parts

ENCODER = {"cell": {"name": "gru", "hidden_size": 5}}
WINDOWS = {"name": "windows", "columns": "x", "known": "plan", "context": 6, "horizon": 3}
DATA = {
    "features": {
        "x": {"kind": "numeric"},
        "plan": {"kind": "numeric"},
        "plan_next": {"kind": "numeric", "role": "ahead"},
        "size": {"kind": "numeric", "role": "row"},
        "shop": {"kind": "tokens", "role": "row"},
    },
    "target": {"column": "x_next", "kind": "horizon"},
    "transforms": [WINDOWS],
}
ROWS = [
    {
        "x": [10.0 + shop + (t % 4) + 0.5 * ((t * t) % 3) for t in range(14)],
        "plan": [float(t % 4) for t in range(14)],
        "size": 2.0 * shop,
        "shop": f"shop {shop}",
    }
    for shop in range(3)
]
PLAIN = {
    "features": {"x": {"kind": "numeric"}},
    "target": {"column": "x_next", "kind": "horizon"},
    "transforms": [{"name": "windows", "columns": "x", "context": 6, "horizon": 3}],
}


def made(data, rows, **head):
    """A processor, a model in float64 and all training windows as one batch."""
    processor = fit_processor(data, rows)
    torch.manual_seed(0)
    model = build_model({"encoder": ENCODER, "head": {"name": "forecast", **head}}, processor.info)
    inputs = [dict(row) for row in windows_of(processor, rows)]
    batch = processor.collate([processor.encode(row) for row in inputs])
    return processor, model.double().eval(), batch


def windows_of(processor, rows):
    from seqlab.data.transforms.base import Row
    from seqlab.data.transforms.chain import Chain

    chain = Chain(processor.transforms, processor.spec.columns)
    return list(chain.apply([Row(r, n) for n, r in enumerate(rows)], "train", "row {}".format))


def silenced(model):
    """The network answers 0 for every step."""
    for parameter in model.head.parameters():
        parameter.data.zero_()
    return model


def test_a_horizon_is_scaled_as_the_series_before_it():
    processor, model, batch = made(PLAIN, ROWS)
    info = processor.info.target
    assert (info.kind, info.size, info.steps, info.feature) == ("horizon", 1, 3, "x")
    assert info.statistics.mean == tuple(processor.features[0].mean)
    assert batch.target.shape == (18, 3, 1)
    values = torch.tensor([row["values"] for row in model.predict(batch)])
    mean, std = info.statistics.mean[0], info.statistics.std[0]
    loss = (((values.unsqueeze(-1) - batch.target) / std) ** 2).mean()
    assert float(model.loss(batch).detach()) == pytest.approx(float(loss), rel=1e-5)
    assert model.predict(batch)[0].keys() == {"values"}
    assert mean == pytest.approx(12.5, abs=1)


@pytest.mark.parametrize("mode", ["direct", "recurrent"])
def test_bases_are_the_naive_forecasts(mode):
    _, last, batch = made(PLAIN, ROWS, mode=mode, base="last")
    context = batch.inputs["x"].double() * last.head.std + last.head.mean
    for row, answer in enumerate(silenced(last).predict(batch)):
        assert answer["values"] == pytest.approx([float(context[row, -1, 0])] * 3)
    _, seasonal, _ = made(PLAIN, ROWS, mode=mode, base="season", season=2)
    for row, answer in enumerate(silenced(seasonal).predict(batch)):
        wanted = context[row, [-2, -1, -2], 0].tolist()
        assert answer["values"] == pytest.approx(wanted)


def test_the_decoder_is_its_equations_step_by_step():
    _, model, batch = made(PLAIN, ROWS, mode="recurrent", base="last")
    encoded = model.encode(batch)
    network = model.head.network
    state = torch.tanh(network.bridge.maps[0](encoded.final))
    x = torch.zeros(len(state), 1, dtype=torch.float64)  # the last value is its own base
    answers = []
    for _ in range(3):
        state, _ = network.layer(x.unsqueeze(1), type(network.layer.initial_state(1))(state))
        state = state.squeeze(1)
        x = network.output(state)
        answers.append(x)
    found = model.head.outputs(encoded)[..., 0]
    torch.testing.assert_close(found.squeeze(-1), torch.cat(answers, 1))


def test_a_decoder_announces_its_steps(monkeypatch):
    _, model, batch = made(PLAIN, ROWS, mode="recurrent")
    announced, once = [], seqlab.Recurrent.step
    monkeypatch.setattr(
        seqlab.Recurrent, "step", lambda *a, **k: (announced.append(at_least()), once(*a, **k))[1]
    )
    with coming_calls(5), torch.no_grad():
        model.predict(batch)
    assert announced == [5 * 3] * 3


def test_truth_is_shown_in_training_alone():
    _, model, batch = made(PLAIN, ROWS, mode="recurrent", teacher_forcing=1.0)
    other = batch.target.clone()
    other[:, 0] += 5.0
    encoded = model.encode(batch)
    own = [model.head.outputs(encoded, goal) for goal in (batch.target, other)]
    torch.testing.assert_close(own[0], own[1])
    model.train()
    shown = [model.head.outputs(encoded, goal) for goal in (batch.target, other)]
    torch.testing.assert_close(shown[0][:, 0], shown[1][:, 0])
    assert not torch.allclose(shown[0][:, 1], shown[1][:, 1])
    unknown = torch.full_like(batch.target, float("nan"))
    torch.testing.assert_close(model.head.outputs(encoded, unknown), own[0])


@pytest.mark.parametrize("mode", ["direct", "recurrent"])
def test_plans_and_static_features_reach_the_answer(mode):
    _, model, batch = made(DATA, ROWS, mode=mode)
    assert batch.inputs["plan_next"].shape == (18, 3, 1)
    assert batch.inputs["shop"].shape == (18, 1)
    before = torch.tensor([row["values"] for row in model.predict(batch)])
    for name, change in (("plan_next", 1.0), ("size", 1.0), ("shop", 0)):
        value = batch.inputs[name]
        moved = value + change if change else value.flip(0)
        other = seqlab.types.Batch({**batch.inputs, name: moved}, batch.lengths)
        after = torch.tensor([row["values"] for row in model.predict(other)])
        assert not torch.allclose(before, after), name


def test_a_step_of_a_decoder_does_not_see_later_plans():
    _, model, batch = made(DATA, ROWS, mode="recurrent")
    later = batch.inputs["plan_next"].clone()
    later[:, 2] += 3.0
    other = seqlab.types.Batch({**batch.inputs, "plan_next": later}, batch.lengths)
    before, after = (torch.tensor([r["values"] for r in model.predict(b)]) for b in (batch, other))
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2], after[:, 2])


@pytest.mark.parametrize("scale", ["mean", "standard"])
@pytest.mark.parametrize("mode", ["direct", "recurrent"])
def test_with_row_scales_units_of_a_row_do_not_matter(scale, mode):
    data = {**PLAIN, "features": {"x": {"kind": "numeric", "row_scale": scale}}}
    processor, model, _ = made(data, ROWS, mode=mode, loss="quantile")
    series = ROWS[0]["x"][:6]
    answers = []
    for factor in (1.0, 1000.0):
        batch = processor.collate([processor.encode_input([factor * x for x in series])])
        answers.append(model.predict(batch)[0])
    assert [1000 * v for v in answers[0]["values"]] == pytest.approx(answers[1]["values"])
    high = [1000 * v for v in answers[0]["quantiles"]["0.9"]]
    assert high == pytest.approx(answers[1]["quantiles"]["0.9"])


def test_several_series_are_answered_step_by_step():
    rows = [{"x": [[float(t + r), float(t * r)] for t in range(12)]} for r in range(3)]
    processor, model, batch = made(PLAIN, rows, mode="recurrent", base="season", season=4)
    assert processor.info.target.size == 2
    answer = silenced(model).predict(batch)[0]["values"]
    assert answer == [pytest.approx(rows[0]["x"][t], abs=1e-5) for t in (2, 3, 4)]


def test_missing_steps_count_in_nothing():
    data = {**PLAIN, "target": {**PLAIN["target"], "missing": "mask"}}
    processor, model, _ = made(data, ROWS)
    example = processor.encode({"x": ROWS[0]["x"][:6], "x_next": [11.0, None, "NA"]})
    assert example.target[0] == 11.0
    assert np.isnan(example.target[1:]).all()
    one = processor.collate([example])
    answer = model.predict(one)[0]["values"]
    metrics = model.metrics()
    loss = model.measure(metrics, one)
    assert float(metrics["mae"].compute()) == pytest.approx(abs(answer[0] - 11.0), rel=1e-5)
    std = processor.info.target.statistics.std[0]
    assert float(loss.detach()) == pytest.approx(((answer[0] - 11.0) / std) ** 2, rel=1e-5)
    with pytest.raises(DataError, match=r"row: column 'x_next': .* found None at step 1; the tran"):
        fit_processor(PLAIN, ROWS).encode({"x": ROWS[0]["x"][:6], "x_next": [1.0, None, 2.0]})


def test_a_bundle_forecasts_new_series_with_their_plans(tmp_path):
    processor, model, _ = made(DATA, ROWS, loss="gaussian")
    spec = {"data": DATA, "encoder": ENCODER, "head": {"name": "forecast", "loss": "gaussian"}}
    trained = seqlab.load(
        seqlab.bundle.save_bundle(tmp_path / "bundle", model.float(), processor, spec)
    )
    new = {**ROWS[1], "x": ROWS[1]["x"][:8], "plan": ROWS[1]["plan"][:11]}
    (answer,) = trained.predict([new])
    assert answer["part"] == "steps 3-8"
    low, middle, high = (answer["quantiles"][level] for level in ("0.1", "0.5", "0.9"))
    assert len(answer["values"]) == 3
    assert all(a < b < c for a, b, c in zip(low, middle, high, strict=True))
    assert middle == pytest.approx(answer["values"])
    padded = {**new, "x": [*new["x"], None, None, None]}
    assert trained.predict([padded]) == [answer]
    with pytest.raises(DataError, match=r"input 1: .*'plan': expected the 8 steps of 'x', and 3"):
        trained.predict([{**new, "plan": new["plan"][:10]}])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "season"}, "season: base=season needs the steps of a season"),
        ({"decoder": {}}, "decoder belongs to mode=recurrent"),
        ({"teacher_forcing": 0.5}, "teacher_forcing belongs to mode=recurrent"),
        ({"mode": "recurrent", "pooling": "max"}, "pooling belongs to mode=direct"),
        ({"quantiles": [0.5]}, "quantiles belong to loss=quantile, gaussian, negative_binomial"),
        ({"loss": "quantile", "quantiles": [0.9, 0.1]}, "quantiles: expected some in rising order"),
        ({"loss": "quantile", "quantiles": [1.0]}, "quantiles"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(OptionError, match=message):
        made(PLAIN, ROWS, **options)


def test_a_base_needs_the_series_before():
    rows = [{"past": [1.0, 2.0], "next": [3.0]}, {"past": [2.0, 3.0], "next": [4.0]}]
    data = {
        "features": {"past": {"kind": "numeric"}},
        "target": {"column": "next", "kind": "horizon"},
    }
    with pytest.raises(OptionError, match=r"base=last needs the steps before; say by data\.target"):
        made(data, rows, base="last")
    data["target"]["feature"] = "past"
    assert made(data, rows, base="last")[0].info.target.feature == "past"
    data["target"]["feature"] = "pst"
    with pytest.raises(OptionError, match=r"data\.target\.feature: expected a numeric feature"):
        made(data, rows)


def test_what_is_known_ahead_needs_a_head_that_looks_at_it():
    processor = fit_processor(DATA, ROWS)
    info = DataInfo(processor.info.features, TargetInfo("values", 1))
    with pytest.raises(OptionError, match="does not look at features with role=ahead"):
        build_model({"encoder": ENCODER, "head": {"name": "regression"}}, info)


def test_row_scales_and_roles_fit_together():
    features = {"x": {"kind": "numeric", "role": "ahead", "row_scale": "mean"}}
    with pytest.raises(ConfigError, match="row_scale belongs to role=step, not to role=ahead"):
        fit_processor({**PLAIN, "features": features}, ROWS)


def test_rows_that_cannot_be_learnt_from_are_named():
    _, model, batch = made(PLAIN, ROWS, loss="negative_binomial")
    row, reason = model.head.refusal(batch)
    assert row == 0
    assert reason.startswith("the loss takes a count: a whole number of at least 0, found 1")
    _, model, batch = made(PLAIN, ROWS, base="season", season=7)
    assert model.head.refusal(batch)[1].startswith("6 steps are fewer than a season of 7")
    flat = [*ROWS[:1], {**ROWS[0], "x": [4.0] * 9}]
    _, model, batch = made(PLAIN, flat, metrics=[{"name": "mase", "season": 2}])
    row, reason = model.head.refusal(batch)
    assert row == 6
    assert "its context is constant from each step to the 2 after it" in reason
    with pytest.raises(DataError, match="row 7 of the batch: mase has no scale"):
        model.measure(model.metrics(), batch)


def test_short_series_are_refused_with_their_row():
    with pytest.raises(DataError, match=r"train row 2: .* a window takes 6 steps and the 3 after"):
        fit_processor(PLAIN, [ROWS[0], {"x": [1.0, 2.0]}])
    with pytest.raises(DataError, match=r"train row 1.*found \[nan\] at step 2|train row 1.*nan"):
        fit_processor(PLAIN, [{"x": [1.0, 2.0, float("nan"), *([3.0] * 9)]}])


def test_the_scale_of_the_target_survives_in_files(tmp_path):
    processor = fit_processor(DATA, ROWS)
    processor.save(tmp_path)
    assert Processor.load(tmp_path).info == processor.info


def test_a_target_without_a_series_has_its_own_scale():
    target = TargetInfo("horizon", 1, steps=2, statistics=TargetStatistics(mean=(5.0,), std=(2.0,)))
    info = DataInfo((FeatureInfo("x", "numeric", 1),), target)
    model = silenced(build_model({"encoder": ENCODER, "head": {"name": "forecast"}}, info))
    batch = seqlab.types.Batch({"x": torch.randn(1, 4, 1)}, torch.tensor([4]))
    assert model.predict(batch) == [{"values": [5.0, 5.0]}]


@pytest.mark.parametrize(
    ("data", "head"),
    [
        (PLAIN, {"base": "last"}),
        (PLAIN, {"base": "season", "season": 4, "loss": "quantile"}),
        (DATA, {"mode": "recurrent"}),
    ],
)
def test_a_forecaster_is_a_graph_of_any_rows_and_steps(data, head):
    _, model, _ = made(data, ROWS, **head)
    graph = traced_parts.whole(model.float())
    program = graphs.export(graph)
    for shape in graphs.SHAPES:
        given = graph.example(*shape)
        with torch.no_grad():
            for ours, theirs in zip(program.module()(*given), graph.module(*given), strict=True):
                torch.testing.assert_close(ours, theirs)


def test_a_row_that_is_scaled_by_itself_is_read_whole():
    data = {**PLAIN, "features": {"x": {"kind": "numeric", "row_scale": "mean"}}}
    _, model, _ = made(data, ROWS)
    with pytest.raises(EngineError, match=r"feature 'x' is scaled by its whole row \(row_scale\)"):
        model.stream()
    with pytest.raises(EngineError, match="scaled by its whole row"):
        traced_parts.one_step(model)
    _, model, _ = made(PLAIN, ROWS)
    with pytest.raises(EngineError, match="head 'forecast' answers whole rows"):
        model.stream()
    with pytest.raises(OptionError, match=r"data\.chunks: head 'forecast' answers whole rows"):
        model.chunk_reading()
