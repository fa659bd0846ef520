"""Rows in chunks: the same losses and answers as whole rows, and truncated gradients."""

from __future__ import annotations

import datasets
import pytest
import seqlab
import torch
from seqlab.build import build_layer
from seqlab.construct import construct
from seqlab.data.module import DataModule
from seqlab.model import Encoder, SequenceModel
from seqlab.training.run import train

from small_runs import changed, pairs_spec, sentences_spec

WAYS = {
    "forward": [],
    "stacked": [{"name": "stacked"}],
    "residual": [{"name": "residual", "project": True}, {"name": "stacked"}],
}
TEXTS = ["abcab", "b", "cabbacabcabba", "aa", "bcbcbcb", "c", "abcabcabcabcabcabca"]


class Texts(seqlab.Source):
    def load(self):
        rows = {"text": TEXTS, "tags": [[c.upper() for c in text] for text in TEXTS]}
        split = datasets.Dataset.from_dict(rows)
        return datasets.DatasetDict(train=split, validation=split)

    def describe(self):
        return {"name": "texts"}


def data_of(target, **options):
    spec = {
        "features": {"text": {"tokenizer": "chars"}},
        "target": {"kind": "inputs"} if target == "inputs" else {"column": "tags", "kind": "tags"},
        "batch_size": 3,
    }
    data = DataModule(Texts(), {**spec, **options}, seed=0)
    data.prepare()
    return data


def model_of(data, wrappers=(), *, reverse=False, initial_state="zeros", **head):
    spec = {"cell": {"name": "lstm", "hidden_size": 5}, "wrappers": list(wrappers)}
    spec["initial_state"] = initial_state
    kind = "language_model" if data.info.target.kind == "inputs" else "tagging"
    torch.manual_seed(1)
    layer = build_layer(spec, 4)
    if reverse:
        layer.reverse_()
    encoder = Encoder(data.info.features, layer, embedding={"size": 4})
    head = construct("head", {"name": kind, **head}, encoder.info, data.info.target)
    model = SequenceModel(data.info, encoder, head)
    return model.double()


def measured(model, data, split="validation"):
    metrics, carry = model.metrics(), model.new_carry()
    model.eval()
    with torch.no_grad():
        for batch in data.loader(split):
            model.measure(metrics, batch, carry=carry)
    return {name: float(metric.compute()) for name, metric in metrics.items()}


