from __future__ import annotations

import itertools
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
from seqeval.metrics import f1_score
from seqlab.errors import DataError, OptionError
from seqlab.heads.schemes import scheme_constraints
from seqlab.heads.tagging import TaggingHead
from seqlab.types import Batch, TargetInfo, lengths_to_mask
from sklearn.metrics import accuracy_score

NAMES = ("O", "B-x", "I-x", "B-y", "I-y")
TARGET = TargetInfo("tags", 5, NAMES)
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 1, 0, 1], [0, 0, 0, 0, 0]]).bool()
KINDS = [{}, {"scheme": "iob2"}, {"crf": True}, {"crf": True, "scheme": "iob2"}]


def build(asymmetric, encoded, target=TARGET, **options):
    head = TaggingHead(info_of(encoded), target, **options).to(encoded.output.dtype)
    return asymmetric(head).eval()


def random_tags(seed=4):
    """Labels with garbage at padded steps."""
    tags = torch.randint(5, MASK.shape, generator=torch.Generator().manual_seed(seed))
    return tags.masked_fill(~MASK, 10**9)


def test_softmax_loss_is_the_mean_over_real_steps(asymmetric):
    encoded, tags = random_encoded(MASK), random_tags()
    head = build(asymmetric, encoded)
    output = head.classifier.output
    expected = torch.nn.functional.cross_entropy(
        encoded.output[MASK] @ output.weight.T + output.bias, tags[MASK]
    )
    torch.testing.assert_close(head.loss(encoded, batch_for(encoded, tags)), expected)


def test_class_weights_and_label_smoothing_as_torch_has_them(asymmetric):
    encoded, tags = random_encoded(MASK), random_tags()
    weights = [0.5, 2.0, 1.0, 0.0, 3.0]
    head = build(asymmetric, encoded, class_weights=weights, label_smoothing=0.1)
    output = head.classifier.output
    expected = torch.nn.functional.cross_entropy(
        encoded.output[MASK] @ output.weight.T + output.bias,
        tags[MASK],
        weight=torch.tensor(weights),
        label_smoothing=0.1,
    )
    torch.testing.assert_close(head.loss(encoded, batch_for(encoded, tags)), expected)
    by_name = build(asymmetric, encoded, class_weights={"B-x": 2.0, "I-y": 3})
    assert by_name.weight.tolist() == [1, 2, 1, 1, 3]


@pytest.mark.parametrize("options", KINDS)
def test_holes_count_as_if_they_were_not_there(asymmetric, options):
    encoded, tags = random_encoded(MASK, dtype=torch.float64), random_tags()
    head = build(asymmetric, encoded, **options)
    whole = head.predict(encoded)
    losses, steps = 0.0, 0
    for row, mask in enumerate(MASK):
        real = encoded.output[row : row + 1, mask]
        n = torch.tensor([real.shape[1]])
        alone = encoded._replace(output=real, lengths=n, mask=lengths_to_mask(n, int(n)))
        answer = head.predict(alone)[0]
        assert answer["tags"] == whole[row]["tags"]
        assert answer["scores"] == pytest.approx(whole[row]["scores"])
        assert len(answer["tags"]) == len(answer["ids"]) == len(answer["scores"]) == int(n)
        loss = head.loss(alone, Batch({}, n, tags[row : row + 1, mask]))
        losses, steps = losses + float(loss.detach()) * int(n), steps + int(n)
    total = float(head.loss(encoded, batch_for(encoded, tags)).detach())
    assert total == pytest.approx(losses / steps)


@pytest.mark.parametrize("options", KINDS)
def test_predictions_keep_to_the_scheme_and_are_json(asymmetric, options):
    encoded = random_encoded(torch.ones(40, 7, dtype=torch.bool))
    head = build(asymmetric, encoded, **options)
    start, _, transitions = scheme_constraints("iob2", NAMES)
    answers = head.predict(encoded)
    json.dumps(answers)
    breaks = 0
    for answer in answers:
        ids = answer["ids"]
        assert answer["tags"] == [NAMES[i] for i in ids]
        assert all(0 <= score <= 1 for score in answer["scores"])
        breaks += not start[ids[0]]
        breaks += sum(not transitions[a, b] for a, b in itertools.pairwise(ids))
    assert (breaks == 0) == (options.get("scheme") is not None)


def test_without_names_the_tags_are_ids(asymmetric):
    encoded = random_encoded(MASK)
    head = build(asymmetric, encoded, TargetInfo("tags", 5))
    answer = head.predict(encoded)[0]
    assert answer["tags"] == answer["ids"]
    assert list(head.metrics()) == ["accuracy"]
    assert head.monitor == ("accuracy", "max")


def test_scores_are_probabilities_of_the_label(asymmetric):
    encoded = random_encoded(MASK)
    head = build(asymmetric, encoded)
    output = head.classifier.output
    expected = (encoded.output[0] @ output.weight.T + output.bias).softmax(-1).max(-1)
    answer = head.predict(encoded)[0]
    assert answer["ids"] == expected.indices.tolist()
    assert answer["scores"] == pytest.approx(expected.values.tolist())


@pytest.mark.parametrize("options", KINDS)
def test_metrics_equal_sklearn_and_seqeval(asymmetric, options):
    encoded, tags = random_encoded(MASK), random_tags()
    head = build(asymmetric, encoded, **options)
    metrics = head.metrics()
    assert head.monitor == ("span_f1", "max")
    loss = head.measure(metrics, encoded, batch_for(encoded, tags))
    torch.testing.assert_close(loss, head.loss(encoded, batch_for(encoded, tags)))
    answers = head.predict(encoded)
    gold = [tags[row, mask].tolist() for row, mask in enumerate(MASK)]
    flat = [i for row in gold for i in row], [i for answer in answers for i in answer["ids"]]
    assert float(metrics["accuracy"].compute()) == pytest.approx(accuracy_score(*flat))
    expected = f1_score(
        [[NAMES[i] for i in row] for row in gold],
        [answer["tags"] for answer in answers],
        zero_division=0,
    )
    assert float(metrics["span_f1"].compute()) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("options", KINDS)
