from __future__ import annotations

import pytest
import seqlab
import torch
from heads_helpers import info_of, random_encoded
from seqlab.construct import construct
from seqlab.model import Encoder
from seqlab.types import Batch, FeatureInfo

MASK = torch.tensor(
    [
        [1, 1, 1, 1, 1],
        [1, 1, 0, 0, 0],
        [0, 1, 0, 1, 0],  # holes
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
    ]
).bool()
NAMES = ["last", "first", "mean", "max", "final_state", "attention"]


def build(name, encoded, **options):
    return construct("pooling", {"name": name, **options}, info_of(encoded))


def by_hand(name, real, directions, pooling):
    """One row: its real steps ``[n, E]``, in order."""
    forward = directions[0]
    if name == "last":
        return torch.cat([real[-1, :forward], real[0, forward:]])
    if name == "first":
        return torch.cat([real[0, :forward], real[-1, forward:]])
    if name == "mean":
        return real.mean(0)
    if name == "max":
        return real.max(0).values
    scores = torch.stack([pooling.score(torch.tanh(pooling.hidden(step))) for step in real])
    return (scores.exp() / scores.exp().sum() * real).sum(0)


@pytest.mark.parametrize("directions", [(3, 2), (5,), (0, 5)])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "final_state"])
def test_each_row_is_pooled_over_its_real_steps_alone(name, directions):
    encoded = random_encoded(MASK, directions, dtype=torch.float64)
    pooling = build(name, encoded).double()
    found = pooling(encoded)
    assert pooling.output_size == found.shape[1] == 5
    for row, mask in enumerate(MASK):
        real = encoded.output[row, mask]
        expected = by_hand(name, real, directions, pooling) if len(real) else torch.zeros(5)
        torch.testing.assert_close(found[row], expected.to(found.dtype))


def test_final_state_is_what_the_encoder_gives_or_zeros():
    encoded = random_encoded(MASK)
    found = build("final_state", encoded)(encoded)
    assert found.shape == (5, 4)
    assert found[3].eq(0).all()
    rest = [0, 1, 2, 4]
    assert found[rest].equal(encoded.final[rest])


@pytest.mark.parametrize("name", NAMES)
def test_sequences_without_any_step(name):
    encoded = random_encoded(torch.zeros(2, 0, dtype=torch.bool))
    found = build(name, encoded)(encoded)
    assert found.eq(0).all()
    assert found.shape == (2, 4 if name == "final_state" else 5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_real_steps_only_and_are_right(name):
    encoded = random_encoded(MASK, dtype=torch.float64)
    pooling = build(name, encoded).double()
    clean = encoded.output.nan_to_num(0.0).requires_grad_()
    final = encoded.final.clone().requires_grad_()

    def run(output, final):
        return pooling(encoded._replace(output=output, final=final))

    assert torch.autograd.gradcheck(run, (clean, final))
    run(clean, final).sum().backward()
    if name != "final_state":
        assert clean.grad[~MASK].eq(0).all()
        assert clean.grad[MASK].ne(0).any()


@pytest.mark.parametrize("kind", ["forward", "backward", "both", "deep"])
def test_last_equals_the_final_state_of_real_layers(kind):
    layer = {
        "forward": lambda size: seqlab.GRU(size, 3),
        "backward": lambda size: seqlab.GRU(size, 3, reverse=True),
        "both": lambda size: seqlab.Bidirectional(
            seqlab.GRU(size, 3), backward_layer=seqlab.RNN(size, 2)
        ),
        "deep": lambda size: seqlab.Bidirectional(
            seqlab.Stacked([seqlab.GRU(size, 4), seqlab.GRU(4, 3)])
        ),
    }[kind]
    encoder = Encoder((FeatureInfo("x", "numeric", 2),), layer)
    batch = Batch({"x": torch.randn(3, 4, 2)}, torch.tensor([4, 2, 0]))
    encoded = encoder(batch)
    last = construct("pooling", "last", encoder.info)(encoded)
    torch.testing.assert_close(last, construct("pooling", "final_state", encoder.info)(encoded))
    assert last[:2].abs().min() > 0
    first = construct("pooling", "first", encoder.info)(encoded)
    assert not torch.allclose(first[:2], last[:2])


def test_attention_dropout_only_in_training():
    encoded = random_encoded(MASK)
    pooling = build("attention", encoded, size=7, dropout=0.5)
    assert pooling.hidden.out_features == 7
    assert not pooling(encoded).equal(pooling(encoded))
    pooling.eval()
    assert pooling(encoded).equal(pooling(encoded))
