"""Two layers over the same sequence, one in each direction of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab.construct import construct
from seqlab.errors import OptionError, ShapeError
from seqlab.layers.base import Layer, Sides, combined_mask, refuse_streaming, run_with
from seqlab.layers.joined import is_plain, run_joined, side_by_side
from seqlab.layers.level import Level
from seqlab.types import Device, DType, State
from seqlab.wrappers.base import MakeLayer, Wrapper, require_joined, with_cell
from seqlab.wrappers.merges import Concat, Merge


class BidirectionalState(NamedTuple):
    """The states of the two directions; each is what its layer's state is."""

    forward: State
    backward: State


class Bidirectional(Layer):
    """Runs one layer forward and one backward in time and merges their outputs.

    Schuster and Paliwal, "Bidirectional recurrent neural networks" (1997). With a right-padded
    row the backward layer starts at the last real step; masked steps change nothing.

    Args:
        layer: the forward layer.
        merge_mode: ``concat``, ``sum``, ``mul``, ``ave``, ``none`` or None (the pair of both
            outputs), the name of a registered merge, or a mapping with ``name`` and options.
        backward_layer: the backward layer, of the same input width; it is made to run against the
            forward layer. None for one of the same form with weights of its own.
        weights: initial values: those of the forward layer's parameters, then the backward's.

    Raises:
        OptionError: the merge does not fit the widths, or ``backward_layer`` the input.
        ShapeError: ``weights`` has another number of tensors, or another shape among them.

    Example:
        >>> import torch, seqlab
        >>> layer = seqlab.Bidirectional(seqlab.LSTM(3, 4), merge_mode="sum")
        >>> output, state = layer(torch.zeros(2, 5, 3))
        >>> output.shape, state.backward.cell.shape
        (torch.Size([2, 5, 4]), torch.Size([2, 4]))
    """

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | Mapping[str, Any] | None = "concat",
        backward_layer: Layer | None = None,
        weights: Sequence[Any] | None = None,
    ) -> None:
        super().__init__()
        for given in (layer, backward_layer):
            if given is not None and not isinstance(given, Layer):
                raise OptionError(f"Bidirectional needs a seqlab.Layer, got {given!r}")
        require_joined(layer, "Bidirectional")
        self.forward_layer = layer
        self.backward_layer = layer.fresh() if backward_layer is None else backward_layer
        if self.backward_layer is layer:
            raise OptionError("Bidirectional: backward_layer must not be the forward layer itself")
        require_joined(self.backward_layer, "Bidirectional")
        if self.backward_layer.reverse == layer.reverse:
            self.backward_layer.reverse_()
        if self.backward_layer.input_size != layer.input_size:
            raise OptionError(
                f"Bidirectional: backward_layer takes {self.backward_layer.input_size} features, "
                f"the forward layer {layer.input_size}"
            )
        sizes = (layer.output_size, self.backward_layer.output_size)
        spec = "none" if merge_mode is None else merge_mode
        self.merge: Merge = construct("merge", spec, *sizes, where="merge_mode")
        self.input_size, self.output_size = layer.input_size, self.merge.output_size
        self.joins = self.merge.joins
        self.directions = (self.output_size,)
        if self.merge.side_by_side:
            self.directions = side_by_side_widths(layer.directions, self.backward_layer.directions)
        finals = (layer.final_size, self.backward_layer.final_size)
        self._merges_finals = self.merge.joins and finals == sizes
        self.final_size = self.output_size if self._merges_finals else sum(finals)
        if weights is not None:
            self._set_weights(weights)

    @torch.no_grad()
    def _set_weights(self, weights: Sequence[Any]) -> None:
        targets = [*self.forward_layer.parameters(), *self.backward_layer.parameters()]
        values = [torch.as_tensor(value) for value in weights]
        if len(values) != len(targets):
            raise ShapeError(
                f"Bidirectional: weights must hold {len(targets)} tensors (forward, then "
                f"backward), got {len(values)}"
            )
        for index, (target, value) in enumerate(zip(targets, values, strict=True)):
            if target.shape != value.shape:
                raise ShapeError(
                    f"Bidirectional: weights[{index}] must be {tuple(target.shape)}, "
                    f"got {tuple(value.shape)}"
                )
        for target, value in zip(targets, values, strict=True):
            target.copy_(value)

    def forward(
        self,
        x_BTD: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Any, State]:
        """Run both directions; see ``Layer.forward``. Unmerged, the output is a pair."""
        if lengths is not None and x_BTD.dim() == 3:
            mask, lengths = combined_mask(x_BTD, lengths, mask), None
        pair = self._pair() if reset is None else None
        together = None if pair is None else run_joined([pair], x_BTD, [state], lengths, mask)
        if together is None:
            first, second = (None, None) if state is None else self._two(state)
            given = {"lengths": lengths, "mask": mask, "reset": reset}
            forward, forward_final = run_with(self.forward_layer, x_BTD, first, **given)
            backward, backward_final = run_with(self.backward_layer, x_BTD, second, **given)
            final = BidirectionalState(forward_final, backward_final)
        else:
            output, (final,) = together
            if self._concatenates():
                return output, final
            forward, backward = output.chunk(2, -1)
        merged = self.merge(forward, backward)
        if mask is not None and isinstance(merged, Tensor) and not self.merge.keeps_zeros:
            merged = merged.masked_fill(~mask.unsqueeze(-1), 0.0)
        return merged, final

    def _pair(self) -> Level | None:
        """Both layers as one level, whatever the merge; None if one call cannot run them."""
        return side_by_side(self.forward_layer, self.backward_layer, self._two, BidirectionalState)

    def _concatenates(self) -> bool:
        return is_plain(self.merge, Concat)

    def level(self) -> Level | None:
        """Both directions, where they are concatenated; see ``Layer.level``."""
        return self._pair() if is_plain(self, Bidirectional) and self._concatenates() else None

    def runs(self) -> list[list[Level]]:
        """Both directions; see ``Layer.runs``."""
        pair = self._pair()
        return [] if pair is None else [[pair]]

    @staticmethod
    def _two(state: State) -> tuple[State, State]:
        if not isinstance(state, tuple | list) or len(state) != 2:
            raise ShapeError(
                f"Bidirectional: the state must have 2 parts (forward, backward), got {state!r:.80}"
            )
        return state[0], state[1]

    def initial_state(
        self, batch_size: int, *, device: Device = None, dtype: DType = None
    ) -> BidirectionalState:
        """The initial states of both directions."""
        return BidirectionalState(
            self.forward_layer.initial_state(batch_size, device=device, dtype=dtype),
            self.backward_layer.initial_state(batch_size, device=device, dtype=dtype),
        )

    def final_output(self, state: State) -> Tensor:
        """Both final hidden states, merged (side by side when there is no merge)."""
        forward = self.forward_layer.final_output(state[0])
        backward = self.backward_layer.final_output(state[1])
        if self._merges_finals:
            merged: Tensor = self.merge(forward, backward)
            return merged
        return torch.cat([forward, backward], -1)

    def step(
        self, x_BD: Tensor, state: State, noise: Any = None, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Refused: the backward layer needs the future."""
        del x_BD, state, noise, mask
        raise refuse_streaming("Bidirectional")

    @property
    def reverse(self) -> bool:
        """The direction of the forward layer."""
        return self.forward_layer.reverse

    @property
    def causal(self) -> bool:
        """Never: one of the layers sees the future."""
        return False

    def carried(self, state: State, *, reverse: bool) -> BidirectionalState:
        """That of the layer which runs that way; the other begins anew."""
        return BidirectionalState(
            self.forward_layer.carried(state[0], reverse=reverse),
            self.backward_layer.carried(state[1], reverse=reverse),
        )

    def sides(self) -> Sides:
        """Both layers, where each runs one way and they are side by side; see ``Layer.sides``."""
        first, second = self.forward_layer, self.backward_layer
        if self.reverse:
            first, second = second, first
        one_way = first.sides().forward is first and second.sides().backward is second
        return Sides(first, second) if one_way and self.merge.side_by_side else Sides(None, None)

    def reverse_(self) -> None:
        """Turn both directions around, in place."""
        self.forward_layer.reverse_()
        self.backward_layer.reverse_()


def side_by_side_widths(along: tuple[int, ...], against: tuple[int, ...]) -> tuple[int, ...]:
    """The ``Layer.directions`` of two layers side by side that run against each other.

    >>> side_by_side_widths((4,), (3,))
    (4, 3)
    >>> side_by_side_widths((4, 5), (2, 3))  # each in two directions itself
    (4, 7, 3)
    """
    widths: list[int] = []
    for turn, parts in enumerate((along, against)):
        for index, width in enumerate(parts):
            if len(widths) % 2 == (turn + index) % 2:
                widths.append(width)
            else:
                widths[-1] += width
    return tuple(widths)


class BidirectionalWrapper(Wrapper):
    """One layer in each direction of time, merged (Schuster and Paliwal, 1997).

    Config: ``{name: bidirectional, merge_mode: concat, backward_cell: {name: gru}}``.

    Args:
        merge_mode: as for ``Bidirectional``.
        backward_cell: options that the backward direction's cell has instead of the forward's;
            with another ``name`` it is another cell.
    """

    def __init__(
        self,
        merge_mode: str | Mapping[str, Any] | None = "concat",
        backward_cell: Mapping[str, Any] | None = None,
    ) -> None:
        self.merge_mode, self.backward_cell = merge_mode, backward_cell

    def build(self, make_layer: MakeLayer, input_size: int) -> Bidirectional:
        """Two inner layers, one for each direction."""
        layer = make_layer(input_size)
        if self.backward_cell:
            make_layer = with_cell(make_layer, self.backward_cell, "backward_cell")
        return Bidirectional(layer, self.merge_mode, make_layer(input_size))
