"""Layers on top of each other."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, repeat
from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.cells.noise import dropout_mask
from seqlab.errors import OptionError, ShapeError
from seqlab.layers.base import Layer, Sides, combined_mask, run_with, step_with
from seqlab.layers.joined import run_joined, runs_of
from seqlab.layers.level import Level
from seqlab.schema import Count, Fraction, Rule, check_value, checked
from seqlab.types import Device, DType, State
from seqlab.wrappers.base import MakeLayer, Wrapper, require_joined, with_cell


class StackedNoise(NamedTuple):
    """The random masks of a stack: each layer's own, and what its input is multiplied by.

    ``between`` holds ``[T, B, D]`` for each layer, ``[B, D]`` after ``at``.
    """

    layers: tuple[Any, ...]
    between: tuple[Tensor | None, ...]

    def at(self, t: int) -> StackedNoise:
        """The masks of step ``t``."""
        return StackedNoise(
            tuple(None if part is None else part.at(t) for part in self.layers),
            tuple(None if mask is None else mask[t] for mask in self.between),
        )


class Stacked(Layer):
    """Each layer's output is the next one's input. Widths and cells may differ.

    Args:
        layers: the layers from the input to the output.
        residual: add each layer's input to its output (He et al., 2016; Wu et al., 2016). The
            first layer may change the width, and then has none; the others must keep it.
        dropout: rate between the layers, not after the last. The shortcuts of ``residual`` carry
            what was not dropped.

    Raises:
        OptionError: no layer, or widths that do not follow each other.

    Example:
        >>> import torch, seqlab
        >>> layer = seqlab.Stacked([seqlab.GRU(3, 8), seqlab.LSTM(8, 4)])
        >>> output, state = layer(torch.zeros(2, 5, 3))
        >>> output.shape, len(state)
        (torch.Size([2, 5, 4]), 2)
    """

    def __init__(
        self, layers: Sequence[Layer], *, residual: bool = False, dropout: Fraction = 0.0
    ) -> None:
        super().__init__()
        if not layers:
            raise OptionError("Stacked needs at least one layer")
        self.residual = check_value(residual, bool, "residual")
        self.dropout = check_value(dropout, Fraction, "dropout")
        for index, (lower, upper) in enumerate(pairwise(layers)):
            require_joined(lower, f"Stacked: layer {index}")
            if lower.output_size != upper.input_size:
                raise OptionError(
                    f"Stacked: layer {index + 1} takes {upper.input_size} features, "
                    f"layer {index} gives {lower.output_size}"
                )
        for index, layer in enumerate(layers):
            keeps = layer.joins and layer.input_size == layer.output_size
            if residual and index and not keeps:
                raise OptionError(
                    f"Stacked: residual needs layer {index} to keep its width, it takes "
                    f"{layer.input_size} and gives {layer.output_size}"
                )
        self.layers = nn.ModuleList(layers)
        last = layers[-1]
        self.input_size, self.output_size = layers[0].input_size, last.output_size
        self.final_size, self.directions = last.final_size, last.directions
        self.joins = last.joins

    def _parts(self) -> list[Layer]:
        return [part for part in self.layers if isinstance(part, Layer)]

    def forward(
        self,
        x_BTD: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Run the layers one after the other; see ``Layer.forward``."""
        if lengths is not None and x_BTD.dim() == 3:
            mask, lengths = combined_mask(x_BTD, lengths, mask), None
        states = list(self._states(state))
        finals: list[State] = []
        value = x_BTD
        for layers, levels in self._groups():
            before = states[len(finals) : len(finals) + len(layers)]
            joins = levels and reset is None
            together = run_joined(levels, value, before, lengths, mask) if joins else None
            if together is not None:
                value, after = together
                finals += after
                continue
            for layer, start in zip(layers, before, strict=True):
                run = functools.partial(
                    run_with, layer, state=start, lengths=lengths, mask=mask, reset=reset
                )
                value, final = self._one(layer, value, run, mask, first=not finals)
                finals.append(final)
        return value, tuple(finals)

    def runs(self) -> list[list[Level]]:
        """The layers that nothing stands between; see ``Layer.runs``."""
        return [levels for _, levels in self._groups() if levels]

    def _groups(self) -> list[tuple[list[Layer], list[Level]]]:
        """The layers in groups that may run in one call, which nothing but time stands between."""
        if self.residual or (self.dropout and self.training):
            return [([layer], []) for layer in self._parts()]
        return runs_of(self._parts())

    def _one(
        self,
        layer: Layer,
        value: Tensor,
        run: Callable[[Tensor], tuple[Tensor, State]],
        mask: Tensor | None,
        *,
        first: bool,
    ) -> tuple[Tensor, State]:
        """One layer with the dropout before it and its residual, which goes around both."""
        dropped = value
        if not first and self.dropout:
            dropped = F.dropout(value, self.dropout, self.training)
        output, final = run(dropped)
        if self._adds_input(layer):
            if first and mask is not None:
                value = value.masked_fill(~mask.unsqueeze(-1), 0.0)
            output = output + value
        return output, final

    def _adds_input(self, layer: Layer) -> bool:
        return self.residual and layer.input_size == layer.output_size

    def _states(self, state: State | None) -> Sequence[State]:
        if state is None:
            return [None] * len(self.layers)
        if not isinstance(state, tuple | list) or len(state) != len(self.layers):
            raise ShapeError(f"Stacked: the state must have {len(self.layers)} parts")
        return state

    def initial_state(
        self, batch_size: int, *, device: Device = None, dtype: DType = None
    ) -> State:
        """A tuple of the layers' initial states."""
        return tuple(
            part.initial_state(batch_size, device=device, dtype=dtype) for part in self._parts()
        )

    def final_output(self, state: State) -> Tensor:
        """That of the last layer."""
        return self._parts()[-1].final_output(state[-1])

    def step(
        self,
        x_BD: Tensor,
        state: State,
        noise: StackedNoise | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """One step through all layers; see ``Layer.step``."""
        parts = self._parts()
        noise = noise or StackedNoise((None,) * len(parts), (None,) * len(parts))
        value, finals = x_BD, []
        if mask is not None:
            value = value.masked_fill(~mask.unsqueeze(-1), 0.0)
        for layer, before, inner, kept in zip(parts, state, *noise, strict=True):
            dropped = value if kept is None else value * kept
            output, final = step_with(layer, dropped, before, inner, mask)
            value = output + value if self._adds_input(layer) else output
            finals.append(final)
        return value, tuple(finals)

    def sample_noise(
        self, batch_size: int, steps: int, *, device: torch.device, dtype: torch.dtype
    ) -> StackedNoise | None:
        """The masks of all layers and of the dropout between them; None for none."""
        parts = self._parts()
        layers = [p.sample_noise(batch_size, steps, device=device, dtype=dtype) for p in parts]
        rate = self.dropout if self.training else 0.0
        like = torch.empty(0, device=device, dtype=dtype)
        between = [dropout_mask(like, (steps, batch_size, p.input_size), rate) for p in parts[1:]]
        noise = StackedNoise(tuple(layers), (None, *between))
        return None if all(part is None for part in (*layers, *between)) else noise

    @property
    def reverse(self) -> bool:
        """The direction of the last layer, which is the output's."""
        return self._parts()[-1].reverse

    @property
    def causal(self) -> bool:
        """Whether every layer is."""
        return all(part.causal for part in self._parts())

    def carried(self, state: State, *, reverse: bool) -> State:
        """That of each layer."""
        pairs = zip(self._parts(), state, strict=True)
        return tuple(part.carried(own, reverse=reverse) for part, own in pairs)

    def sides(self) -> Sides:
        """The stack itself where all layers run one way; see ``Layer.sides``."""
        parts = self._parts()
        if len(parts) == 1 and not self.residual:
            return parts[0].sides()
        found = zip(*(part.sides() for part in parts), strict=True)
        whole = (all(map(operator.is_, side, parts)) for side in found)
        return Sides(*(self if one_way else None for one_way in whole))

    def reverse_(self) -> None:
        """Turn every layer around, in place."""
        for part in self._parts():
            part.reverse_()


#: What each layer's cell has of its own.
CellChanges = Annotated[Sequence[Mapping[str, Any]], Rule(bool, "a list of mappings")]


class StackedWrapper(Wrapper):
    """Layers on top of each other: ``y = layer_n(... layer_1(x))``; widths and cells may differ.

    Config: ``{name: stacked, num_layers: 2, residual: false, dropout: 0.1}``.

    Args:
        num_layers: how many layers; not needed when ``layers`` is given.
        layers: one mapping a layer with what its cell has instead of ``encoder.cell``'s options,
            such as ``[{hidden_size: 64}, {name: gru, hidden_size: 32}]``.
        residual: as for ``Stacked``.
        dropout: as for ``Stacked``.
    """

    @checked
    def __init__(
        self,
        num_layers: Count | None = None,
        layers: CellChanges | None = None,
        residual: bool = False,
        dropout: Fraction = 0.0,
    ) -> None:
        if layers is not None and num_layers not in (None, len(layers)):
            raise OptionError(f"stacked: num_layers is {num_layers}, layers has {len(layers)}")
        self.layers, self.num_layers = layers, num_layers or 2
        self.residual, self.dropout = residual, dropout

    def build(self, make_layer: MakeLayer, input_size: int) -> Stacked:
        """As many inner layers as asked for."""
        built: list[Layer] = []
        # no list of as many as asked for: where layers are counted, the first too many is refused
        for changes in self.layers or repeat({}, self.num_layers):
            make = with_cell(make_layer, changes, "layers") if changes else make_layer
            built.append(make(built[-1].output_size if built else input_size))
        return Stacked(built, residual=self.residual, dropout=self.dropout)