def test_what_stands_in_the_padding_never_matters(asymmetric, options):
    target = torch.randint(5, (3, 4), generator=torch.Generator().manual_seed(1))
    model = asymmetric(make_model({"name": "tagging", **options}, TARGET)).eval()
    results = []
    for poison in (False, True):
        inputs, lengths = make_inputs([4, 2, 0], poison=poison)
        tags = target.clone()
        tags[1, 2:], tags[2] = (-7, 10**9) if poison else (0, 0)
        batch = Batch(inputs, lengths, tags)
        loss = model.loss(batch)
        results.append((loss.detach(), gradients(model, loss), model.predict(batch)))
    assert results[0][0].isfinite()
    torch.testing.assert_close(results[0][:2], results[1][:2], rtol=0, atol=0)
    assert results[0][2] == results[1][2]
    assert results[0][2][2] == {"tags": [], "ids": [], "scores": []}


@pytest.mark.parametrize("options", KINDS)
def test_gradients_of_the_loss(asymmetric, options):
    encoded, tags = random_encoded(MASK, dtype=torch.float64), random_tags()
    head = build(asymmetric, encoded, **options)
    output = encoded.output.nan_to_num(0.0).requires_grad_()

    def run(output):
        return head.loss(encoded._replace(output=output), batch_for(encoded, tags))

    assert torch.autograd.gradcheck(run, (output,))


@pytest.mark.parametrize("options", KINDS)
def test_rows_are_independent_of_their_order(asymmetric, options):
    encoded, tags = random_encoded(MASK, dtype=torch.float64), random_tags()
    head = build(asymmetric, encoded, **options)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = encoded._replace(
        output=encoded.output[order], mask=MASK[order], lengths=encoded.lengths[order]
    )
    torch.testing.assert_close(
        head.loss(shuffled, batch_for(shuffled, tags[order])),
        head.loss(encoded, batch_for(encoded, tags)),
    )
    straight = head.predict(encoded)
    for place, row in enumerate(order.tolist()):
        assert head.predict(shuffled)[place]["ids"] == straight[row]["ids"]


@pytest.mark.parametrize("options", KINDS)
def test_batches_without_a_real_step(asymmetric, options):
    for steps in (0, 3):
        encoded = random_encoded(torch.zeros(2, steps, dtype=torch.bool))
        head = build(asymmetric, encoded, **options)
        tags = torch.zeros(2, steps, dtype=torch.long)
        metrics = head.metrics()
        assert float(head.measure(metrics, encoded, batch_for(encoded, tags)).detach()) == 0
        assert head.predict(encoded) == [{"tags": [], "ids": [], "scores": []}] * 2
        assert float(metrics["span_f1"].compute()) == 0


@pytest.mark.parametrize("options", [{"hidden_size": 8}, {"crf": True, "scheme": "iob2"}])
def test_a_tiny_set_is_learned_by_heart(options):
    torch.manual_seed(3)
    model = make_model({"name": "tagging", **options}, TARGET)
    inputs, lengths = make_inputs([6, 4, 1, 0])
    tags = torch.tensor(
        [[0, 1, 2, 2, 0, 3], [3, 4, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]
    )
    batch = Batch(inputs, lengths, tags)
    assert fit(model, batch, steps=80, lr=0.05) < 0.05
    for answer, gold, n in zip(model.predict(batch), tags.tolist(), lengths, strict=True):
        assert answer["ids"] == gold[:n]


@pytest.mark.parametrize(
    ("options", "target", "message"),
    [
        ({}, TargetInfo("label", 3), "needs a target of kind 'tags', not 'label'"),
        ({"scheme": "iob2"}, TargetInfo("tags", 3), "needs the names of the labels"),
        ({"scheme": "bilou"}, TARGET, "label 'I-x' does not|label .* does not belong to bilou"),
        ({"crf": True, "label_smoothing": 0.1}, TARGET, "belong to softmax: set crf=false"),
        ({"crf": "yes"}, TARGET, "crf: expected true or false"),
        ({"class_weights": [1.0]}, TARGET, "expected 5 numbers, one a class, got 1"),
        (
            {"class_weights": {"B-z": 1}},
            TARGET,
            r"class_weights\.B-z: unknown key, did you mean 'B-",
        ),
        ({"class_weights": [1, 1, 1, 1, -1]}, TARGET, "a number of at least 0, got -1"),
        ({"dropout": 1.0}, TARGET, "dropout: expected a number"),
        ({"hidden_size": 0}, TARGET, "hidden_size: expected an int of at least 1 or null, got 0"),
    ],
)
def test_wrong_options(options, target, message):
    encoded = random_encoded(MASK)
    if options.get("scheme") == "bilou":
        target = TargetInfo("tags", 2, ("O", "E-x"))
    with pytest.raises(OptionError, match=message):
        TaggingHead(info_of(encoded), target, **options)


def test_a_loss_needs_a_target_and_predict_knows_its_options():
    encoded = random_encoded(MASK)
    head = TaggingHead(info_of(encoded), TARGET)
    with pytest.raises(DataError, match="the batch has no target"):
        head.loss(encoded, batch_for(encoded, None))
    with pytest.raises(OptionError, match="has no option 'width' of predict \\(known: k_best"):
        head.predict(encoded, width=3)
