"""Any cell with a hidden state that the input has rescaled."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from seqlab import (
    GatedCell,
    InnerLayers,
    Layer,
    MakeLayer,
    MatrixStateCell,
    OptionError,
    Recurrent,
    StepLayer,
    Wrapper,
)
from seqlab.layers.step_layer import turned_forward
from seqlab.schema import checked
from torch import Tensor, nn


class Factors(NamedTuple):
    """``factor [B, T, H]``, the input's, and ``projected``, the input's part of the cell's step."""

    factor: Tensor
    projected: Any


class Multiplicative(StepLayer):
    """A cell whose recurrent matrices see a state that the input has rescaled.

    Krause, Lu, Murray and Renals, "Multiplicative LSTM for sequence modelling" (2016).

        m_t = (W_mx x_t) * (W_mh h_{t-1})
        h_t = cell(x_t, with m_t in the place of h_{t-1} wherever a recurrent matrix multiplies it)

    So each input has recurrent weights of its own. x is ``[B, T, D]``, m and h ``[B, H]``. What a
    cell's equations read beside its products stays ``h_{t-1}``: what a GRU's update gate keeps. A
    cell that is not gated has no products to tell apart, and is given a state whose first field is
    m. Around an LSTM it is the cell ``multiplicative_lstm``, which may be compiled.

    Args:
        layer: one cell, run over time.
        use_bias: whether both factors have biases, which the paper's have not.

    Raises:
        OptionError: the layer is not one cell run over time, its state is multiplied by no
            matrix, or a state's first field is not ``[B, H]``.

    Example:
        >>> import seqlab, torch
        >>> layer = Multiplicative(seqlab.GRU(3, 5))
        >>> layer(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    @checked
    def __init__(self, layer: Layer, *, use_bias: bool = False) -> None:
        if not isinstance(layer, Recurrent):
            raise OptionError(
                f"multiplicative goes around one cell, and inside is a {type(layer).__name__}: "
                "name it before the other wrappers"
            )
        cell = layer.cell
        gated = isinstance(cell, GatedCell)
        if (gated and not cell.recurrent_gates) or isinstance(cell, MatrixStateCell):
            raise OptionError(
                "multiplicative rescales the hidden state that a matrix multiplies, and "
                f"{type(cell).__name__} multiplies none: use a cell that does, such as gru"
            )
        reverse = turned_forward([layer], "Multiplicative")
        width = layer.final_size
        super().__init__(layer.input_size, layer.output_size, final_size=width, reverse=reverse)
        self.layer = layer
        self.input_factor = nn.Linear(layer.input_size, width, bias=use_bias)
        self.state_factor = nn.Linear(width, width, bias=use_bias)

    def prepare(self, x_BTD: Tensor, inner: InnerLayers) -> Factors:
        """The input's factor and the cell's input product."""
        return Factors(self.input_factor(x_BTD), inner.project(self.layer, x_BTD))

    def advance(self, prepared_t: Factors, state: Any, inner: InnerLayers) -> tuple[Tensor, Any]:
        """The equations of the class."""
        hidden, *others = state
        rescaled = prepared_t.factor * self.state_factor(hidden)
        if isinstance(self.layer.cell, GatedCell):
            return inner.advance(self.layer, prepared_t.projected, state, multiplied=rescaled)
        return inner.advance(self.layer, prepared_t.projected, type(state)(rescaled, *others))

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> Any:
        """That of the cell."""
        return self.layer.initial_state(batch_size, device=device, dtype=dtype)

    def final_output(self, state: Any) -> Tensor:
        """That of the cell."""
        return self.layer.final_output(state)


class MultiplicativeWrapper(Wrapper):
    """A cell whose matrices see a state that the input has rescaled (Krause et al., 2016).

    Config: ``{name: multiplicative, use_bias: false}``; options as ``Multiplicative``'s.
    """

    expected_failures: ClassVar[dict[str, str]] = {
        f"nests_with_{name}": "it goes around one cell; outside of it the other fits"
        for name in (
            "bidirectional", "dense", "fast_slow", "multiplicative", "residual", "stacked",
        )
    }  # fmt: skip

    @checked
    def __init__(self, use_bias: bool = False) -> None:
        self.use_bias = use_bias

    def build(self, make_layer: MakeLayer, input_size: int) -> Multiplicative:
        """One cell and its factors."""
        return Multiplicative(make_layer(input_size), use_bias=self.use_bias)
