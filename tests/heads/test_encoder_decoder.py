"""Encoder-decoders: loss, padding, teacher forcing, training."""

from __future__ import annotations

import json

import pytest
import torch
from encoder_decoder_helpers import CELL, OPTIONS, TARGET, build, make_batch, spec
from heads_helpers import gradients, info_of, random_encoded
from seqlab.errors import DataError, OptionError
from seqlab.heads.encoder_decoder import EncoderDecoderHead, Known
from seqlab.heads.states import leaves
from seqlab.types import Batch, TargetInfo


@pytest.mark.parametrize("options", OPTIONS)
def test_what_stands_in_the_padding_never_matters(asymmetric, options):
    model = build(asymmetric, **options)
    results = []
    for poison in (False, True):
        batch = make_batch(poison=poison)
        loss = model.loss(batch)
        results.append((loss.detach(), gradients(model, loss)))
        results[-1] += (model.predict(batch, search={"name": "beam", "width": 3}),)
    assert results[0][0].isfinite()
    torch.testing.assert_close(results[0][:2], results[1][:2], rtol=0, atol=0)
    assert results[0][2] == results[1][2]
    json.dumps(results[0][2])


@pytest.mark.parametrize("options", OPTIONS)
def test_more_padding_changes_nothing(asymmetric, options):
    model, batch = build(asymmetric, **options), make_batch()
    wide = Batch(
        {
            name: torch.nn.functional.pad(x, (0, 0) * (x.dim() - 2) + (0, 3), value=4)
            for name, x in batch.inputs.items()
        },
        batch.lengths,
        torch.nn.functional.pad(batch.target, (0, 2), value=4),
        batch.target_lengths,
    )
    torch.testing.assert_close(model.loss(wide), model.loss(batch))
    for one, two in zip(model.predict(wide), model.predict(batch), strict=True):
        assert one["tokens"] == two["tokens"]
        assert one["score"] == pytest.approx(two["score"])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("options", [o for o in OPTIONS if "input_feeding" not in o])
def test_one_call_over_the_target_equals_step_by_step(asymmetric, options, training):
    model, batch = build(asymmetric, **options).train(training), make_batch()
    found = []
    for by_step in (False, True):
        model.head.decoder.input_feeding = False
        memory, state = model.head.decoder.start(model.encode(batch))
        inputs = torch.tensor([[5, 3, 4, 0, 6, 3], [5, 6, 3, 0, 0, 0], [5, 0, 0, 0, 0, 0]])
        mask = torch.arange(6) < (batch.target_lengths + 1).unsqueeze(1)
        call = model.head._write_by_step if by_step else model.head._write
        scores = call(Known(inputs, inputs, mask), memory, state).scores[mask]
        weight = torch.linspace(-1, 1, scores.numel(), dtype=scores.dtype).view_as(scores)
        found.append((scores.detach(), gradients(model, (scores * weight).sum())))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("options", [o for o in OPTIONS if "input_feeding" not in o])
def test_scheduled_sampling_that_never_samples_equals_teacher_forcing(asymmetric, options):
    batch = make_batch()
    plain = build(asymmetric, **options).train()
    schedule = {"name": "linear", "steps": 5, "floor": 1.0}
    sampled = build(asymmetric, schedule=schedule, **options).train()
    one, two = plain.loss(batch), sampled.loss(batch)
    torch.testing.assert_close(one, two)
    torch.testing.assert_close(gradients(plain, one), gradients(sampled, two))
    assert sampled.head.forcing.count == 1
    sampled.eval().loss(batch)
    assert sampled.head.forcing.count == 1


