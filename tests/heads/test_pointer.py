"""Copying from the source: probabilities, unknown words, a task that only copying can learn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from encoder_decoder_helpers import COPIES, TARGET, build, make_batch
from heads_helpers import make_model
from seqlab.build import build_model
from seqlab.bundle.trained import TrainedModel
from seqlab.data.encoded import EncodedRows
from seqlab.data.processor import fit_processor
from seqlab.errors import OptionError
from seqlab.heads.pointer import UNK, with_copied_ids
from seqlab.target_names import SOLE


def written(model, batch):
    known = model.head._known(batch.target, batch.target_lengths)
    begun = model.head.begin(model.encode(batch))
    return known, begun, model.head._write(known, *begun)


def test_probabilities_are_the_mixture_of_writing_and_copying(asymmetric):
    model, batch = build(asymmetric, attention="additive", copy=True), make_batch(poison=True)
    decoder = model.head.decoder
    known, (memory, state), found = written(model, batch)
    hidden, _ = decoder.layer(decoder.embedding(known.inputs), state.layer)
    context, weights = decoder.attention(hidden, memory)
    scores = decoder.output(decoder.readout(torch.cat([hidden, context], -1)))
    for row, length in enumerate(batch.lengths.tolist()):
        source = [COPIES[i] for i in batch.inputs["text"][row, :length].tolist()]
        for u in range(known.inputs.shape[1]):
            seen = [context[row, u], hidden[row, u], decoder.embedding(known.inputs[row, u])]
            gate = torch.sigmoid(decoder.pointer.gate(torch.cat(seen)))
            p = scores[row, u].softmax(0)
            if length:
                p = gate * p
                for step, token in enumerate(source):
                    p[token] = p[token] + (1 - gate[0]) * weights[row, u, step]
            torch.testing.assert_close(found.scores[row, u].exp(), p)
            torch.testing.assert_close(p.sum(), torch.ones_like(p.sum()))


def test_gradients_are_finite_where_nothing_is_written_or_copied(asymmetric):
    model, batch = build(asymmetric, attention="additive", copy=True), make_batch()
    for bias in (-800.0, 800.0):
        with torch.no_grad():
            model.head.decoder.pointer.gate.bias.fill_(bias)
        model.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad.isfinite().all() for p in model.parameters())


def test_unknown_tokens_say_where_they_were_taken_from(asymmetric):
    model, batch = build(asymmetric, attention="additive", copy=True), make_batch()
    with torch.no_grad():
        model.head.decoder.output.bias[UNK] += 9.0
        model.head.decoder.output.bias[2] -= 50.0
    for answer in model.predict(batch, max_length=3, search={"name": "beam", "width": 2}, n_best=2):
        for one in (answer, *answer["alternatives"]):
            assert [u for u, t in enumerate(one["tokens"]) if t == UNK] or not one["copied"]
    rows = model.predict(batch, max_length=3)
    memory, _ = model.head.begin(model.encode(batch))
    for row, answer in enumerate(rows):
        unknown = {
            t for t in range(int(batch.lengths[row])) if COPIES[batch.inputs["text"][row, t]] == UNK
        }
        places = [u for u, token in enumerate(answer["tokens"]) if token == UNK]
        assert [u for u, _ in answer["copied"]] == (places if unknown else [])
        assert {step for _, step in answer["copied"]} <= unknown
    assert memory.ids[0].tolist() == [COPIES[i] for i in batch.inputs["text"][0].tolist()]


NAMES = ["bo", "cy", "di", "ed", "flo", "gus", "hal", "ida"]


def greetings(names):
    return [{"there": f"my name is {name} .", "back": f"hello {name} !"} for name in names]


def learned(**options):
    """A model of greetings that has seen some names twice and, as unknown words, others once."""
    torch.manual_seed(1)
    words = {"name": "words", "min_count": 2}
    spec = {
        "features": {"text": {"column": "there", "tokenizer": words}},
        "target": {"column": "back", "kind": "text", "tokenizer": words, "copies": "text"},
    }
    rows = greetings([*NAMES[:4], *NAMES])
    processor = fit_processor(spec, rows)
    head = {"name": "encoder_decoder", "attention": "additive", "embedding_size": 8, **options}
    head["decoder"] = {"cell": {"name": "gru", "hidden_size": 12}}
    encoder = {"cell": {"name": "gru", "hidden_size": 8}, "embedding": {"size": 8}}
    config = {"encoder": {**encoder, "wrappers": [{"name": "bidirectional"}]}, "head": head}
    model = build_model(config, processor.info)
    batch = processor.collate([processor.encode(row) for row in rows])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(80):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
    return TrainedModel(model.eval(), processor, config)


def test_words_that_no_vocabulary_has_are_copied():
    model = learned(copy=True, coverage=1.0)
    texts = [row["there"] for row in greetings(["zoe", "quincy"])]
    for answer, name in zip(model.predict(texts), ["zoe", "quincy"], strict=True):
        assert answer["text"] == f"hello {name} !"
        assert answer["copied"] == [[1, 3]]
    (one,) = model.predict(texts[:1], search={"name": "beam", "width": 3}, n_best=2)
    assert one["alternatives"][0]["text"] == "hello zoe !"
    (known,) = model.predict(["my name is cy ."])
    assert (known["text"], known["copied"]) == ("hello cy !", [])
    plain = learned()
    assert "copied" not in plain.predict(texts)[0]
    assert plain.predict(texts)[0]["text"] != "hello zoe !"


def test_metrics_know_which_word_was_copied():
    torch.manual_seed(0)
    model = learned(copy=True, coverage=1.0, metrics=[{"name": "bleu", "n_gram": 2}, "chrf"])

    def measured(rows):
        metrics = model.model.head.metrics()
        for metric in metrics.values():
            if hasattr(metric, "decode"):
                metric.decode = model.processor.writers()[SOLE]
        batch = model.processor.collate([model.processor.encode(row) for row in rows])
        with torch.no_grad():
            encoded = model.model.encode(batch)
            model.model.head.measure(metrics, encoded, batch)
        return {name: round(float(metric.compute()), 4) for name, metric in metrics.items()}

    right = greetings(["zoe", "quincy"])
    assert measured(right)["token_error_rate"] == 0
    assert measured(right)["bleu"] == measured(right)["chrf"] == 1
    # another unknown word, in the source or nowhere, is an error, and so is <unk> for <unk>
    other = [{"there": "my name is zoe .", "back": "hello quincy !"}]
    assert measured(other)["token_error_rate"] == 0.3333
    assert measured(other)["bleu"] < 1
    swapped = [{"there": "my name is zoe quincy", "back": "hello quincy !"}]
    answer = model.predict([swapped[0]["there"]])[0]["text"]
    errors = sum(a != b for a, b in zip(answer.split(), ["hello", "quincy", "!"], strict=True))
    assert measured(swapped)["token_error_rate"] == round(errors / 3, 4)


def test_a_word_that_the_source_repeats_is_one_word():
    processor = learned(copy=True).processor
    rows = [{"there": "zoe name is zoe quincy", "back": "quincy zoe and nobody"}]
    batch = processor.collate([processor.encode(row) for row in rows])
    size = processor.target.tokenizer.size
    assert batch.source_tokens == [["zoe", "name", "is", "zoe", "quincy"]]
    assert batch.references == [[[size + 5, size + 1, UNK, UNK]]]
    assert batch.target.tolist() == [[UNK] * 4]
    answers = with_copied_ids(
        [[UNK, UNK, UNK, 5]], [[[0, 4], [1, 3]]], batch.source_tokens, size + 1
    )
    assert answers == [[size + 5, size + 1, UNK, 5]]
    parts = [processor.encode_columns({k: [row[k]] for k in row}, str) for row in rows * 2]
    assert EncodedRows.concatenate(parts).batch(np.array([1, 0])).references == batch.references * 2
    named = batch.of_target("none")
    assert named.source_tokens is None
    assert batch.without_targets().source_tokens is None


def test_a_string_for_a_list_of_tokens_is_cut_into_words():
    tokens = {"column": "there", "kind": "tokens", "transform": "lower"}
    target = {"column": "back", "kind": "text", "copies": "t", "tokenizer": {"name": "words"}}
    rows = [{"there": ["My", "name", "Zoe"], "back": "hello you"}]
    processor = fit_processor({"features": {"t": tokens}, "target": target}, rows)
    for value in ("my friend Quincy", ["my", "friend", "Quincy"]):
        row = {"there": value, "back": "hello Quincy"}
        batch = processor.collate([processor.encode(row)])
        assert batch.source_tokens == [["my", "friend", "Quincy"]]
        assert batch.references[0][0][1] == processor.target.tokenizer.size + 3
        ids = processor.target.tokenizer.encode(["hello quincy"]).values.tolist()
        answer = processor.decode_answer(processor.target, ids, [[1, 2]], value)
        assert answer == "hello Quincy"


@pytest.mark.parametrize(
    ("copies", "message"),
    [
        ("texts", "data.target.copies: no feature is called 'texts': did you mean 'text'"),
        ("pitch", "data.target.copies: feature 'pitch' has no token for each step"),
    ],
)
def test_what_cannot_be_copied(copies, message):
    spec = {
        "features": {"text": {"column": "a"}, "pitch": {"column": "b", "kind": "numeric"}},
        "target": {"column": "c", "kind": "text", "copies": copies},
    }
    with pytest.raises(OptionError, match=message):
        fit_processor(spec, [{"a": "x y", "b": [1.0, 2.0], "c": "y"}])


def test_copying_needs_a_target_that_says_what():
    silent = dataclasses.replace(TARGET, copies=())
    with pytest.raises(OptionError, match=r"give data.target.copies=NAME"):
        make_model({"name": "encoder_decoder", "copy": True}, silent)
