"""Random masks of a sequence, drawn once and applied step by step."""

from __future__ import annotations

import pytest
import seqlab
import torch
import torch.nn.functional as F

BATCH, STEPS, WIDTH = 3, 5, 4
X = torch.randn(BATCH, STEPS, WIDTH, generator=torch.Generator().manual_seed(1)).double()


def stepped(layer, noise, x=X):
    state, outputs = layer.initial_state(BATCH), []
    for t in range(STEPS):
        output, state = layer.step(x[:, t], state, None if noise is None else noise.at(t))
        outputs.append(output)
    return torch.stack(outputs, 1)


def noise_of(layer, seed=3):
    torch.manual_seed(seed)
    return layer.sample_noise(BATCH, STEPS, device=X.device, dtype=X.dtype)


CELL_OPTIONS = {
    "dropout": {"dropout": 0.4},
    "recurrent_dropout": {"recurrent_dropout": 0.4},
    "untied": {"dropout": 0.4, "recurrent_dropout": 0.4, "untied_dropout": True},
    "weight_dropout": {"weight_dropout": 0.4},
    "zoneout": {"zoneout": 0.4},
}


@pytest.mark.parametrize("name", CELL_OPTIONS)
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("wrap", ["plain", "residual"])
def test_steps_with_the_noise_of_a_sequence_equal_its_run(name, cell, wrap):
    layer = seqlab.Recurrent(seqlab.get("cell", cell)(WIDTH, WIDTH, **CELL_OPTIONS[name])).double()
    layer = seqlab.Residual(layer) if wrap == "residual" else layer
    torch.manual_seed(3)
    whole, _ = layer(X)  # draws the same masks under the same seed
    found = stepped(layer, noise_of(layer))
    torch.testing.assert_close(found, whole)
    assert (found - stepped(layer, noise_of(layer, 4))).abs().max() > 1e-3
    layer.eval()
    assert layer.sample_noise(BATCH, STEPS, device=X.device, dtype=X.dtype) is None


@pytest.mark.parametrize("residual", [False, True])
def test_a_stack_applies_its_masks_between_its_layers(residual):
    parts = [seqlab.GRU(WIDTH, WIDTH, recurrent_dropout=0.3), seqlab.LSTM(WIDTH, WIDTH)]
    layer = seqlab.Stacked(parts, dropout=0.5, residual=residual).double()
    noise = noise_of(layer)
    inner, between = noise.layers[0], noise.between
    assert between[0] is None
    assert set(between[1].unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(between[1][0], between[1][1])
    first = stepped(parts[0], inner) + (X if residual else 0)
    second = stepped(parts[1], None, first * between[1].transpose(0, 1))
    expected = second + (first if residual else 0)
    torch.testing.assert_close(stepped(layer, noise), expected)


def test_without_noise_no_step_is_random():
    layer = seqlab.Stacked(
        [seqlab.GRU(WIDTH, 4, dropout=0.4), seqlab.GRU(4, 4, zoneout=0.2)], dropout=0.5
    ).double()
    first = stepped(layer, None)
    assert torch.equal(first, stepped(layer, None))
    torch.testing.assert_close(first, layer.eval()(X)[0])
    torch.testing.assert_close(first, stepped(layer, None))


def test_a_residual_carries_what_was_not_dropped(monkeypatch):
    layers = [seqlab.GRU(WIDTH, WIDTH), seqlab.GRU(WIDTH, WIDTH)]
    layer = seqlab.Stacked(layers, dropout=0.5, residual=True).double()
    monkeypatch.setattr(F, "dropout", lambda value, rate, training: value * 0)  # noqa: ARG005
    first = layers[0](X)[0] + X
    expected = layers[1](first * 0)[0] + first
    torch.testing.assert_close(layer(X)[0], expected)


def test_a_layer_of_another_author_needs_no_noise():
    class Doubled(seqlab.Around):
        def combine(self, x, output):  # noqa: ARG002  # the contract's signature
            return 2 * output

        def step(self, x_BD, state):
            output, final = self.layer.step(x_BD, state)
            return 2 * output, final

        def sample_noise(self, batch_size, steps, *, device, dtype):
            del batch_size, steps, device, dtype

    layer = seqlab.Stacked([Doubled(seqlab.GRU(WIDTH, 4)), seqlab.GRU(4, 4)], dropout=0.5).double()
    torch.testing.assert_close(stepped(layer, None), layer.eval()(X)[0])
    assert stepped(layer.train(), noise_of(layer)).shape == (BATCH, STEPS, 4)


def test_penalties_of_outputs_count_steps_too():
    layer = seqlab.GRU(WIDTH, 4, activity_regularizer="l2").double()
    layer(X)
    whole = layer.regularization_loss()
    stepped(layer, None)
    torch.testing.assert_close(layer.regularization_loss(), whole)


@pytest.mark.parametrize("wrap", ["plain", "residual", "stacked"])
def test_masked_steps_keep_the_state_and_give_zeros(wrap):
    layer = seqlab.LSTM(WIDTH, WIDTH)
    if wrap == "residual":
        layer = seqlab.Residual(layer)
    elif wrap == "stacked":
        layer = seqlab.Stacked([layer, seqlab.GRU(WIDTH, WIDTH)], residual=True, dropout=0.5)
    layer = layer.double().eval()
    mask = torch.tensor([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]).bool()
    poisoned = X.masked_fill(~mask.unsqueeze(-1), float("nan"))
    whole, final = layer(X, mask=mask)
    state, outputs = layer.initial_state(BATCH), []
    for t in range(STEPS):
        output, state = layer.step(poisoned[:, t], state, mask=mask[:, t])
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), whole)
    torch.testing.assert_close(layer.final_output(state), layer.final_output(final))