def test_without_teacher_forcing_the_decoder_never_sees_the_target(asymmetric):
    model = build(asymmetric, teacher_forcing=0.0).train()
    head = model.head
    memory, state = head.decoder.start(model.encode(make_batch()))
    mask, found = torch.ones(3, 6).bool(), []
    for token in (0, 6):
        inputs = torch.full((3, 6), token)
        inputs[:, 0] = 5
        torch.manual_seed(4)
        found.append(head._write_by_step(Known(inputs, inputs, mask), memory, state).scores)
    assert found[0].equal(found[1])
    head.eval()
    assert not head.decoder.run(inputs, mask, memory, state).scores.equal(found[0])


def test_loss_is_the_mean_over_tokens_and_end_marks(asymmetric):
    model, batch = build(asymmetric, label_smoothing=0.1), make_batch()
    memory, state = model.head.decoder.start(model.encode(batch))
    total, count = 0.0, 0
    for row, tokens in enumerate([[3, 4, 0, 6, 3], [6, 3], []]):
        inputs = torch.tensor([[5, *tokens]] * 3)
        scores = model.head.decoder.run(inputs, inputs.ge(0), memory, state).scores[row]
        goal = torch.tensor([*tokens, 2])
        total += torch.nn.functional.cross_entropy(
            scores, goal, reduction="sum", label_smoothing=0.1
        )
        count += len(goal)
    torch.testing.assert_close(model.loss(batch), total / count)


def test_gradients_of_the_loss(asymmetric):
    mask = make_batch().lengths.unsqueeze(1) > torch.arange(4)
    encoded = random_encoded(mask, dtype=torch.float64)._replace(inputs=make_batch().inputs)
    for options in OPTIONS[:1] + OPTIONS[4:]:
        chosen = {key: value for key, value in spec(**options).items() if key != "name"}
        head = asymmetric(EncoderDecoderHead(info_of(encoded), TARGET, **chosen)).double().eval()
        output, final = encoded.output.nan_to_num(0.0).requires_grad_(), encoded.final.clone()

        def run(output, final, head=head):
            return head.loss(encoded._replace(output=output, final=final), make_batch())

        assert torch.autograd.gradcheck(run, (output, final.requires_grad_()))


@pytest.mark.parametrize("options", OPTIONS)
def test_sources_and_targets_without_steps(asymmetric, options):
    model = build(asymmetric, **options)
    lengths = torch.zeros(2, dtype=torch.long)
    inputs = {"text": torch.zeros(2, 0, dtype=torch.long), "pitch": torch.zeros(2, 0, 2)}
    batch = Batch(inputs, lengths, torch.zeros(2, 0, dtype=torch.long), lengths)
    assert model.loss(batch).isfinite()
    one, two = model.predict(batch)
    # rows of one product may differ in their last digit
    assert two == {**one, "score": pytest.approx(one["score"], rel=1e-12)}
    # equal to a row of no real steps beside others
    row = make_batch(lengths=(4, 2, 0))
    assert model.predict(row)[2]["tokens"] == one["tokens"]


def test_the_bridge_fills_every_field_of_the_state(asymmetric):
    model = build(asymmetric, decoder={"cell": CELL, "num_layers": 2})
    encoded = model.encode(make_batch())
    _, state = model.head.decoder.start(encoded)
    fields = leaves(state.layer)
    assert len(fields) == 4
    for field, part in zip(fields, model.head.decoder.bridge.maps, strict=True):
        expected = torch.tanh(encoded.final @ part.weight.T + part.bias)
        torch.testing.assert_close(field, expected)


def test_tied_embedding_is_one_parameter(asymmetric):
    decoder = build(asymmetric, tied_embedding=True).head.decoder
    assert decoder.output.weight is decoder.embedding.weight


def test_dropout_is_for_training_only(asymmetric):
    model, batch = build(asymmetric, dropout=0.5), make_batch()
    assert model.loss(batch).equal(model.loss(batch))
    model.train()
    assert not model.loss(batch).equal(model.loss(batch))


def test_cell_dropout_also_acts_step_by_step(asymmetric):
    cell = {**CELL, "recurrent_dropout": 0.5}
    model = build(asymmetric, decoder={"cell": cell}, input_feeding=True)
    batch = make_batch()
    assert model.loss(batch).equal(model.loss(batch))
    model.train()
    assert not model.loss(batch).equal(model.loss(batch))


