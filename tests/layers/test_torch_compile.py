"""Layers inside ``torch.compile``: the engines stay outside the graph, without a warning."""

from __future__ import annotations

import pytest
import seqlab
import torch

LAYERS = {
    "fused": lambda: seqlab.LSTM(3, 4),
    "compiled": lambda: seqlab.GRU(3, 4, layer_norm=True, engine="compiled"),
    "loop": lambda: seqlab.GRU(3, 4, engine="loop"),
    "scan": lambda: seqlab.Recurrent(seqlab.get("cell", "min_gru")(3, 4)),
    "joined": lambda: seqlab.Stacked([seqlab.Bidirectional(seqlab.GRU(3, 4)), seqlab.LSTM(8, 4)]),
}


# torch.compile itself looks at the gradients of what it is given
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients_are_those_of_the_plain_call(name, asymmetric):
    layer = asymmetric(LAYERS[name]())
    model = _Squashed(layer)
    inside = torch.compile(model, backend="eager")
    x = torch.randn(3, 5, 3, requires_grad=True)
    mask = torch.tensor([[1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 0, 0]], dtype=torch.bool)
    for given in (None, mask):
        model.mask = given
        outputs = inside(x), layer(x.tanh(), mask=given)[0]
        torch.testing.assert_close(*outputs)
        gradients = [
            torch.autograd.grad(output.sin().sum(), [x, *layer.parameters()]) for output in outputs
        ]
        torch.testing.assert_close(*gradients)


class _Squashed(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.mask = layer, None

    def forward(self, x):
        return self.layer(x.tanh(), mask=self.mask)[0]
