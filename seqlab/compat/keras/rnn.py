"""Keras's ``RNN``: any cell over time, with Keras's flags and return conventions."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor

from seqlab.cells.base import map_state
from seqlab.compat.keras.base import KerasLayer
from seqlab.compat.keras.cells import (
    CellLike,
    StackedRNNCells,
    cell_config,
    cell_like,
    state_tensors,
)
from seqlab.compat.keras.configs import cell_of, known_layer
from seqlab.compat.keras.conventions import batch_first, shown
from seqlab.compat.keras.names import to_keras, to_seqlab
from seqlab.compat.keras.unbuilt import Unbuilt
from seqlab.errors import OptionError, ShapeError
from seqlab.layers.base import Layer
from seqlab.options.resolve import resolve_object
from seqlab.schema import checked

_FLAGS = (
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
    "time_major",
)


@known_layer
class RNN(KerasLayer):
    """``keras.layers.RNN``: runs a cell over time.

    Args:
        cell: a cell of this package, a list of them (stacked), a seqlab cell, or the spec of a
            registered one, such as ``{"name": "mgu", "hidden_size": 8}``.
        return_sequences: the output of every step ``[B, T, units]`` instead of the last one.
        return_state: also the final state tensors, behind the output.
        go_backwards: run from the last step to the first and return outputs in that order.
        stateful: start each call where the last one ended; see ``reset_state``.
        unroll: accepted for Keras's sake; the numbers are the same.
        zero_output_for_mask: a masked step outputs zeros instead of the output before it.
        time_major: Keras 2's: inputs, outputs and masks have time first.
        **kwargs: ``activity_regularizer``, ``name``, ``dtype``, ``trainable``, and the input width
            as ``input_size``, ``input_shape``, ``batch_input_shape`` or ``input_dim``.

    Raises:
        OptionError: a wrong argument, by name.

    Example:
        >>> layer = RNN([{"name": "gru", "hidden_size": 4}, {"name": "lstm", "hidden_size": 3}])
        >>> layer(torch.zeros(2, 5, 6)).shape
        torch.Size([2, 3])
    """

    @checked
    def __init__(  # noqa: PLR0917  # the signature is Keras's
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        *,
        time_major: bool = False,
        **kwargs: Any,
    ) -> None:
        activity = kwargs.pop("activity_regularizer", None)
        super().__init__(**kwargs)
        self.cell: CellLike = cell_like(cell)
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful, self.unroll = go_backwards, stateful, unroll
        self.zero_output_for_mask, self.time_major = zero_output_for_mask, time_major
        self.activity_regularizer = activity
        self._penalty_of_output = resolve_object(
            "regularizer",
            "activity_regularizer",
            to_seqlab("regularizer", "activity_regularizer", activity),
        )
        self.layer: Layer | Unbuilt = self._unbuilt()
        self.states: Any = None
        self._activity: Tensor | None = None
        self._random: Tensor | None = None
        if self._width is not None:
            self.build(self._width)

    # -- building ----------------------------------------------------------------------------

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return isinstance(self.layer, Layer)

    @property
    def output_size(self) -> int:
        """The width of one step's output, known before the layer is built."""
        return self.cell.output_size

    @property
    def state_size(self) -> Any:
        """The cell's."""
        return self.cell.state_size

    def build(self, input_shape: Sequence[int | None] | int) -> None:
        """Make the weights for ``[B, T, D]`` or a width D; a second call does nothing."""
        if not isinstance(self.layer, Unbuilt):
            return
        width = input_shape if isinstance(input_shape, int) else input_shape[-1]
        if width is None:
            raise ShapeError(f"{type(self).__name__}: the input width must be known")
        layer = self._make_layer(self.cell, int(width))
        like = next(self.layer.parameters(), None)
        layer = layer.to(device=None if like is None else like.device, dtype=self.dtype)
        self.layer.become(layer)
        self.layer = layer.train(self.training)

    def _make_layer(self, cell: CellLike, width: int) -> Layer:
        return cell.make_layer(width, reverse=self.go_backwards, masked_output="carry")

    def _unbuilt(self) -> Unbuilt:
        """The weights to come, which an optimiser may hold already."""

        def probe(width: int) -> Layer:
            cell = copy.deepcopy(self.cell)
            cell.forget_weights()
            return self._make_layer(cell, width)

        return Unbuilt.of(probe, self.dtype, trainable=self.trainable)

    def parts(self) -> list[Layer]:
        """The one layer."""
        return [self.layer] if isinstance(self.layer, Layer) else []

    def fresh(self) -> Self:
        """A layer of the same form without this one's weights."""
        twin = copy.deepcopy(self)
        twin.forget_weights()
        return twin

    def forget_weights(self) -> None:
        """Be as if never built and never called."""
        self.cell.forget_weights()
        self.layer = self._unbuilt()
        self.states = self._activity = self._random = None

    def __getstate__(self) -> dict[str, Any]:
        """Copies start without the last call's penalty, which belongs to its graph."""
        return {**self.__dict__, "_activity": None}

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        if isinstance(self.layer, Unbuilt):
            width = self.layer.width_in(state_dict, f"{prefix}layer.")
            if width is not None:
                self.build(width)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        if self.states is not None:
            self.states = map_state(fn, self.states)
        return self

    # -- running -----------------------------------------------------------------------------

    def forward(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Run over all steps.

        Args:
            sequences: ``[B, T, D]`` (``[T, B, D]`` with ``time_major``), array or tensor.
            initial_state: a tensor, or a list of tensors in the order of ``return_state``; a list
                for each cell where cells are stacked.
            mask: ``[B, T]`` (time first with ``time_major``), true where a step is real.
            training: whether dropout acts; None leaves the mode of the module as it is.

        Returns:
            The output, or with ``return_state`` a tuple of it and the final states.

        Raises:
            ShapeError: a wrong shape; both shapes are named.
        """
        owner, given = type(self).__name__, self.as_tensor(sequences)
        x, mask = batch_first(owner, given, mask, time_major=self.time_major)
        if not self.built:
            self.build(tuple(x.shape))
            self.to(x.device)
        layer = self._layer()
        state = self._start(x, initial_state)
        with self.mode(training), self._own_randomness():
            output, final = layer(x, state, mask=mask)
        if self.stateful:
            self.states = map_state(Tensor.detach, final)
        result = shown(self, output, mask)
        states = self._keras_states(final)
        self._remember(result, states)
        return (result, *states) if self.return_state else result

    def _layer(self) -> Layer:
        self.require_built("call")
        return cast("Layer", self.layer)

    def _start(self, x: Tensor, initial_state: Any) -> Any:
        """The state before the first step, in seqlab's form."""
        batch = x.shape[0]
        if initial_state is not None:
            if isinstance(initial_state, Tensor) or hasattr(initial_state, "__array__"):
                initial_state = [initial_state]
            return self._seqlab_state(initial_state, batch)
        if not self.stateful or self.states is None:
            return None
        known = state_tensors(self.states)[0].shape[0]
        if known != batch:
            raise ShapeError(
                f"{type(self).__name__}: stateful, and its states are for batches of {known} "
                f"rows, got {batch}; call reset_state()"
            )
        return self.states

    def _seqlab_state(self, given: Sequence[Any], batch: int) -> Any:
        def tensors(value: Any) -> Any:
            if isinstance(value, list | tuple):
                return tuple(tensors(part) for part in value)
            return self.as_tensor(value)

        state = tensors(list(given))
        if not isinstance(self.cell, StackedRNNCells):
            return state
        expected = self._layer().initial_state(batch)
        if len(state) != len(expected):
            raise ShapeError(
                f"{type(self).__name__}: initial_state must have {len(expected)} parts, one a "
                f"cell, got {len(state)}"
            )
        return state

    def _keras_states(self, final: Any) -> list[Any]:
        if isinstance(self.cell, StackedRNNCells):
            return [list(part) for part in final]
        return list(final)

    @contextlib.contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """With ``seed``, dropout has a stream of random numbers of its own."""
        if self.cell.seed is None:
            yield
            return
        with torch.random.fork_rng():
            if self._random is None:
                torch.manual_seed(self.cell.seed)
            else:
                torch.random.set_rng_state(self._random)
            yield
            self._random = torch.random.get_rng_state()

    # -- state kept between calls ------------------------------------------------------------

    def reset_state(self, states: Any = None) -> None:
        """Forget the states of a stateful layer, or set them.

        Raises:
            OptionError: the layer is not stateful.
        """
        if not self.stateful:
            raise OptionError(f"{type(self).__name__}.reset_state: the layer is not stateful")
        self.states = None
        if states is not None:
            given = [states] if not isinstance(states, list | tuple) else states
            self.states = self._seqlab_state(given, self.as_tensor(given[0]).shape[0])

    reset_states = reset_state

    # -- losses and configs ------------------------------------------------------------------

    def _remember(self, result: Tensor, states: list[Any]) -> None:
        """Keras penalises every tensor that a call returns, divided by the batch size."""
        self._activity = None
        if self._penalty_of_output is None:
            return
        shown = [result, *(state_tensors(states) if self.return_state else [])]
        self._activity = sum(
            (self._penalty_of_output(part) / max(part.shape[0], 1) for part in shown),
            start=result.new_zeros(()),
        )

    def regularization_loss(self) -> Tensor:
        """The penalties of the weights and of the last call's outputs: a scalar."""
        loss = super().regularization_loss()
        return loss if self._activity is None else loss + self._activity

    def get_config(self) -> dict[str, Any]:
        """All arguments, as plain values that ``from_config`` and Keras itself read."""
        config = {**self.base_config(), **{flag: getattr(self, flag) for flag in _FLAGS}}
        if not self.time_major:
            del config["time_major"]
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = to_keras(
                "regularizer", "activity_regularizer", self.activity_regularizer
            )
        return {**config, **self._cell_config()}

    def _cell_config(self) -> dict[str, Any]:
        return {"cell": cell_config(self.cell)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The layer of a config, this facade's or Keras's; names only, never import paths."""
        return cls(**{**config, "cell": cell_of(config.get("cell"))})
