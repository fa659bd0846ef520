"""A shortcut around one layer."""

from __future__ import annotations

from torch import Tensor

from seqlab.layers.base import Layer
from seqlab.schema import checked
from seqlab.wrappers.around import Around, shortcut
from seqlab.wrappers.base import MakeLayer, Wrapper


class Residual(Around):
    """``y = x + layer(x)`` (He et al., "Deep residual learning", 2016).

    Args:
        layer: the inner layer.
        project: where the widths differ, ``y = P x + layer(x)`` with a learned matrix P; without
            it they must be equal.

    Raises:
        OptionError: widths differ and ``project`` is False.
    """

    @checked
    def __init__(self, layer: Layer, *, project: bool = False) -> None:
        super().__init__(layer)
        self.shortcut = shortcut(layer, project=project, owner="Residual")

    def combine(self, x: Tensor, output: Tensor) -> Tensor:
        """Their sum, the input at the output's width."""
        added: Tensor = output + self.shortcut(x)
        return added


class ResidualWrapper(Wrapper):
    """A shortcut around a layer: ``y = x + layer(x)`` (He et al., 2016).

    Config: ``{name: residual, project: true}``.
    """

    @checked
    def __init__(self, project: bool = False) -> None:
        self.project = project

    def build(self, make_layer: MakeLayer, input_size: int) -> Residual:
        """One inner layer with its shortcut."""
        return Residual(make_layer(input_size), project=self.project)