@pytest.mark.parametrize("length", [1, 2, 5, 100])
@pytest.mark.parametrize("target", ["inputs", "tags"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_measured_by_chunks_is_what_is_measured_on_whole_rows(way, reverse, target, length):
    whole, cut = data_of(target), data_of(target, chunks={"length": length})
    model = model_of(whole, WAYS[way], reverse=reverse)
    cut.read_in_chunks(model.chunk_reading())
    expected, found = measured(model, whole), measured(model, cut)
    assert found == pytest.approx(expected, rel=1e-6)


def gradients(model, losses):
    found = torch.autograd.grad(sum(losses), list(model.parameters()), allow_unused=True)
    return [torch.zeros(()) if part is None else part for part in found]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("target", ["inputs", "tags"])
def test_a_chunk_as_long_as_the_rows_has_their_gradient(target, reverse):
    whole, cut = data_of(target), data_of(target, chunks={"length": 30})
    model = model_of(whole, reverse=reverse)
    cut.read_in_chunks(model.chunk_reading())
    first, second = list(whole.loader("train")), list(cut.loader("train"))
    assert len(first) == len(second)
    carry = model.new_carry()
    expected = gradients(model, [model.loss(batch) for batch in first])
    found = gradients(model, [model.loss(batch, carry) for batch in second])
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_gradient_ends_where_a_chunk_begins():
    data = data_of("inputs", chunks={"length": 4}, batch_size=1)
    model = model_of(data)
    data.read_in_chunks(model.chunk_reading())
    batches = list(data.loader("train"))
    start = next(n for n, b in enumerate(batches) if b.starts and not batches[n + 1].starts)
    carry = model.new_carry()
    found = gradients(model, [model.loss(batch, carry) for batch in batches[start : start + 2]])
    # by hand: two runs of the layer, and the state between them a constant
    ids = torch.cat([batches[start].target, batches[start + 1].target[:, 1:]], 1)
    layer, table = model.encoder.layer, model.encoder.embeddings[0]
    one, state = layer(table(ids[:, :4]))
    two, _ = layer(table(ids[:, 4:8]), type(state)(*(part.detach() for part in state)))
    losses = []
    for output, gold in ((one, ids[:, 1:5]), (two, ids[:, 5:9])):
        log_p = model.head.log_probabilities("forward", output[0, : gold.shape[1]])
        losses.append(-log_p.gather(1, gold.T).mean())
    for ours, theirs in zip(found, gradients(model, losses), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("length", [3, 7, 1000])
@pytest.mark.parametrize("reverse", [False, True])
def test_texts_end_to_end_are_one_long_text(reverse, length):
    data = data_of("inputs", chunks={"length": length, "continuous": True})
    model = model_of(data, reverse=reverse).eval()
    whole = torch.cat([batch_row(data, row) for row in range(len(TEXTS))])
    data.read_in_chunks(model.chunk_reading())
    with torch.no_grad():
        read = whole.flip(0) if reverse else whole
        term, (never, mark) = ("backward", (3, 2)) if reverse else ("forward", (2, 3))
        layer = model.encoder.layer
        if reverse:
            layer.reverse_()
        output, _ = layer(model.encoder.embeddings[0](read[None]))
        if reverse:
            layer.reverse_()
        log_p = model.head.log_probabilities(term, output[0, :-1])
    gold = read[1:]
    chosen = log_p.gather(1, gold[:, None])[gold != never]
    assert (gold == mark).sum() == len(TEXTS)  # each text has its end, as when it is read alone
    assert len(chosen) == sum(len(text) + 1 for text in TEXTS)
    found = measured(model, data)
    assert found["perplexity"] == pytest.approx(float(torch.exp(-chosen.mean())), rel=1e-6)


def batch_row(data, row):
    return torch.from_numpy(data.processor.encode({"text": TEXTS[row]}).inputs["text"]).long()


def test_streams_hold_all_texts_once_and_in_order():
    data = data_of("inputs", chunks={"length": 6, "continuous": True}, batch_size=3)
    data.read_in_chunks(model_of(data).chunk_reading())
    batches = list(data.loader("train"))
    streams = [[] for _ in range(batches[0].size)]
    for number, batch in enumerate(batches):
        assert batch.starts is (number == 0)
        for stream, ids, length in zip(
            streams, batch.inputs["text"].tolist(), batch.lengths.tolist(), strict=True
        ):
            stream.extend(ids[:length])
    expected = torch.cat([batch_row(data, row) for row in range(len(TEXTS))]).tolist()
    found = [index for stream in streams for index in stream]
    assert found == expected
    assert data.steps("train") == len(batches)


def test_epochs_have_equally_many_chunks_in_different_orders():
    data = data_of("tags", chunks={"length": 3}, batch_size=2)
    data.read_in_chunks(model_of(data).chunk_reading())
    orders = [
        [b.inputs["text"].tolist() for b in data.loader("train", epoch=epoch)] for epoch in range(3)
    ]
    assert {len(order) for order in orders} == {data.steps("train")}
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert orders[0] != orders[1] or orders[0] != orders[2]
    later = list(data.loader("train", epoch=1, start_batch=2))
    assert [b.inputs["text"].tolist() for b in later] == orders[1][2:]


def test_an_encoder_of_both_directions_carries_its_forward_half_and_is_measured_whole():
    data = data_of("inputs", chunks={"length": 4, "continuous": True})
    model = model_of(data, [{"name": "bidirectional"}], initial_state="trained")
    data.read_in_chunks(model.chunk_reading())
    assert [batch.starts for batch in data.loader("validation")] == [True]
    carry, batches = model.new_carry(), list(data.loader("train"))
    model.loss(batches[0], carry)
    state, kept = carry.before(batches[1]), carry.tensors()
    assert torch.equal(state.forward.hidden, kept[0])
    assert not state.forward.hidden.requires_grad
    assert torch.equal(
        state.backward.hidden, model.encoder.layer.backward_layer.initial_state(len(kept[2])).hidden
    )
    assert state.backward.hidden.requires_grad


def test_what_needs_whole_rows_is_refused(tmp_path):
    data = data_of("tags", chunks={"length": 4})
    with pytest.raises(seqlab.OptionError, match=r"data.chunks: a CRF scores the labels of whole"):
        model_of(data, crf=True).chunk_reading()
    spec = changed(pairs_spec(tmp_path), data__chunks={"length": 4})
    with pytest.raises(seqlab.OptionError, match=r"data.chunks: head 'encoder_decoder' ans"):
        train(spec, tmp_path / "run")
    with pytest.raises(seqlab.ConfigError, match=r"data.chunks.length: expected an int of at"):
        data_of("tags", chunks={"length": 0})
    spans = changed(sentences_spec(tmp_path), data__chunks={"length": 2}, encoder__wrappers=[])
    assert train(spans, tmp_path / "spans").values["test"]["span_f1"] >= 0


def test_evaluate_measures_as_the_run_did(tmp_path):
    from seqlab.verbs.evaluate import run as evaluate

    spec = changed(
        sentences_spec(tmp_path),
        data__features={"words": {"column": "words", "kind": "tokens"}},
        data__target={"kind": "inputs"},
        data__chunks={"length": 2, "continuous": True},
        encoder__wrappers=[],
        head={"name": "language_model"},
    )
    result = train(spec, tmp_path / "run").values["test"]
    asked = {"bundle": str(tmp_path / "run" / "bundle"), "split": "test"}
    found = evaluate(asked, tmp_path / "evaluated")["test"]
    assert found == pytest.approx(result, rel=1e-5)
