"""Copying from the source: probabilities, unknown words, a task that only copying can learn."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from encoder_decoder_helpers import COPIES, TARGET, build, make_batch
from heads_helpers import make_model
from seqlab.build import build_model
from seqlab.bundle.trained import TrainedModel
from seqlab.data.processor import fit_processor
from seqlab.errors import OptionError
from seqlab.heads.pointer import UNK


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
