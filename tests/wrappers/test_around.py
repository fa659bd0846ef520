"""The base of layers around one layer: what a subclass need not write."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.errors import EngineError, OptionError
from torch import nn


class Scaled(seqlab.Around):
    """``y = W x * layer(x)``, widths 3 to 5."""

    def __init__(self, layer):
        super().__init__(layer)
        self.scale = nn.Linear(self.input_size, self.output_size)

    def combine(self, x, output):
        return self.scale(x) * output


def made(**options):
    torch.manual_seed(4)
    return Scaled(seqlab.LSTM(3, 5, **options)).double()


X = torch.randn(3, 7, 3, generator=torch.Generator().manual_seed(5)).double()
MASK = torch.tensor([[1, 0, 1, 1, 0, 0, 1], [0] * 7, [0, 0, 0, 1, 0, 0, 0]]).bool()


@pytest.mark.parametrize("reverse", [False, True])
def test_outputs_and_gradients_are_those_of_the_parts(reverse):
    layer = made(reverse=reverse)
    poisoned = X.masked_fill(~MASK.unsqueeze(-1), float("nan"))
    clean = X.masked_fill(~MASK.unsqueeze(-1), 0.0)
    inner, last = layer.layer(clean, mask=MASK)
    expected = (clean @ layer.scale.weight.T + layer.scale.bias) * inner
    output, final = layer(poisoned, mask=MASK)
    torch.testing.assert_close(output, expected)
    assert all(torch.equal(a, b) for a, b in zip(final, last, strict=True))
    assert torch.equal(layer.final_output(final), last.hidden)
    weights = list(layer.parameters())
    wanted = torch.autograd.grad(expected.square().sum(), weights)
    torch.testing.assert_close(torch.autograd.grad(output.square().sum(), weights), wanted)


def test_streaming_starts_from_a_state_and_refuses_the_future():
    layer = made().eval()
    state = layer.initial_state(3)
    assert state.hidden.dtype == torch.float64
    steps = []
    for x_t in X.unbind(1):
        output, state = layer.step(x_t, state)
        steps.append(output)
    whole, final = layer(X)
    torch.testing.assert_close(torch.stack(steps, 1), whole)
    torch.testing.assert_close(tuple(state), tuple(final))
    layer.reverse_()
    assert layer.reverse
    assert layer.layer.reverse
    with pytest.raises(EngineError, match="cannot be streamed"):
        layer.step(X[:, 0], state)


def test_a_pair_of_outputs_is_refused_by_the_name_of_the_class():
    pair = seqlab.Bidirectional(seqlab.GRU(3, 5), merge_mode="none")
    with pytest.raises(OptionError, match=r"^Scaled: merge_mode none gives a pair"):
        Scaled(pair)
