"""The recurrent highway network."""

from __future__ import annotations

from typing import Annotated, Any

from seqlab import GatedCell, HiddenState
from seqlab.schema import Count, Range, checked
from torch import Tensor

#: Highway layers of a step.
Depth = Annotated[int, Range(least=1, most=5)]


class RHN(GatedCell):
    """Several highway layers in each step: depth in time.

    Zilly, Srivastava, Koutnik and Schmidhuber, "Recurrent highway networks" (2017), with the carry
    gate ``1 - t``.

        g_k = tanh(W_g x_t [k = 1] + U_gk s_{k-1} + b_gk)      k = 1 ... depth, s_0 = h_{t-1}
        t_k = sigmoid(W_t x_t [k = 1] + U_tk s_{k-1} + b_tk)
        s_k = t_k * g_k + (1 - t_k) * s_{k-1}
        h_t = s_depth

    Args:
        input_size: D.
        hidden_size: H.
        depth: the number of highway layers; compiled code has at most 4.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(RHN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    State = HiddenState
    recurrent_bias_gates = True

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, *, depth: Depth = 3, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.depth = depth
        pairs = [(f"candidate_{k}", f"transform_{k}") for k in range(1, depth + 1)]
        self.input_gates = pairs[0]
        self.recurrent_gates = tuple(name for pair in pairs for name in pair)
        sources = ["hidden", *(f"layer_{k}" for k in range(1, depth))]
        self.products = dict(zip(sources, pairs, strict=True))

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        hidden = self._layer(self.depth, x, h, state)
        return hidden, HiddenState(hidden)

    def _layer(self, count: int, x: Any, h: Any, state: HiddenState) -> Tensor:
        """``s_count``; each product needs the layers before it again."""
        hidden = state.hidden
        for k in range(count):
            candidate, transform = h[2 * k], h[2 * k + 1]
            if k == 0:
                candidate, transform = candidate + x[0], transform + x[1]
            t = self.recurrent_activation(transform)
            hidden = t * self.activation(candidate) + (1 - t) * hidden
        return hidden

    def layer_1(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """What the second layer sees."""
        return self._layer(1, x, h, state)

    def layer_2(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """What the third layer sees."""
        return self._layer(2, x, h, state)

    def layer_3(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """What the fourth layer sees."""
        return self._layer(3, x, h, state)

    def layer_4(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """What the fifth layer sees."""
        return self._layer(4, x, h, state)
