"""Several heads on one encoder: each answers as it does alone, and they learn together."""

from __future__ import annotations

import pytest
import seqlab
import torch
from heads_helpers import info_of, make_model, random_encoded
from seqlab.build import build_model
from seqlab.errors import EngineError, OptionError
from seqlab.heads.classification import ClassificationHead
from seqlab.heads.joint import JointHead
from seqlab.heads.metrics.class_table import ClassTables
from seqlab.heads.tagging import TaggingHead
from seqlab.types import Batch, DataInfo, FeatureInfo, TargetInfo, TargetValues

MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()
PARTS = {
    "upos": TargetInfo("tags", 3, ("ADJ", "NOUN", "VERB")),
    "topic": TargetInfo("label", 2, ("no", "yes")),
}
TARGET = TargetInfo("joint", 2, parts=PARTS)
HEADS = {"upos": {"name": "tagging", "crf": True}, "topic": {"name": "classification"}}


def case(**options):
    encoded = random_encoded(MASK, dtype=torch.float64)
    torch.manual_seed(4)
    head = JointHead(info_of(encoded), TARGET, heads=HEADS, **options).double().eval()
    tags = torch.randint(0, 3, MASK.shape, generator=torch.Generator().manual_seed(1))
    targets = {"upos": TargetValues(tags), "topic": TargetValues(torch.tensor([0, 1, 1, 0]))}
    return head, encoded, Batch({}, encoded.lengths, targets=targets)


def alone(head, encoded):
    """The same heads by themselves, with the joint head's weights."""
    upos = TaggingHead(info_of(encoded), PARTS["upos"], crf=True).double().eval()
    topic = ClassificationHead(info_of(encoded), PARTS["topic"]).double().eval()
    upos.load_state_dict(head.heads["upos"].state_dict())
    topic.load_state_dict(head.heads["topic"].state_dict())
    return {"upos": upos, "topic": topic}


def test_loss_and_gradients_are_the_weighted_sum():
    head, encoded, batch = case(weights={"topic": 0.3})
    heads = alone(head, encoded)
    found = []
    for own in (False, True):
        output = encoded.output.detach().clone().requires_grad_()
        seen = encoded._replace(output=output)
        if own:
            losses = [h.loss(seen, batch.of_target(name)) for name, h in heads.items()]
            loss = losses[0] + 0.3 * losses[1]
        else:
            loss = head.loss(seen, batch)
        found.append((loss, torch.autograd.grad(loss, output)[0]))
    torch.testing.assert_close(found[0], found[1])


def test_answers_and_metrics_are_those_of_each_head():
    head, encoded, batch = case()
    heads = alone(head, encoded)
    answers = head.predict(encoded, upos={"k_best": 2})
    assert [row["upos"] for row in answers] == heads["upos"].predict(encoded, k_best=2)
    assert [row["topic"] for row in answers] == heads["topic"].predict(encoded)
    metrics = head.metrics()
    tables = ClassTables(TARGET, metrics)
    loss = head.measure({**metrics, **tables.metrics()}, encoded, batch)
    torch.testing.assert_close(loss, head.loss(encoded, batch))
    for name, one in heads.items():
        mine = one.metrics()
        one.measure(mine, encoded, batch.of_target(name))
        for key, metric in mine.items():
            assert float(metrics[f"{name}_{key}"].compute()) == float(metric.compute())
    assert tables.content()["targets"].keys() == {"upos", "topic"}
    assert int(tables.tables()["upos"].compute().sum()) == int(MASK.sum())


def test_the_usual_head_serves_a_target_that_names_none():
    parts = {"value": TargetInfo("values", 1), "type": TargetInfo("labels", 4)}
    encoded = random_encoded(MASK)
    head = JointHead(info_of(encoded), TargetInfo("joint", 2, parts=parts))
    assert head.monitor[0].startswith("value_")
    assert head.monitor[0] in head.metrics()
    assert set(head.predict(encoded)[0]) == set(parts)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heads": {"upso": "tagging"}}, "head.heads.upso: unknown key, did you mean 'upos'"),
        (
            {"heads": {"topic": "tagging"}},
            "head.heads.topic: head 'tagging' needs a target of",
        ),
        ({"heads": {"topic": {"name": "tagging", "x": 1}}}, "head.heads.topic: head 'tagging' has"),
        ({"weights": {"topics": 2}}, "head.weights.topics: unknown key, did you mean 'topic'"),
        ({"weights": {"topic": 0}}, "weights"),
    ],
)
def test_what_does_not_fit_is_named(options, said):
    with pytest.raises(OptionError) as caught:
        JointHead(info_of(random_encoded(MASK)), TARGET, **options)
    assert said in str(caught.value)


def test_options_of_an_answer_go_to_a_target():
    head, encoded, _ = case()
    with pytest.raises(OptionError, match=r"predict.k_best: unknown key"):
        head.predict(encoded, k_best=2)


def test_a_target_that_no_head_usually_serves_must_name_one():
    target = TargetInfo("joint", 1, parts={"x": TargetInfo("inputs", 9, feature="f")})
    with pytest.raises(OptionError, match=r"head.heads.x: no head is the usual one for 'inputs'"):
        JointHead(info_of(random_encoded(MASK)), target)


def test_steps_are_streamed_as_whole_rows_are_answered():
    parts = {"a": PARTS["upos"], "b": TargetInfo("tags", 4)}
    model = make_model(
        {"name": "joint"}, TargetInfo("joint", 2, parts=parts), lambda size: seqlab.GRU(size, 5)
    )
    model = model.double().eval()
    generator = torch.Generator().manual_seed(0)
    inputs = {
        f.name: torch.randint(0, f.size, (2, 3), generator=generator)
        if f.kind == "ids"
        else torch.randn(2, 3, f.size, generator=generator, dtype=torch.float64)
        for f in model.info.features
    }
    batch = Batch(inputs, torch.tensor([3, 3]))
    whole, scores = model.predict(batch), model.head.scores(model.encode(batch))
    running = model.stream()
    for step in range(3):
        now = running.step({name: value[:, step] for name, value in inputs.items()})
        torch.testing.assert_close(now, scores[:, step])
        for row, answer in enumerate(model.head.answer_steps(now)):
            assert answer["a"]["tag"] == whole[row]["a"]["tags"][step]
            assert answer["b"]["id"] == whole[row]["b"]["ids"][step]


def test_a_head_of_whole_rows_stops_a_stream():
    info = DataInfo((FeatureInfo("text", "ids", 9),), TARGET)
    spec = {"encoder": {"cell": {"name": "gru", "hidden_size": 4}}, "head": {"name": "joint"}}
    model = build_model(spec, info)
    with pytest.raises(EngineError, match="head 'classification' answers whole rows"):
        model.stream()
    assert (
        model.head.scores(model.encode(Batch({"text": torch.ones(1, 2).long()}, torch.tensor([2]))))
        is None
    )
