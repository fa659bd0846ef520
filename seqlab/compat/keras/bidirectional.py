"""Keras's ``Bidirectional``: one layer in each direction of time, outputs merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from seqlab.compat.keras.base import KerasLayer, mask_tensor
from seqlab.compat.keras.configs import known_layer, layer_of, nested_config
from seqlab.compat.keras.rnn import RNN
from seqlab.construct import construct
from seqlab.errors import OptionError, ShapeError
from seqlab.layers.base import Layer
from seqlab.wrappers.merges import Merge

_COMMON = ("stateful", "return_sequences", "return_state", "time_major")


@known_layer
class Bidirectional(KerasLayer):
    """``keras.layers.Bidirectional``: runs a layer forward and one backward in time.

    Args:
        layer: a recurrent layer of this package; its form is used, its weights are not.
        merge_mode: ``concat``, ``sum``, ``mul``, ``ave``, None (both outputs, as a list), or
            another merge that is registered with seqlab.
        weights: initial values, the forward layer's first half, the backward layer's second.
        backward_layer: the backward layer, with ``go_backwards`` other than the forward layer's
            and the other flags equal; None for one of the same form.
        **kwargs: ``name``, ``dtype``, ``trainable``, and the input width as ``input_size``,
            ``input_shape``, ``batch_input_shape`` or ``input_dim``.

    With ``return_sequences`` the output of a masked step is zero, as in Keras 3.

    Raises:
        OptionError: a wrong argument, or flags of the two layers that do not fit.

    Example:
        >>> import torch
        >>> from seqlab.compat.keras.recurrent import GRU
        >>> layer = Bidirectional(GRU(4, return_sequences=True), merge_mode=None)
        >>> [part.shape for part in layer(torch.zeros(2, 5, 3))]
        [torch.Size([2, 5, 4]), torch.Size([2, 5, 4])]
    """

    def __init__(
        self,
        layer: RNN,
        merge_mode: Any = "concat",
        weights: Sequence[Any] | None = None,
        backward_layer: RNN | None = None,
        **kwargs: Any,
    ) -> None:
        for option, given in (("layer", layer), ("backward_layer", backward_layer)):
            if not isinstance(given, RNN) and not (given is None and option == "backward_layer"):
                raise OptionError(
                    f"Bidirectional: {option} must be a recurrent layer of seqlab.compat.keras, "
                    f"got {given!r:.80}"
                )
        super().__init__(**{"dtype": layer.dtype, **kwargs})
        self.forward_layer = layer.fresh()
        if backward_layer is None:
            backward_layer = layer.fresh()
            backward_layer.go_backwards = True
        elif backward_layer is layer:
            raise OptionError("Bidirectional: backward_layer must not be the forward layer itself")
        self.backward_layer = backward_layer
        self._check_flags()
        for part in (self.forward_layer, self.backward_layer):
            part.zero_output_for_mask = part.return_sequences
        self.merge_mode = merge_mode
        sizes = (self.forward_layer.output_size, self.backward_layer.output_size)
        spec = "none" if merge_mode is None else merge_mode
        self.merge: Merge = construct("merge", spec, *sizes, where="merge_mode").to(self.dtype)
        self.merge.requires_grad_(self.trainable)
        if not self.trainable:
            self.forward_layer.trainable = self.backward_layer.trainable = False
        self._initial_weights = weights
        if self._width is not None:
            self.build(self._width)

    def _check_flags(self) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise OptionError(
                "Bidirectional: the layers must run in different directions, both have "
                f"go_backwards={forward.go_backwards}"
            )
        for flag in _COMMON:
            ours, theirs = getattr(forward, flag), getattr(backward, flag)
            if ours != theirs:
                raise OptionError(
                    f"Bidirectional: {flag} must be equal, it is {ours} in the forward layer and "
                    f"{theirs} in the backward layer"
                )

    # -- building ----------------------------------------------------------------------------

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self.forward_layer.built and self.backward_layer.built

    @property
    def return_sequences(self) -> bool:
        """That of both layers."""
        return self.forward_layer.return_sequences

    @property
    def return_state(self) -> bool:
        """That of both layers."""
        return self.forward_layer.return_state

    @property
    def stateful(self) -> bool:
        """That of both layers."""
        return self.forward_layer.stateful

    def build(self, input_shape: Sequence[int | None] | int) -> None:
        """Make the weights for ``[B, T, D]`` or a width D; a second call does nothing.

        Raises:
            ShapeError: the argument ``weights`` does not fit.
        """
        self.forward_layer.build(input_shape)
        self.backward_layer.build(input_shape)
        if self._initial_weights is not None:
            given, self._initial_weights = self._initial_weights, None
            self.set_weights(given)

    def parts(self) -> list[Layer]:
        """The forward layer's, then the backward layer's."""
        return [*self.forward_layer.parts(), *self.backward_layer.parts()]

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """The forward layer's weights, the backward layer's, and those of a learned merge."""
        merge = [p.detach().cpu().numpy().copy() for p in self.merge.parameters()]
        return [*super().get_weights(), *merge]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all weights, in the order of ``get_weights``.

        Raises:
            ShapeError: another number of arrays, or one of another shape; nothing is changed.
        """
        own = list(self.merge.parameters())
        count = max(len(weights) - len(own), 0)
        values = [torch.as_tensor(value) for value in weights[count:]]
        for index, (target, value) in enumerate(zip(own, values, strict=False)):
            if target.shape != value.shape:
                raise ShapeError(
                    f"Bidirectional: weights[{count + index}] (merge) must be "
                    f"{tuple(target.shape)}, got {tuple(value.shape)}"
                )
        super().set_weights(weights[:count])
        with torch.no_grad():
            for target, value in zip(own, values, strict=True):
                target.copy_(value)

    # -- running -----------------------------------------------------------------------------

    def forward(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Run both layers; see ``RNN.forward``.

        Args:
            sequences: ``[B, T, D]``.
            initial_state: a list, the forward layer's states and then the backward layer's.
            mask: ``[B, T]``, true where a step is real.
            training: whether dropout acts.

        Returns:
            The merged output; a list of both without a merge; with ``return_state`` followed by
            the forward states and the backward states.
        """
        x = self.as_tensor(sequences)
        if not self.built:
            self.build(tuple(x.shape))
            self.to(x.device)
        first, second = self._halves(initial_state)
        with self.mode(training):
            ours = self.forward_layer(x, first, mask)
            theirs = self.backward_layer(x, second, mask)
            states: list[Any] = []
            if self.return_state:
                states = [*ours[1:], *theirs[1:]]
                ours, theirs = ours[0], theirs[0]
            merged = self._merge(ours, theirs, mask_tensor(mask, x.device))
        if self.merge_mode is None:
            return [*merged, *states]
        return (merged, *states) if states else merged

    def _merge(self, ours: Tensor, theirs: Tensor, mask: Tensor | None) -> Any:
        if self.return_sequences:
            theirs = theirs.flip(0 if self.forward_layer.time_major else 1)
        merged = self.merge(ours, theirs)
        if mask is not None and self.return_sequences and not self.merge.keeps_zeros:
            merged = merged.masked_fill(~mask.unsqueeze(-1), 0.0)
        return merged

    @staticmethod
    def _halves(initial_state: Any) -> tuple[Any, Any]:
        if initial_state is None:
            return None, None
        if not isinstance(initial_state, list | tuple) or len(initial_state) % 2:
            got = (
                f"{len(initial_state)} parts" if isinstance(initial_state, list | tuple) else "one"
            )
            raise ShapeError(
                "Bidirectional: initial_state must be a list of the forward layer's states and "
                f"as many of the backward layer's, got {got}"
            )
        half = len(initial_state) // 2
        return list(initial_state[:half]), list(initial_state[half:])

    def reset_state(self) -> None:
        """Forget the states of both layers."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    def regularization_loss(self) -> Tensor:
        """The penalties of both layers."""
        return self.forward_layer.regularization_loss() + self.backward_layer.regularization_loss()

    # -- configs -----------------------------------------------------------------------------

    def fresh(self) -> Self:
        """A layer of the same form with weights of its own."""
        return type(self)(
            self.forward_layer,
            self.merge_mode,
            backward_layer=self.backward_layer.fresh(),
            dtype=self.dtype,
            trainable=self.trainable,
        )

    def get_config(self) -> dict[str, Any]:
        """All arguments, as plain values that ``from_config`` and Keras itself read."""
        return {
            **self.base_config(),
            "merge_mode": self.merge_mode,
            "layer": nested_config(self.forward_layer),
            "backward_layer": nested_config(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The layer of a config, this facade's or Keras's; names only, never import paths."""
        parts = {k: layer_of(config[k]) for k in ("layer", "backward_layer") if config.get(k)}
        return cls(**{**config, **parts})
