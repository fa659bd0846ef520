"""Language models: proper distributions, no leaks, and what is counted is what is learnt."""

from __future__ import annotations

import itertools
import math

import pytest
import seqlab
import torch
from language_helpers import DATA, PAIR, STACKS, TERMS, batch_of, language_model, learn
from seqlab.bundle import save_bundle
from seqlab.data.processor import fit_processor
from seqlab.errors import ConfigError, OptionError


def places(trained, texts):
    encoded = trained.model.encode(batch := batch_of(trained, texts))
    return trained.model.head.places(encoded, batch.target)


@pytest.mark.parametrize("options", [{}, {"tied": True}, {"cutoffs": [4]}, {"cutoffs": [4, 6]}])
def test_each_conditional_sums_to_one_and_gives_no_mark_where_none_can_be(options):
    trained = language_model(["abcd", "dcba", "a"], hidden=16, **options)
    head = trained.model.head
    for term, found in places(trained, ["abc", "d", ""]).items():
        log_p = head.log_probabilities(term, found.context)
        assert log_p.dtype == torch.float64
        torch.testing.assert_close(log_p.exp().sum(1), torch.ones(len(log_p)).double())
        never = {"forward": [0, 2], "backward": [0, 3], "both": [0, 2, 3]}[term]
        assert (log_p[:, never] == -math.inf).all()
        others = sorted(set(range(log_p.shape[1])) - set(never))
        assert torch.isfinite(log_p[:, others]).all()
        chosen = head._of_gold(term, found)
        torch.testing.assert_close(chosen, log_p.gather(1, found.gold.unsqueeze(1)).squeeze(1))


@pytest.mark.parametrize(
    ("wrappers", "term"), [(PAIR, "forward"), (PAIR, "backward"), ([], "forward")]
)
def test_the_probabilities_of_all_texts_sum_to_one(wrappers, term):
    """All texts of up to 3 tokens, and all ways to go on after 4, are everything there is."""
    trained = language_model(wrappers=wrappers)
    letters, total = "ab?", 0.0  # a character that is not known is one more entry
    for length in range(5):
        texts = ["".join(letters) for letters in itertools.product(letters, repeat=length)]
        for answer in trained.predict(texts, batch_size=100):
            logs = answer[term]
            if length < 4:
                logs = [*logs, answer["end" if term == "forward" else "begin"]]
            total += math.exp(math.fsum(logs))
    assert total == pytest.approx(1.0, abs=1e-9)


def test_the_probability_of_a_text_is_the_product_of_its_tokens_and_its_end():
    trained = language_model()
    (answer,) = trained.predict(["abba"])
    assert [len(answer[term]) for term in TERMS] == [4, 4, 4]
    total = sum(answer["forward"]) + answer["end"]
    assert answer["log_probability"] == pytest.approx(total, abs=1e-12)
    assert answer["perplexity"] == pytest.approx(math.exp(-total / 5))


def test_the_order_and_the_padding_of_rows_do_not_matter():
    trained = language_model(["abcd"])
    texts = ["abcd", "", "dd", "a"]
    together = trained.predict(texts)
    for text, answer in zip(texts, together, strict=True):
        (alone,) = trained.predict([text])
        assert alone.keys() == answer.keys()
        assert alone.pop("tokens") == answer.pop("tokens")
        for key, value in alone.items():
            assert answer[key] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("wrappers", [PAIR, STACKS])
@pytest.mark.parametrize("term", TERMS)
def test_no_term_sees_its_token_and_each_sees_its_whole_context(wrappers, term):
    trained = language_model(["abcd"], wrappers=wrappers)
    encoder, head = trained.model.encoder, trained.model.head
    batch = batch_of(trained, ["abcdab"])
    x = encoder.read(batch)[1].detach().requires_grad_()
    output, state = encoder.layer(x, lengths=batch.lengths)
    encoded = trained.model.encode(batch)._replace(output=output, state=state)
    part = head.places(encoded, batch.target)[term]
    shift = 0 if term == "backward" else 1  # the step of the first token that is predicted
    scores = head._of_gold(term, part)
    for place in range(len(scores)):
        (slope,) = torch.autograd.grad(scores[place], x, retain_graph=True)
        seen = (slope[0].abs() > 0).any(1).nonzero().flatten().tolist()
        step, steps = place + shift, list(range(x.shape[1]))
        expected = {
            "forward": steps[:step],
            "backward": steps[step + 1 :],
            "both": steps[:step] + steps[step + 1 :],
        }
        assert seen == expected[term], (term, step)


