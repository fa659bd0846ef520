"""A shortcut around one layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqlab.errors import OptionError
from seqlab.layers.base import Layer, combined_mask
from seqlab.options.resolve import check_flag
from seqlab.types import State
from seqlab.wrappers.base import MakeLayer, Wrapper, require_joined


class Residual(Layer):
    """``y = x + layer(x)`` (He et al., "Deep residual learning", 2016).

    Args:
        layer: the inner layer.
        project: where the widths differ, ``y = P x + layer(x)`` with a learned matrix P; without
            it they must be equal.

    Raises:
        OptionError: widths differ and ``project`` is False.
    """

    def __init__(self, layer: Layer, *, project: bool = False) -> None:
        super().__init__()
        require_joined(layer, "Residual")
        same = layer.input_size == layer.output_size
        if not same and not check_flag("project", project):
            raise OptionError(
                f"Residual: the layer takes {layer.input_size} features and gives "
                f"{layer.output_size}; make them equal, or use project=True"
            )
        self.layer = layer
        self.shortcut: nn.Module = (
            nn.Identity() if same else nn.Linear(layer.input_size, layer.output_size, bias=False)
        )
        self.input_size, self.output_size = layer.input_size, layer.output_size
        self.final_size, self.directions = layer.final_size, layer.directions

    def forward(
        self,
        x_BTD: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Run the inner layer and add the input; see ``Layer.forward``."""
        output, final = self.layer(x_BTD, state, lengths, mask)
        mask = combined_mask(x_BTD, lengths, mask)
        if mask is not None:
            x_BTD = x_BTD.masked_fill(~mask.unsqueeze(-1), 0.0)
        return output + self.shortcut(x_BTD), final

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
        """One step of streaming; see ``Layer.step``."""
        output, final = self.layer.step(x_BD, state)
        return output + self.shortcut(x_BD), final

    @property
    def reverse(self) -> bool:
        """The direction of the inner layer."""
        return self.layer.reverse

    def reverse_(self) -> None:
        """Turn the inner layer around, in place."""
        self.layer.reverse_()


class ResidualWrapper(Wrapper):
    """A shortcut around a layer: ``y = x + layer(x)`` (He et al., 2016).

    Config: ``{name: residual, project: true}``.
    """

    def __init__(self, project: bool = False) -> None:
        self.project = check_flag("project", project)

    def build(self, make_layer: MakeLayer, input_size: int) -> Residual:
        """One inner layer with its shortcut."""
        return Residual(make_layer(input_size), project=self.project)
