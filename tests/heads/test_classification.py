from __future__ import annotations

import json

import pytest
import torch
from heads_helpers import (
    batch_for,
    fit,
    gradients,
    info_of,
    make_inputs,
    make_model,
    random_encoded,
)
from seqlab.errors import OptionError
from seqlab.heads.classification import ClassificationHead
from seqlab.types import Batch, TargetInfo
from sklearn.metrics import accuracy_score, f1_score

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]]).bool()
ONE = TargetInfo("label", 3, ("no", "maybe", "yes"))
MANY = TargetInfo("labels", 3, ("red", "green", "blue"))
LABEL = torch.tensor([2, 0, 1, 1])
LABELS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]])


def build(asymmetric, encoded, target=ONE, **options):
    head = ClassificationHead(info_of(encoded), target, **options).to(encoded.output.dtype)
    return asymmetric(head).eval()


def scores_by_hand(head, encoded):
    vector = torch.cat([part(encoded) for part in head.poolings], 1)
    layer = head.classifier
    if layer.hidden is not None:
        vector = torch.relu(vector @ layer.hidden.weight.T + layer.hidden.bias)
    return vector @ layer.output.weight.T + layer.output.bias


@pytest.mark.parametrize("hidden_size", [None, 6])
def test_loss_and_predictions_of_one_label(asymmetric, hidden_size):
    encoded = random_encoded(MASK)
    head = build(
        asymmetric,
        encoded,
        pooling=["max", {"name": "attention", "size": 2}],
        hidden_size=hidden_size,
        class_weights=[1.0, 0.5, 3.0],
        label_smoothing=0.2,
    )
    scores = scores_by_hand(head, encoded)
    expected = torch.nn.functional.cross_entropy(
        scores, LABEL, weight=torch.tensor([1.0, 0.5, 3.0]), label_smoothing=0.2
    )
    torch.testing.assert_close(head.loss(encoded, batch_for(encoded, LABEL)), expected)
    answers = head.predict(encoded)
    json.dumps(answers)
    for answer, row in zip(answers, scores.softmax(1).tolist(), strict=True):
        assert answer["id"] == row.index(max(row))
        assert answer["label"] == ONE.names[answer["id"]]
        assert answer["scores"] == pytest.approx(row)


def test_loss_and_predictions_of_many_labels(asymmetric):
    encoded = random_encoded(MASK)
    head = build(
        asymmetric, encoded, MANY, class_weights=[1.0, 4.0, 2.0], label_smoothing=0.1, threshold=0.6
    )
    scores = scores_by_hand(head, encoded)
    p, goal = scores.sigmoid(), LABELS * 0.9 + 0.05
    weight = torch.tensor([1.0, 4.0, 2.0])
    expected = -(weight * goal * p.log() + (1 - goal) * (1 - p).log()).mean()
    torch.testing.assert_close(head.loss(encoded, batch_for(encoded, LABELS)), expected)
    answers = head.predict(encoded)
    json.dumps(answers)
    for answer, row in zip(answers, p.tolist(), strict=True):
        assert answer["ids"] == [i for i, value in enumerate(row) if value > 0.6]
        assert answer["labels"] == [MANY.names[i] for i in answer["ids"]]
        assert answer["scores"] == pytest.approx(row)


def test_metrics_of_one_label_equal_sklearn(asymmetric):
    encoded = random_encoded(torch.ones(50, 3, dtype=torch.bool))
    head = build(asymmetric, encoded)
    gold = torch.randint(3, (50,), generator=torch.Generator().manual_seed(1))
    metrics = head.metrics()
    head.measure(metrics, encoded, batch_for(encoded, gold))
    answers = [answer["id"] for answer in head.predict(encoded)]
    assert float(metrics["accuracy"].compute()) == pytest.approx(accuracy_score(gold, answers))
    expected = f1_score(gold, answers, average="macro")
    assert float(metrics["macro_f1"].compute()) == pytest.approx(expected)
    assert head.monitor == ("accuracy", "max")


