"""A layer turned around in time."""

from __future__ import annotations

from seqlab.layers.base import Layer
from seqlab.wrappers.base import MakeLayer, Wrapper


class ReverseWrapper(Wrapper):
    """The layer run from the last step to the first; outputs stay at their input's time.

    For what reads backward alone, such as a language model of ``p(x_t | x_>t)``; both directions
    are ``bidirectional``. Twice, it is the layer as it was.

    Config: ``{name: reverse}``.

    Example:
        >>> import seqlab
        >>> ReverseWrapper().build(lambda size: seqlab.GRU(size, 4), 3).reverse
        True
    """

    def build(self, make_layer: MakeLayer, input_size: int) -> Layer:
        """One inner layer, turned around."""
        layer = make_layer(input_size)
        layer.reverse_()
        return layer
