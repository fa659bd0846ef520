"""Encoder-decoders: answers, their scores, and the metrics of them."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import seqlab
import torch
from encoder_decoder_helpers import OPTIONS, TARGET, build, make_batch, spec
from heads_helpers import fit, make_model
from seqlab.engines.calls import at_least, coming_calls, expected_calls
from seqlab.errors import OptionError
from seqlab.heads.decoder_network import DecoderNetwork
from seqlab.types import Batch


@pytest.mark.parametrize("options", OPTIONS)
def test_scores_of_answers_are_their_log_probabilities(asymmetric, options):
    model, batch = build(asymmetric, **options), make_batch()
    for search in ("greedy", "sample", {"name": "beam", "width": 3, "length_penalty": 1.0}):
        torch.manual_seed(1)
        answers = model.predict(batch, search=search)
        for row, answer in enumerate(answers):
            tokens = torch.tensor([answer["tokens"]], dtype=torch.long)
            alone = Batch(
                {name: x[row : row + 1] for name, x in batch.inputs.items()},
                batch.lengths[row : row + 1],
                tokens,
                torch.tensor([tokens.shape[1]]),
            )
            expected = -float(model.loss(alone).detach()) * (tokens.shape[1] + 1)
            assert answer["score"] == pytest.approx(expected)


@pytest.mark.parametrize("options", [{}, {"input_feeding": True}])
def test_a_wide_beam_finds_the_best_of_all_answers(asymmetric, options):
    model, batch = build(asymmetric, **options), make_batch()
    found = model.predict(batch, search={"name": "beam", "width": 200}, max_length=2)
    tokens = [t for t in range(7) if t not in (5, 2)]
    every = [list(a) for n in range(3) for a in itertools.product(tokens, repeat=n)]
    for row, answer in enumerate(found):
        scores = []
        for candidate in every:
            alone = Batch(
                {name: x[row : row + 1] for name, x in batch.inputs.items()},
                batch.lengths[row : row + 1],
                torch.tensor([candidate], dtype=torch.long),
                torch.tensor([len(candidate)]),
            )
            scores.append(-float(model.loss(alone).detach()) * (len(candidate) + 1))
        assert answer["score"] == pytest.approx(max(scores))
        assert answer["tokens"] == every[scores.index(max(scores))]


def test_metrics_use_the_nearest_reference(asymmetric):
    names = {"token_name": "phoneme", "sequence_name": "word"}
    model = build(asymmetric, **names)
    assert model.head.monitor == ("phoneme_error_rate_capped", "min")
    own = [answer["tokens"] for answer in model.predict(make_batch())]
    wrong = [[*tokens, 3] for tokens in own]
    references = [[[0] * 9, own[0]], [wrong[1]], [own[2], wrong[2]]]
    metrics = model.metrics()
    batch = make_batch(references=references)
    loss = model.measure(metrics, batch)
    torch.testing.assert_close(loss, model.loss(batch))
    length = len(own[0]) + len(wrong[1]) + len(own[2])
    assert float(metrics["phoneme_error_rate"].compute()) == pytest.approx(1 / length)
    assert float(metrics["word_error_rate"].compute()) == pytest.approx(1 / 3)
    assert float(metrics["word_accuracy"].compute()) == pytest.approx(2 / 3)
    plain = model.metrics()
    model.measure(plain, make_batch())  # against the targets, of 7 tokens together
    expected = sum(
        seqlab.heads.metrics.edit_distance(a, b)
        for a, b in zip(own, [[3, 4, 0, 6, 3], [6, 3], []], strict=True)
    )
    assert float(plain["phoneme_error_rate"].compute()) == pytest.approx(expected / 7)


def test_final_measurements_use_the_search_of_predict(asymmetric):
    model = build(asymmetric, search={"name": "beam", "width": 4}, validation_search="greedy")
    with torch.no_grad():  # no end in sight, so that the searches differ
        model.head.decoder.output.bias[2] -= 3
    batch = make_batch()
    greedy = [a["tokens"] for a in model.predict(batch, search="greedy")]
    beam = [a["tokens"] for a in model.predict(batch)]
    assert greedy != beam
    for final, own in ((False, greedy), (True, beam)):
        told = []
        metric = SimpleNamespace(update=lambda outcome, told=told: told.append(outcome.answer))
        model.measure({"told": metric}, make_batch(), final=final)
        assert told == [own]


def test_limits_of_length(asymmetric):
    model, batch = build(asymmetric, max_length=3), make_batch()
    with torch.no_grad():
        model.head.decoder.output.bias[2] = -50.0  # never ends by itself
    assert [len(a["tokens"]) for a in model.predict(batch)] == [3, 3, 3]
    assert [len(a["tokens"]) for a in model.predict(batch, max_length=5)] == [5, 5, 5]
    found = model.predict(batch, max_length=5, max_ratio=0.7)
    assert [len(a["tokens"]) for a in found] == [3, 2, 0]
    with pytest.raises(OptionError, match="has no option 'width'"):
        model.predict(batch, width=3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"input_feeding": True, "attention": "additive"},
        {"teacher_forcing": 0.7, "attention": "none"},
    ],
)
def test_a_tiny_set_is_learned_by_heart(options):
    torch.manual_seed(3)
    decoder = {"cell": {"name": "gru", "hidden_size": 16}}
    model = make_model(
        spec(**{"decoder": decoder, "embedding_size": 8, **options}),
        TARGET,
        lambda size: seqlab.Bidirectional(seqlab.GRU(size, 8)),
    )
    batch = make_batch()
    assert fit(model, batch, steps=120, lr=0.03) < 0.1
    expected = [[3, 4, 0, 6, 3], [6, 3], []]
    assert [a["tokens"] for a in model.predict(batch)] == expected
    beam = model.predict(batch, search={"name": "beam", "width": 3})
    assert [a["tokens"] for a in beam] == expected


def test_a_decoder_announces_its_steps(asymmetric, monkeypatch):
    model, batch = build(asymmetric), make_batch()
    announced = []
    once = DecoderNetwork.step
    monkeypatch.setattr(
        DecoderNetwork, "step", lambda *a, **k: (announced.append(at_least()), once(*a, **k))[1]
    )
    with torch.inference_mode(), coming_calls(5):
        model.predict(batch)
        assert at_least() == 5
    assert set(announced) == {5 * (6 + 1)}  # batches, the longest answer and its end
    del announced[:]
    with torch.no_grad():
        model.predict(batch)
    assert set(announced) == {6 + 1}
    with expected_calls(5), torch.no_grad():
        model.predict(batch)
    assert announced[-1] == 0  # a training chooses as if nobody predicted
