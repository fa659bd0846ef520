"""Coverage: what a decoder has looked at changes where it looks."""

from __future__ import annotations

import pytest
import torch
from encoder_decoder_helpers import CELL, TARGET, build, make_batch
from heads_helpers import make_model
from seqlab.errors import OptionError

ATTENTIONS = ["additive", "general", {"name": "multi_head", "heads": 2}]


def forced(model, batch):
    """Inputs and mask of teacher forcing, and what the decoder starts from."""
    known = model.head._known(batch.target, batch.target_lengths)
    return known, model.head.begin(model.encode(batch))


def test_additive_coverage_is_that_of_see_et_al(asymmetric):
    model, batch = build(asymmetric, attention="additive", coverage=1.0), make_batch()
    decoder, (known, (memory, state)) = model.head.decoder, forced(model, batch)
    hidden, _ = decoder.layer(decoder.embedding(known.inputs), state.layer)
    looked = decoder.run(known.inputs, known.mask, memory, state).looked
    attention, w = decoder.attention, decoder.coverage.weight.weight[:, 0]
    for row, length in enumerate(batch.lengths.tolist()):
        covered = torch.zeros(length, dtype=torch.float64)
        values = memory.values[row, :length]
        for u in range(known.inputs.shape[1]):
            q = attention.query.weight @ hidden[row, u] + attention.query.bias
            mixed = q + values @ attention.map.weight.T + covered.unsqueeze(1) * w
            weights = (torch.tanh(mixed) @ attention.vector.weight[0]).softmax(0)
            torch.testing.assert_close(looked.weights[row, u, :length], weights)
            overlap = torch.minimum(weights, covered).sum()
            torch.testing.assert_close(looked.overlap[row, u], overlap)
            covered = covered + weights


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_loss_adds_the_mean_overlap_of_real_target_steps(asymmetric, attention):
    batch, found = make_batch(poison=True), {}
    for weight in (0.0, 2.0):
        model = build(asymmetric, attention=attention, coverage=weight)
        found[weight] = model.loss(batch)
    known, begun = forced(model, batch)
    overlap = model.head._write(known, *begun).looked.overlap
    expected = sum(overlap[row, : n + 1].sum() for row, n in enumerate((5, 2, 0))) / (6 + 3 + 1)
    torch.testing.assert_close(found[2.0] - found[0.0], 2.0 * expected)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_all_steps_at_once_equal_one_by_one_in_loss_and_gradients(asymmetric, attention):
    model, batch = build(asymmetric, attention=attention, coverage=1.5), make_batch()
    known, found = None, []
    for by_step in (False, True):
        known, begun = forced(model, batch)
        write = model.head._write_by_step if by_step else model.head._write
        written = write(known, *begun)
        loss = written.scores[known.mask].square().mean() + written.looked.overlap[known.mask].sum()
        model.zero_grad()
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
        found.append((loss.detach(), gradients))
    torch.testing.assert_close(found[0], found[1])
    assert found[0][1]["head.decoder.coverage.weight.weight"].count_nonzero()


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_rows_of_a_beam_keep_their_own_coverage(asymmetric, attention):
    model, batch = build(asymmetric, attention=attention, coverage=1.0), make_batch()
    beam = {"name": "beam", "width": 4}
    whole = model.predict(batch, search=beam, n_best=4)
    for row in range(3):
        alone = type(batch)(
            {name: x[row : row + 1] for name, x in batch.inputs.items()},
            batch.lengths[row : row + 1],
        )
        (one,) = model.predict(alone, search=beam, n_best=4)
        for a, b in zip(one["alternatives"], whole[row]["alternatives"], strict=True):
            assert a["tokens"] == b["tokens"]
            assert a["score"] == pytest.approx(b["score"])


def test_coverage_needs_an_attention_that_looks():
    for option, value in (("coverage", 1.0), ("copy", True)):
        spec = {"name": "encoder_decoder", "attention": "none", "decoder": {"cell": CELL}}
        with pytest.raises(OptionError, match=f"head.{option}: attention=none looks nowhere"):
            make_model({**spec, option: value}, TARGET)
    with pytest.raises(OptionError, match="coverage: expected a number of at least 0"):
        make_model({"name": "encoder_decoder", "coverage": -1.0}, TARGET)
