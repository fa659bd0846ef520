"""Keras's ``TimeDistributed``: one layer applied to every time step on its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from seqlab.compat.keras.base import KerasLayer, mask_tensor
from seqlab.compat.keras.configs import known_layer, layer_of, nested_config
from seqlab.errors import OptionError, ShapeError
from seqlab.layers.base import Layer


@known_layer
class TimeDistributed(KerasLayer):
    """``keras.layers.TimeDistributed``: the same weights at every step of axis 1.

    The steps become rows of one batch, so the inner layer runs once.

    Args:
        layer: a layer of this package or any ``torch.nn.Module``, for inputs without the time
            axis.
        **kwargs: ``name``, ``dtype``, ``trainable``.

    Raises:
        OptionError: the layer is none.

    Example:
        >>> TimeDistributed(nn.Linear(3, 4))(torch.zeros(2, 5, 3)).shape
        torch.Size([2, 5, 4])
    """

    def __init__(self, layer: nn.Module, **kwargs: Any) -> None:
        if not isinstance(layer, nn.Module):
            raise OptionError(f"TimeDistributed needs a layer, got {layer!r:.80}")
        super().__init__(**{"dtype": getattr(layer, "dtype", None), **kwargs})
        self.layer = layer

    @property
    def built(self) -> bool:
        """Whether the inner layer has weights."""
        return self.layer.built if isinstance(self.layer, KerasLayer) else True

    def build(self, input_shape: Sequence[int | None] | int) -> None:
        """Make the inner layer's weights; plain modules have theirs already."""
        if isinstance(self.layer, KerasLayer):
            self.layer.build(input_shape)

    def parts(self) -> list[Layer]:
        """The inner layer's."""
        return self.layer.parts() if isinstance(self.layer, KerasLayer) else []

    def regularization_loss(self) -> Tensor:
        """The inner layer's."""
        if isinstance(self.layer, KerasLayer):
            return self.layer.regularization_loss()
        return super().regularization_loss()

    def forward(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Apply the layer to each step.

        Args:
            inputs: ``[B, T, ...]``, at least three dimensions.
            training: whether dropout acts.
            mask: ``[B, T, ...]``, handed on to a layer that takes masks.

        Returns:
            What the layer returns, with the time axis back in its place.

        Raises:
            ShapeError: too few dimensions, or a mask that does not begin with ``[B, T]``.
        """
        x = self.as_tensor(inputs)
        if x.dim() < 3:
            raise ShapeError(
                f"TimeDistributed: the input must be [B, T, ...], got {tuple(x.shape)}"
            )
        mask = mask_tensor(mask, x.device)
        if mask is not None and mask.shape[:2] != x.shape[:2]:
            raise ShapeError(
                f"TimeDistributed: the mask must begin with {tuple(x.shape[:2])}, "
                f"got {tuple(mask.shape)}"
            )
        keywords = {} if mask is None or not self._takes_mask() else {"mask": mask.flatten(0, 1)}
        with self.mode(training):
            result = self.layer(x.flatten(0, 1), **keywords)
        return _unflatten(result, x.shape[:2])

    def _takes_mask(self) -> bool:
        return "mask" in inspect.signature(self.layer.forward).parameters

    def fresh(self) -> Self:
        """One around a fresh inner layer.

        Raises:
            OptionError: the inner layer is a plain module.
        """
        return type(self)(self._keras_layer("fresh").fresh(), trainable=self.trainable)

    def _keras_layer(self, what: str) -> KerasLayer:
        if not isinstance(self.layer, KerasLayer):
            raise OptionError(
                f"TimeDistributed.{what}: {type(self.layer).__name__} is not a layer of "
                "seqlab.compat.keras, so it has no config"
            )
        return self.layer

    def get_config(self) -> dict[str, Any]:
        """All arguments, as plain values that ``from_config`` and Keras itself read.

        Raises:
            OptionError: the inner layer is a plain module.
        """
        return {**self.base_config(), "layer": nested_config(self._keras_layer("get_config"))}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The layer of a config, this facade's or Keras's; names only, never import paths."""
        return cls(**{**config, "layer": layer_of(config.get("layer"))})


def _unflatten(value: Any, sizes: torch.Size) -> Any:
    if isinstance(value, Tensor):
        return value.reshape(*sizes, *value.shape[1:])
    return type(value)(_unflatten(part, sizes) for part in value)