def test_regularization_of_the_decoder_reaches_the_loss(asymmetric):
    cell = {**CELL, "kernel_regularizer": {"name": "l2", "l2": 0.5}}
    batch = make_batch()
    plain, regular = build(asymmetric), build(asymmetric, decoder={"cell": cell})
    penalty = regular.head.decoder.layer.regularization_loss()
    assert penalty > 0
    torch.testing.assert_close(regular.loss(batch), plain.loss(batch) + penalty)
    measured = regular.measure(regular.metrics(), batch)
    torch.testing.assert_close(measured, plain.loss(batch))


def test_activity_penalties_of_the_decoder_do_not_count_padding(asymmetric):
    cell = {**CELL, "activity_regularizer": {"name": "l2", "l2": 0.5}}
    model, batch = build(asymmetric, decoder={"cell": cell}).train(), make_batch()
    wide = Batch(
        batch.inputs,
        batch.lengths,
        torch.nn.functional.pad(batch.target, (0, 9)),
        batch.target_lengths,
    )
    torch.testing.assert_close(model.loss(wide), model.loss(batch))


@pytest.mark.parametrize("options", OPTIONS)
def test_autocast(asymmetric, options):
    model = build(asymmetric, **options).float().train()
    batch = make_batch()
    full = model.loss(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model.loss(batch)
        model.eval().predict(batch, search={"name": "beam", "width": 2})
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.02)
    half.backward()


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (TargetInfo("tokens", 7), {}, "needs bos and eos"),
        (TargetInfo("tokens", 7, bos=1, eos=7), {}, "eos is 7, outside of the 7 target tokens"),
        (TARGET, {"decoder": {"cells": CELL}}, "head.decoder.cells: unknown key, did you mean"),
        (TARGET, {"decoder": {"cell": "gru"}}, "head.decoder.cell: cell 'gru' needs hidden_size"),
        (TARGET, {"decoder": {"num_layers": 0}}, "head.decoder.num_layers: expected an int"),
        (TARGET, {"attention": "dot"}, "head.attention: dot attention needs"),
        (TARGET, {"search": {"name": "beam", "width": 0}}, "head.search.width: expected an int"),
        (TARGET, {"max_length": 0}, "max_length: expected an int of at least 1 or null, got 0"),
        (TARGET, {"max_ratio": 0.0}, "max_ratio: expected a number above 0 or null, got 0.0"),
        (TARGET, {"input_feeding": 1}, "input_feeding"),
    ],
)
def test_wrong_options(target, options, message):
    encoded = random_encoded(torch.ones(1, 1).bool())
    with pytest.raises(OptionError, match=message):
        EncoderDecoderHead(info_of(encoded), target, **options)


def test_a_loss_needs_a_target(asymmetric):
    model, batch = build(asymmetric), make_batch()
    with pytest.raises(DataError, match="the batch has no target"):
        model.loss(Batch(batch.inputs, batch.lengths))


@pytest.mark.parametrize("layers", [1, 2])
def test_a_trained_initial_state_begins_every_row(asymmetric, layers):
    decoder = {"cell": CELL, "num_layers": layers, "initial_state": "trained"}
    model, batch = build(asymmetric, bridge=False, decoder=decoder), make_batch()
    _, state = model.head.begin(model.encode(batch))
    for field in leaves(state.layer):
        assert field.count_nonzero()
        assert field.eq(field[:1]).all()
    found = gradients(model, model.loss(batch))
    initial = [name for name in found if "decoder.layer" in name and "initial" in name]
    assert len(initial) == 2 * layers
    assert all(found[name].count_nonzero() for name in initial)
    with pytest.raises(OptionError, match=r"for a trained state give head.bridge=false"):
        build(asymmetric, decoder=decoder)