def test_a_counted_language_is_learnt_alike_in_both_directions():
    """Ten texts of five kinds: both chains come to the shares that were counted."""
    counts = {"ab": 4, "abb": 2, "ba": 2, "b": 1, "aab": 1}
    trained = language_model(counts, hidden=12, seed=1)
    learn(trained, [text for text, count in counts.items() for _ in range(count)])
    total = sum(counts.values())
    for text, answer in zip(counts, trained.predict(list(counts)), strict=True):
        forward = math.exp(sum(answer["forward"]) + answer["end"])
        backward = math.exp(sum(answer["backward"]) + answer["begin"])
        assert forward == pytest.approx(counts[text] / total, abs=0.01)
        assert backward == pytest.approx(forward, abs=0.01)
    # p(x_2 | x_1 = a, the text goes on with one more b) = 2 of 3 are abb, 1 is aab
    (answer,) = trained.predict(["abb"])
    assert math.exp(answer["both"][1]) == pytest.approx(2 / 3, abs=0.02)


def test_a_gap_is_filled_from_both_sides_where_one_side_says_nothing():
    """In the middle stands a between like letters and b between unlike ones."""
    texts = ["xax", "yay", "xby", "ybx"]
    trained = language_model(texts, hidden=12, seed=2)
    learn(trained, texts)
    for answer in trained.predict(texts):
        forward, backward, both = (math.exp(answer[term][1]) for term in TERMS)
        assert forward == pytest.approx(0.5, abs=0.05)
        assert backward == pytest.approx(0.5, abs=0.05)
        assert both > 0.98


def test_metrics_weigh_tokens_and_not_batches():
    trained = language_model(["abcd"])
    texts = ["abcdabcd", "", "a", "bb", "abc"]
    answers = trained.predict(texts)
    metrics = trained.model.metrics()
    for part in (texts[:1], texts[1:]):
        trained.model.measure(metrics, batch_of(trained, part))
    values = {name: float(metric.compute()) for name, metric in metrics.items()}
    logs = {term: [log for a in answers for log in a[term]] for term in TERMS}
    logs["forward"] += [answer["end"] for answer in answers]
    logs["backward"] += [answer["begin"] for answer in answers]
    for term, prefix in zip(TERMS, ("", "backward_", "both_"), strict=True):
        mean = -math.fsum(logs[term]) / len(logs[term])
        assert len(logs[term]) == (14 if term == "both" else 19)
        assert values[f"{prefix}perplexity"] == pytest.approx(math.exp(mean))
        assert values[f"{prefix}bits_per_character"] == pytest.approx(mean / math.log(2))


def test_the_loss_is_the_weighted_sum_of_the_terms():
    texts = ["abab", "b"]
    whole = language_model(weights={"both": 0.5, "backward": 2.0})
    metrics = whole.model.metrics()
    loss = whole.model.measure(metrics, batch := batch_of(whole, texts)).detach()
    torch.testing.assert_close(loss, whole.model.loss(batch).detach())
    logs = [
        math.log(float(metrics[f"{p}perplexity"].compute())) for p in ("", "backward_", "both_")
    ]
    assert float(loss) == pytest.approx(logs[0] + 2 * logs[1] + 0.5 * logs[2])


def test_words_tokens_and_further_features_of_the_same_tokens():
    data = {
        "features": {
            "words": {"column": "text", "kind": "tokens"},
            "ends": {"column": "text", "kind": "tokens", "transform": "suffix:1"},
        },
        "target": {"kind": "inputs"},
    }
    trained = language_model(["the cat sat", "a cat"], data=data)
    info = trained.processor.info.target
    assert (info.feature, info.unit, info.size) == ("words", "token", 4 + 4)
    (answer,) = trained.predict(["the cat"])
    assert len(answer["both"]) == 2
    assert "bits_per_token" in trained.model.metrics()
    batch = batch_of(trained, ["the cat"])
    assert trained.processor.decode_target(batch.target[0].tolist()) == ["the", "cat"]
    assert batch.inputs["ends"].shape == batch.target.shape