def test_metrics_of_many_labels_equal_sklearn(asymmetric):
    encoded = random_encoded(torch.ones(50, 3, dtype=torch.bool))
    head = build(asymmetric, encoded, MANY, threshold=0.3)
    gold = torch.randint(2, (50, 3), generator=torch.Generator().manual_seed(1)).float()
    metrics = head.metrics()
    loss = head.measure(metrics, encoded, batch_for(encoded, gold))
    torch.testing.assert_close(loss, head.loss(encoded, batch_for(encoded, gold)))
    given = torch.zeros(50, 3)
    for row, answer in enumerate(head.predict(encoded)):
        given[row, answer["ids"]] = 1
    expected = f1_score(gold, given, average="macro")
    assert float(metrics["macro_f1"].compute()) == pytest.approx(expected)
    assert float(metrics["exact_match"].compute()) == pytest.approx(accuracy_score(gold, given))
    each = accuracy_score(gold.flatten(), given.flatten())
    assert float(metrics["accuracy"].compute()) == pytest.approx(each)


POOLINGS = ["last", "first", "mean", "max", "final_state", "attention"]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("target", [ONE, MANY])
def test_what_stands_in_the_padding_never_matters(asymmetric, pooling, target):
    model = make_model({"name": "classification", "pooling": pooling}, target)
    model = asymmetric(model).eval()
    gold = LABEL[:3] if target is ONE else LABELS[:3]
    results = []
    for poison in (False, True):
        inputs, lengths = make_inputs([4, 2, 0], poison=poison)
        batch = Batch(inputs, lengths, gold)
        loss = model.loss(batch)
        used = [p for p in model.parameters() if p.requires_grad]
        grads = torch.autograd.grad(loss, used, allow_unused=True)
        results.append((loss.detach(), grads, model.predict(batch)))
    assert results[0][0].isfinite()
    assert results[0][2] == results[1][2]
    for one, two in zip(*(result[1] for result in results), strict=True):
        assert (one is None and two is None) or one.equal(two)


@pytest.mark.parametrize("target", [ONE, MANY])
def test_gradients_of_the_loss(asymmetric, target):
    encoded = random_encoded(MASK, dtype=torch.float64)
    head = build(asymmetric, encoded, target, pooling=["attention", "last"])
    gold = LABEL if target is ONE else LABELS
    output = encoded.output.nan_to_num(0.0).requires_grad_()

    def run(output):
        return head.loss(encoded._replace(output=output), batch_for(encoded, gold))

    assert torch.autograd.gradcheck(run, (output,))


def test_rows_whose_class_weighs_nothing_give_no_loss(asymmetric):
    encoded = random_encoded(MASK)
    head = build(asymmetric, encoded, class_weights=[1.0, 0.0, 1.0])
    loss = head.loss(encoded, batch_for(encoded, torch.ones(4, dtype=torch.long)))
    assert float(loss.detach()) == 0
    assert all(bool(g.isfinite().all()) for g in gradients(head, loss).values())


@pytest.mark.parametrize("pooling", ["last", "attention"])
@pytest.mark.parametrize("target", [ONE, MANY])
def test_a_tiny_set_is_learned_by_heart(pooling, target):
    torch.manual_seed(3)
    model = make_model({"name": "classification", "pooling": pooling}, target)
    inputs, lengths = make_inputs([6, 4, 1, 0])
    batch = Batch(inputs, lengths, LABEL if target is ONE else LABELS)
    assert fit(model, batch, steps=80, lr=0.05) < 0.05
    answers = model.predict(batch)
    if target is ONE:
        assert [answer["id"] for answer in answers] == LABEL.tolist()
    else:
        assert [answer["ids"] for answer in answers] == [[0, 2], [], [1], [0, 1, 2]]


@pytest.mark.parametrize(
    ("options", "target", "message"),
    [
        ({}, TargetInfo("tags", 3), "needs a target of kind 'label' or 'labels', not 'tags'"),
        ({}, TargetInfo("label", 1), "the target has 1 class; classification needs at least 2"),
        ({}, TargetInfo("label", 0), "the target has 0 classes"),
        ({"pooling": []}, ONE, "the list is empty"),
        ({"pooling": {"name": "mean", "size": 3}}, ONE, "head.pooling: pooling 'mean' has no"),
        ({"threshold": 2}, MANY, "threshold: expected a number from 0 to 1, got 2"),
        (
            {"class_weights": {"yse": 1}},
            ONE,
            r"class_weights\.yse: unknown key, did you mean 'yes'",
        ),
    ],
)
def test_wrong_options(options, target, message):
    with pytest.raises(OptionError, match=message):
        ClassificationHead(info_of(random_encoded(MASK)), target, **options)
