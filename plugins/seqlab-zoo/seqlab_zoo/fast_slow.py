"""The fast-slow recurrent net: several cells in turn at each step, and one that sees less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from seqlab import InnerLayers, Layer, MakeLayer, OptionError, Recurrent, StepLayer, Wrapper
from seqlab.cells.base import leaves
from seqlab.layers.step_layer import turned_forward
from seqlab.schema import Range, checked
from seqlab.wrappers.base import with_cell
from torch import Tensor, nn

#: The number of fast cells.
FastCells = Annotated[int, Range(least=2)]


class FastSlowState(NamedTuple):
    """``fast``, which the fast layers hand on to each other, and ``slow``; each a layer's state."""

    fast: Any
    slow: Any


class FastSlow(StepLayer):
    """k fast layers in turn at each step, and a slow one between the first two.

    Mujika, Meier and Steger, "Fast-slow recurrent neural networks" (2017).

        h^F1_t = f_F1(h^Fk_{t-1}, x_t)
        h^S_t  = f_S(h^S_{t-1}, h^F1_t)
        h^F2_t = f_F2(h^F1_t, h^S_t)
        h^Fi_t = f_Fi(h^F(i-1)_t)               3 <= i <= k
        y_t    = h^Fk_t

    The first argument of f is the state, whole: of an LSTM hidden and cell. x is ``[B, T, D]``, y
    ``[B, T, H]``; the slow layer may have another width. Layers after the second have no input:
    theirs is a zero, so that their biases act and their input matrices ``[G*H, 1]`` do not. The
    paper's layer normalisation, zoneout and dropout are options of the cells.

    Args:
        fast: the fast layers, of one form: the first takes the input, the second the slow output,
            any further one feature.
        slow: the slow layer, which takes the first one's output.

    Raises:
        OptionError: fewer than two fast layers, widths or states that do not fit, or a layer that
            sees later steps.

    Example:
        >>> import seqlab, torch
        >>> layer = FastSlow([seqlab.LSTM(3, 5), seqlab.LSTM(8, 5)], seqlab.LSTM(5, 8))
        >>> output, state = layer(torch.zeros(2, 7, 3))
        >>> output.shape, state.slow.cell.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 8]))
    """

    def __init__(self, fast: Sequence[Layer], slow: Layer) -> None:
        if len(fast) < 2:
            raise OptionError(f"FastSlow needs at least two fast layers, got {len(fast)}")
        reverse = turned_forward([*fast, slow], "FastSlow")
        first, last = fast[0], fast[-1]
        super().__init__(
            first.input_size, last.output_size, final_size=last.final_size, reverse=reverse
        )
        expected = [first.input_size, slow.output_size] + [1] * (len(fast) - 2)
        _require_widths([layer.input_size for layer in fast], expected, "the fast layers")
        _require_widths([slow.input_size], [first.output_size], "the slow layer")
        if any(_shapes(layer) != _shapes(first) for layer in fast):
            raise OptionError(
                "FastSlow: the fast layers hand one state on, and theirs are of widths "
                f"{[_shapes(layer) for layer in fast]}"
            )
        self.fast, self.slow = nn.ModuleList(fast), slow
        for layer in fast[1:]:
            _begins_nowhere(layer)

    def prepare(self, x_BTD: Tensor, inner: InnerLayers) -> Any:
        """The first layer's input product."""
        return inner.project(self._layers()[0], x_BTD)

    def advance(
        self, prepared_t: Any, state: FastSlowState, inner: InnerLayers
    ) -> tuple[Tensor, FastSlowState]:
        """The equations of the class."""
        first, second, *others = self._layers()
        output, fast = inner.advance(first, prepared_t, state.fast)
        seen, slow = inner.step(self.slow, output, state.slow)
        output, fast = inner.step(second, seen, fast)
        for layer in others:
            output, fast = inner.step(layer, output.new_zeros(len(output), 1), fast)
        return output, FastSlowState(fast, slow)

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> Any:
        """The first fast layer's, and the slow one's."""
        pair = (self._layers()[0], self.slow)
        return FastSlowState(
            *(part.initial_state(batch_size, device=device, dtype=dtype) for part in pair)
        )

    def final_output(self, state: Any) -> Tensor:
        """That of the last fast layer."""
        return self._layers()[-1].final_output(state[0])

    def _layers(self) -> list[Layer]:
        return [part for part in self.fast if isinstance(part, Layer)]


def _require_widths(found: list[int], expected: list[int], what: str) -> None:
    if found != expected:
        raise OptionError(f"FastSlow: {what} must take {expected} features, got {found}")


def _shapes(layer: Layer) -> list[tuple[int, ...]]:
    """The widths of a layer's state."""
    return [tuple(part.shape[1:]) for part in leaves(layer.initial_state(1))]


def _begins_nowhere(layer: Layer) -> None:
    """Its state is always handed on to it, so a trained one would learn nothing."""
    for part in layer.modules():
        if isinstance(part, Recurrent):
            part.initial = None


class FastSlowWrapper(Wrapper):
    """Several cells in turn at each step, and a slow one between them (Mujika et al., 2017).

    Config: ``{name: fast_slow, fast_cells: 2, slow_cell: {hidden_size: 64}}``.

    Args:
        fast_cells: k, the number of fast cells; the paper has 2 and 4.
        slow_cell: options that the slow cell has instead of the fast ones'; with another ``name``
            it is another cell.
    """

    expected_failures: ClassVar[dict[str, str]] = {
        "nests_with_bidirectional": "what is inside of it must step forward; outside it fits",
        "nests_with_multiplicative": "that one goes around one cell; inside it fits",
    }

    @checked
    def __init__(
        self, fast_cells: FastCells = 2, slow_cell: Mapping[str, Any] | None = None
    ) -> None:
        self.fast_cells, self.slow_cell = fast_cells, slow_cell

    def build(self, make_layer: MakeLayer, input_size: int) -> FastSlow:
        """The fast layers and the slow one, of the same form unless told otherwise."""
        first = make_layer(input_size)
        make_slow = make_layer
        if self.slow_cell:
            make_slow = with_cell(make_layer, self.slow_cell, "slow_cell")
        slow = make_slow(first.output_size)
        widths = [slow.output_size] + [1] * (self.fast_cells - 2)
        return FastSlow([first, *(make_layer(width) for width in widths)], slow)
