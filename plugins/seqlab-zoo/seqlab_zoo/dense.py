"""Dense connections: a layer's input beside its output."""

from __future__ import annotations

from typing import ClassVar

import torch
from seqlab import Around, Layer, MakeLayer, Wrapper
from seqlab.errors import OptionError
from seqlab.schema import Count, checked
from torch import Tensor


class Dense(Around):
    """``y_t = [layer(x)_t, x_t]``, or with ``last`` the last columns of ``x_t`` alone.

    Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks" (2017);
    for recurrent layers Godin, Dambre and De Neve, "Improving language modeling using densely
    connected recurrent neural networks" (2017). With ``last: 1`` the gap of events at irregular
    times reaches every layer of a stack.

    Args:
        layer: the inner layer.
        last: the number of input columns that are passed on; None for all.

    Raises:
        OptionError: ``last`` is more than there are, or the layer's two directions are not merged.

    Example:
        >>> import seqlab
        >>> Dense(seqlab.GRU(4, 5), last=1)(torch.zeros(2, 3, 4))[0].shape
        torch.Size([2, 3, 6])
    """

    @checked
    def __init__(self, layer: Layer, *, last: Count | None = None) -> None:
        super().__init__(layer)
        self.last = layer.input_size if last is None else last
        if self.last > layer.input_size:
            raise OptionError(f"last: the layer has {layer.input_size} inputs, not {last}")
        self.output_size = layer.output_size + self.last
        *first, width = layer.directions
        self.directions = (*first, width + self.last)

    def combine(self, x: Tensor, output: Tensor) -> Tensor:
        """The output, and the input beside it."""
        return torch.cat([output, x[..., x.shape[-1] - self.last :]], -1)


class DenseWrapper(Wrapper):
    """Config: ``{name: dense, last: 1}``; options as ``Dense``'s."""

    expected_failures: ClassVar[dict[str, str]] = {
        "nests_with_residual": "its output is wider than its input, so a residual needs project",
        "nests_with_multiplicative": "that one goes around one cell; inside of this one it fits",
    }

    @checked
    def __init__(self, last: Count | None = None) -> None:
        self.last = last

    def build(self, make_layer: MakeLayer, input_size: int) -> Dense:
        """One inner layer, its input beside its output."""
        return Dense(make_layer(input_size), last=self.last)