def test_a_text_that_is_cut_has_no_end():
    trained = language_model(["abcd"], data={**DATA, "max_length": 4})
    batch = batch_of(trained, ["abcdab", "ab"])
    assert batch.target.tolist()[0][:1] == [2]
    assert 3 not in batch.target.tolist()[0]
    cut, whole = trained.predict(["abcdab", "ab"])
    assert "end" not in cut
    # nothing is known of what stands after the last token that was kept
    assert [len(cut[term]) for term in TERMS] == [3, 2, 2]
    assert [len(whole[term]) for term in TERMS] == [2, 2, 2]


def test_a_tied_softmax_is_the_embedding_and_survives_a_bundle(tmp_path):
    trained = language_model(["abcd"], tied=True)
    model = trained.model
    assert model.head.vocabulary.output.weight is model.encoder.embeddings[0].weight
    path = save_bundle(tmp_path / "bundle", model, trained.processor, trained.config)
    again = seqlab.load(path)
    assert again.model.head.vocabulary.output.weight is again.model.encoder.embeddings[0].weight
    assert again.predict(["abba", "d"]) == trained.predict(["abba", "d"])


@pytest.mark.parametrize(("direction", "term"), [("forward", "forward"), ("backward", "backward")])
def test_one_direction_of_two(direction, term):
    trained = language_model(direction=direction)
    (answer,) = trained.predict(["ab"])
    assert set(answer) & set(TERMS) == {term}
    end = "end" if term == "forward" else "begin"
    assert answer["log_probability"] == pytest.approx(sum(answer[term]) + answer[end])


def test_dropout_of_words_and_of_outputs():
    trained = language_model(["abcdefgh"], dropout=0.5)
    head, encoder = trained.model.head.train(), trained.model.encoder.train()
    torch.manual_seed(0)
    dropped = head.dropout(torch.ones(4, 6, 12))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped == dropped[:, :1]).all()
    encoder.word_dropout = torch.nn.Dropout(0.5)
    x = encoder.read(batch_of(trained, ["abcdefghabcdefgh"]))[1][0].detach()
    clean = encoder.eval().read(batch_of(trained, ["abcdefghabcdefgh"]))[1][0].detach()
    ratios = (x / clean).round(decimals=6)
    assert (ratios == ratios[:, :1]).all()  # whole vectors
    assert set(ratios.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(ratios[1:9], ratios[9:17])  # wherever the entry stands


LEAKING = [
    [{"name": "bidirectional"}, {"name": "stacked"}],
    [{"name": "bidirectional", "merge_mode": "sum"}],
    [{"name": "bidirectional", "merge_mode": "gate"}],
    [{"name": "bidirectional"}, {"name": "residual", "project": True}],
    [{"name": "bidirectional"}, {"name": "bidirectional"}],
]


@pytest.mark.parametrize("wrappers", LEAKING, ids=lambda w: "-".join(part["name"] for part in w))
def test_an_encoder_that_sees_both_sides_is_refused(wrappers):
    with pytest.raises(OptionError, match=r"sees both sides .* use wrapper=bidirectional"):
        language_model(wrappers=wrappers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wrappers": [], "direction": "both"}, "the encoder runs forward only"),
        ({"wrappers": [], "direction": "backward"}, "the encoder runs forward only"),
        ({"direction": "sideways"}, "direction: expected .*forward"),
        ({"cutoffs": [4], "tied": True}, "an adaptive softmax cannot be tied"),
        ({"cutoffs": [3]}, "cutoffs: expected ids that rise, above 3"),
        ({"cutoffs": [5, 5]}, "cutoffs: expected ids that rise"),
        ({"cutoffs": [90]}, "below the 6 entries"),
        ({"cutoffs": [4, 5]}, "need a width of 16"),
        ({"weights": {"sideways": 1.0}}, "weights.sideways: unknown key"),
        ({"weights": {"both": -1.0}}, r"weights: expected .*-1\.0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(OptionError, match=message):
        language_model(**options)


def test_the_target_says_what_is_wrong_with_its_features():
    numbers = {"features": {"x": {"kind": "numeric"}}, "target": {"kind": "inputs"}}
    with pytest.raises(OptionError, match="column 'x' is read by feature '"):
        fit_processor(numbers, [{"x": [1.0]}])
    other = {**DATA, "target": {"kind": "inputs", "column": "words"}}
    with pytest.raises((OptionError, ConfigError), match="no feature reads the column 'words'"):
        fit_processor(other, [{"text": "a", "words": "b"}])
