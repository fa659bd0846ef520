"""Highway connections for seqlab."""

from __future__ import annotations

import torch
from seqlab import Layer, Wrapper
from seqlab.errors import OptionError
from seqlab.layers.base import combined_mask
from seqlab.types import State
from seqlab.wrappers.base import MakeLayer, require_joined
from torch import Tensor, nn


class Highway(Layer):
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
        super().__init__()
        require_joined(layer, "Highway")
        if layer.input_size != layer.output_size and not project:
            raise OptionError(
                f"Highway: the layer takes {layer.input_size} features and gives "
                f"{layer.output_size}; make them equal, or use project=True"
            )
        self.layer = layer
        self.gate_bias = float(gate_bias)
        self.input_size, self.output_size = layer.input_size, layer.output_size
        self.final_size, self.directions = layer.final_size, layer.directions
        self.gate = nn.Linear(self.input_size, self.output_size)
        same = self.input_size == self.output_size
        self.carry: nn.Module = (
            nn.Identity() if same else nn.Linear(self.input_size, self.output_size, bias=False)
        )
        nn.init.constant_(self.gate.bias, self.gate_bias)

    def reset_parameters(self) -> None:
        """Draw all parameters anew; the gate's bias starts where it did."""
        super().reset_parameters()
        nn.init.constant_(self.gate.bias, self.gate_bias)

    def _mix(self, x: Tensor, output: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return gate * output + (1 - gate) * self.carry(x)

    def forward(
        self,
        x_BTD: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Run the inner layer and mix its output with the input; see ``seqlab.Layer.forward``."""
        output, final = self.layer(x_BTD, state, lengths, mask)
        mask = combined_mask(x_BTD, lengths, mask)
        if mask is not None:
            x_BTD = x_BTD.masked_fill(~mask.unsqueeze(-1), 0.0)
        return self._mix(x_BTD, output), final

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> State:
        """That of the inner layer."""
        return self.layer.initial_state(batch_size, device=device, dtype=dtype)

    def final_output(self, state: State) -> Tensor:
        """That of the inner layer."""
        return self.layer.final_output(state)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of streaming; see ``seqlab.Layer.step``."""
        output, final = self.layer.step(x_BD, state)
        return self._mix(x_BD, output), final

    @property
    def reverse(self) -> bool:
        """The direction of the inner layer."""
        return self.layer.reverse

    def reverse_(self) -> None:
        """Turn the inner layer around, in place."""
        self.layer.reverse_()


class HighwayWrapper(Wrapper):
    """Config: ``{name: highway, gate_bias: -1.0, project: true}``; options as ``Highway``'s."""

    def __init__(self, gate_bias: float = -1.0, project: bool = False) -> None:
        self.gate_bias, self.project = gate_bias, project

    def build(self, make_layer: MakeLayer, input_size: int) -> Highway:
        """One inner layer with its highway."""
        return Highway(make_layer(input_size), gate_bias=self.gate_bias, project=self.project)
