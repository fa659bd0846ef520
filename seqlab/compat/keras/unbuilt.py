"""What stands in a layer's place until its input width is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter, is_lazy

from seqlab.layers.base import Layer

Shapes = dict[str, tuple[int, ...]]


class Unbuilt(nn.Module):
    """The parameters of a layer to come, by name and without shapes, as in torch's lazy modules.

    An optimiser may hold them, and they can be moved, cast, copied and saved; ``become`` gives the
    same objects their shapes and values.

    Args:
        narrow: their shapes for an input of width 1, by name, dots for modules inside.
        wide: their shapes for an input of width 2.
        dtype: their type.
        trainable: whether they take gradients.
    """

    def __init__(
        self, narrow: Shapes, wide: Shapes, dtype: torch.dtype, *, trainable: bool = True
    ) -> None:
        super().__init__()
        self._narrow, self._wide = narrow, wide
        for name in narrow:
            *path, leaf = name.split(".")
            owner: nn.Module = self
            for part in path:
                if not hasattr(owner, part):
                    owner.add_module(part, Unbuilt({}, {}, dtype))
                owner = owner.get_submodule(part)
            owner.register_parameter(leaf, _parameter(trainable, dtype=dtype))

    @classmethod
    def of(cls, make_layer: Callable[[int], Layer], dtype: torch.dtype, *, trainable: bool) -> Self:
        """What stands for the layers that ``make_layer`` makes of an input width."""
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            narrow, wide = (_shapes(make_layer(width)) for width in (1, 2))
        return cls(narrow, wide, dtype, trainable=trainable)

    @torch.no_grad()
    def become(self, layer: Layer) -> None:
        """Give the layer these parameters, with the layer's own values."""
        for name, mine in self.named_parameters():
            value = layer.get_parameter(name)
            mine.materialize(value.shape, mine.device, mine.dtype)  # type: ignore[attr-defined]
            mine.copy_(value)
            path, _, leaf = name.rpartition(".")
            layer.get_submodule(path).register_parameter(leaf, mine)

    def width_in(self, state_dict: Mapping[str, Any], prefix: str) -> int | None:
        """The input width of the layer whose parameters these are; None where it is not told."""
        for name, narrow in self._narrow.items():
            value = state_dict.get(prefix + name)
            if value is None or is_lazy(value) or value.dim() != len(narrow):
                continue
            for size, one, two in zip(value.shape, narrow, self._wide[name], strict=True):
                if one != two:
                    return 1 + int(size - one) // (two - one)
        return None

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move or cast; torch's own would make a plain parameter where the device is ``meta``."""
        own: Mapping[str, Any] = self._parameters
        for name, parameter in own.items():
            moved = fn(parameter)
            if torch._has_compatible_shallow_copy_type(parameter, moved):  # noqa: SLF001
                parameter.data = moved
            else:
                grad = parameter.requires_grad
                self._parameters[name] = _parameter(grad, device=moved.device, dtype=moved.dtype)
        for child in self.children() if recurse else ():
            child._apply(fn)  # type: ignore[no-untyped-call]  # noqa: SLF001  # torch's own way
        return self

    # -- torch's state dicts know values only --------------------------------------------------

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        del keep_vars
        for name, parameter in self._parameters.items():
            destination[prefix + name] = parameter

    def _load_from_state_dict(  # noqa: PLR0917  # torch's signature
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        del local_metadata, strict, unexpected_keys
        for name in self._parameters:
            value = state_dict.get(prefix + name)
            if value is None:
                missing_keys.append(prefix + name)
            elif not is_lazy(value):
                error_msgs.append(
                    f"{prefix}{name}: the input width does not follow from the state dict; call "
                    "the layer, build(input_shape), or give input_size first"
                )


def _parameter(requires_grad: bool, **options: Any) -> Any:
    lazy: Any = UninitializedParameter
    return lazy(requires_grad, **options)


def _shapes(layer: nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in layer.named_parameters()}
