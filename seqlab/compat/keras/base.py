"""What all layers of the facade share: Keras's keywords, weights, losses, configs, modes."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from seqlab.compat.keras.layouts import get_arrays, set_arrays
from seqlab.compat.keras.names import snake_case
from seqlab.errors import OptionError, ShapeError, did_you_mean
from seqlab.layers.base import Layer
from seqlab.schema import Count, Rule, check_choice, check_value

_DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}

#: A batch's or a row's shape.
Shape = Annotated[
    Sequence[int | None],
    Rule(lambda shape: len(shape) and (shape[-1] or 0) > 0, "a list that ends in the width"),
]
#: Keywords that Keras's layers take besides their own.
_KEYWORDS = (
    "name",
    "dtype",
    "trainable",
    "input_shape",
    "batch_input_shape",
    "batch_shape",
    "input_dim",
    "input_size",
)


def read_dtype(value: Any) -> torch.dtype:
    """A dtype by name, as torch's, or as Keras serializes its policy; None for torch's default.

    Raises:
        OptionError: no floating dtype of that name; mixed policies belong to torch's autocast.
    """
    if isinstance(value, Mapping):
        value = (value.get("config") or {}).get("name")
    if value is None:
        return torch.get_default_dtype()
    if isinstance(value, torch.dtype) and value.is_floating_point:
        return value
    return _DTYPES[check_choice(value, tuple(_DTYPES), "dtype")]


def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


def width_of(keywords: Mapping[str, Any]) -> int | None:
    """The input width that keywords give beforehand, in any of Keras's ways; None for none."""
    for key in ("input_shape", "batch_input_shape", "batch_shape"):
        shape = keywords.get(key)
        if shape is not None:
            return int(check_value(shape, Shape, key)[-1])
    given = keywords.get("input_size", keywords.get("input_dim"))
    width: int | None = check_value(given, Count | None, "input_size")
    return width


class KerasLayer(nn.Module, ABC):
    """A layer that is built when it first sees an input, as Keras's are.

    Starts in evaluation mode: called directly, a Keras layer does not drop out. ``train()`` and
    the call argument ``training`` turn dropout on.
    """

    def __init__(self, **keywords: Any) -> None:
        super().__init__()
        for key in keywords:
            if key not in _KEYWORDS:
                raise OptionError(
                    f"{type(self).__name__} has no argument '{key}': {did_you_mean(key, _KEYWORDS)}"
                )
        self.name = keywords.get("name") or snake_case(type(self).__name__)
        self.dtype = read_dtype(keywords.get("dtype"))
        self.trainable = bool(keywords.get("trainable", True))
        self._width = width_of(keywords)
        self.eval()

    @property
    def trainable(self) -> bool:
        """Whether the weights take gradients; setting it freezes or frees them all."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for parameter in self.parameters():
            parameter.requires_grad = self._trainable

    # -- what a layer writes -----------------------------------------------------------------

    @property
    @abstractmethod
    def built(self) -> bool:
        """Whether the weights exist."""

    @abstractmethod
    def build(self, input_shape: Sequence[int | None] | int) -> None:
        """Make the weights for ``[B, T, D]`` or a width D; a second call does nothing."""

    @abstractmethod
    def parts(self) -> list[Layer]:
        """The seqlab layers inside, in the order of Keras's weights."""

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """All arguments, as plain values that ``from_config`` and Keras itself read."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The layer of a config, this facade's or Keras's; names only, never import paths."""
        return cls(**config)

    @abstractmethod
    def fresh(self) -> Self:
        """A layer of the same form without this one's weights."""

    # -- weights -----------------------------------------------------------------------------

    def require_built(self, what: str) -> None:
        """Refuse what needs weights before there are any.

        Raises:
            ShapeError: the input width is not known yet.
        """
        if not self.built:
            raise ShapeError(
                f"{type(self).__name__}.{what}: the input width is not known yet; call the layer, "
                "build(input_shape), or give input_size"
            )

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """Copies of the weights as Keras orders and lays them out."""
        self.require_built("get_weights")
        return get_arrays([cell for part in self.parts() for cell in part.cells()])

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all weights, in Keras's order and layout.

        Raises:
            ShapeError: another number of arrays, or one of another shape; nothing is changed.
        """
        self.require_built("set_weights")
        cells = [cell for part in self.parts() for cell in part.cells()]
        set_arrays(cells, weights, type(self).__name__)

    def count_params(self) -> int:
        """The number of weights."""
        self.require_built("count_params")
        return sum(p.numel() for p in self.parameters())

    # -- losses ------------------------------------------------------------------------------

    def regularization_loss(self) -> Tensor:
        """The penalties of the weights and of the last call's outputs: a scalar."""
        penalties = [part.regularization_loss() for part in self.parts()]
        return torch.stack(penalties).sum() if penalties else torch.zeros(())

    def apply_constraints(self) -> None:
        """Project the weights onto what the constraints allow, in place."""
        for part in self.parts():
            part.apply_constraints()

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        like = next((p for p in self.parameters() if p.is_floating_point()), None)
        if like is not None:
            self.dtype = like.dtype
        return self

    # -- helpers -----------------------------------------------------------------------------

    def base_config(self) -> dict[str, Any]:
        """The arguments that all layers have."""
        return {"name": self.name, "trainable": self.trainable, "dtype": dtype_name(self.dtype)}

    def as_tensor(self, value: Any) -> Tensor:
        """An array or tensor in the layer's dtype, on the device of its weights."""
        like = next(self.parameters(), None)
        device = None if like is None else like.device
        return torch.as_tensor(value).to(device=device, dtype=self.dtype)

    @contextlib.contextmanager
    def mode(self, training: bool | None) -> Iterator[None]:
        """Run in training or evaluation mode; None leaves the mode as it is."""
        before = self.training
        if training is not None:
            self.train(bool(training))
        try:
            yield
        finally:
            if training is not None:
                self.train(before)


def mask_tensor(mask: Any, device: torch.device) -> Tensor | None:
    """A mask as a boolean tensor; None stays None."""
    return None if mask is None else torch.as_tensor(mask).to(device).bool()
