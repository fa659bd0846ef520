"""Highway connections for seqlab."""

from __future__ import annotations

import torch
from seqlab import Around, Layer, MakeLayer, Wrapper
from seqlab.wrappers.around import shortcut
from torch import Tensor, nn


class Highway(Around):
    """``y = g * layer(x) + (1 - g) * P x`` with ``g = sigmoid(W x + b)``.

    Srivastava, Greff and Schmidhuber, "Highway networks" (2015). x is ``[B, T, D]``, y and g are
    ``[B, T, E]``; P is the identity where D = E. The state is that of the inner layer.

    Args:
        layer: the inner layer.
        gate_bias: where b starts; a negative number carries the input on at first.
        project: whether P may be a learned matrix, which different widths need.

    Raises:
        OptionError: the widths differ and ``project`` is False, or the layer's two directions
            are not merged.

    Example:
        >>> import seqlab
        >>> layer = Highway(seqlab.GRU(4, 4))
        >>> layer(torch.zeros(2, 3, 4))[0].shape
        torch.Size([2, 3, 4])
    """

    def __init__(self, layer: Layer, *, gate_bias: float = -1.0, project: bool = False) -> None:
        super().__init__(layer)
        self.gate_bias = float(gate_bias)
        self.gate = nn.Linear(self.input_size, self.output_size)
        self.carry = shortcut(layer, project=project, owner="Highway")
        nn.init.constant_(self.gate.bias, self.gate_bias)

    def reset_parameters(self) -> None:
        """Draw all parameters anew; the gate's bias starts where it did."""
        super().reset_parameters()
        nn.init.constant_(self.gate.bias, self.gate_bias)

    def combine(self, x: Tensor, output: Tensor) -> Tensor:
        """The equation of the class, at each step."""
        gate = torch.sigmoid(self.gate(x))
        return gate * output + (1 - gate) * self.carry(x)


class HighwayWrapper(Wrapper):
    """Config: ``{name: highway, gate_bias: -1.0, project: true}``; options as ``Highway``'s."""

    def __init__(self, gate_bias: float = -1.0, project: bool = False) -> None:
        self.gate_bias, self.project = gate_bias, project

    def build(self, make_layer: MakeLayer, input_size: int) -> Highway:
        """One inner layer with its highway."""
        return Highway(make_layer(input_size), gate_bias=self.gate_bias, project=self.project)
