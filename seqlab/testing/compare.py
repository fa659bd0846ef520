"""Comparisons that fail with the numbers they saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from seqlab.heads.states import leaves
from seqlab.testing.result import Failure

#: The largest difference allowed between two float64 results of the same equations.
EXACT = 1e-9


def require(condition: object, message: str, **numbers: float) -> None:
    """Fail with a message unless the condition holds."""
    if not condition:
        raise Failure(message, **numbers)


def same_shape(actual: Any, shape: tuple[int, ...], what: str) -> None:
    """Fail unless a value is a tensor of this shape."""
    if not isinstance(actual, Tensor):
        raise Failure(f"{what}: expected a tensor {list(shape)}, got {type(actual).__name__}")
    if tuple(actual.shape) != tuple(shape):
        raise Failure(f"{what}: expected the shape {list(shape)}, got {list(actual.shape)}")


def as_real(tensor: Tensor) -> Tensor:
    """A copy in float64 on the CPU; of complex numbers, both parts along a last dimension."""
    plain = tensor.detach().cpu()
    return torch.view_as_real(plain).double() if plain.is_complex() else plain.double()


def close(actual: Tensor, expected: Tensor, what: str, *, tolerance: float = EXACT) -> float:
    """The largest difference of two tensors, which must be at most ``tolerance``.

    The tolerance counts relative to the largest expected value where that is above 1.

    Raises:
        Failure: shapes differ, a value is not finite on one side only, or they are too far apart.
    """
    same_shape(actual, tuple(expected.shape), what)
    if actual.numel() == 0:
        return 0.0
    a, e = as_real(actual), as_real(expected)
    strange = torch.isfinite(a) != torch.isfinite(e)
    if strange.any():
        first = tuple(int(i) for i in strange.nonzero()[0])
        raise Failure(
            f"{what}: {int(strange.sum())} of {a.numel()} values are not finite on one side, "
            f"first at {list(first)}: got {a[first]:.6g}, expected {e[first]:.6g}"
        )
    apart = torch.nan_to_num((a - e).abs())
    largest = float(apart.max())
    allowed = tolerance * max(1.0, float(torch.nan_to_num(e, posinf=0.0, neginf=0.0).abs().max()))
    if largest > allowed:
        place = tuple(int(i) for i in torch.unravel_index(apart.argmax(), apart.shape))
        index = list(place)
        raise Failure(
            f"{what}: the largest difference is {largest:.3g} (allowed {allowed:.1g}), at {index}: "
            f"got {float(a[place]):.6g}, expected {float(e[place]):.6g}",
            difference=largest,
        )
    return largest


def largest_change(after: Tensor, before: Tensor) -> float:
    """The largest absolute difference of two tensors of one shape; 0 for empty ones."""
    if after.numel() == 0:
        return 0.0
    return float((after.detach() - before.detach()).abs().max())


def close_states(actual: Any, expected: Any, what: str, *, tolerance: float = EXACT) -> float:
    """As ``close``, for two recurrent states of one structure."""
    ours, theirs = leaves(actual), leaves(expected)
    require(len(ours) == len(theirs), f"{what}: {len(ours)} state tensors, expected {len(theirs)}")
    found = [
        close(a, e, f"{what}, state tensor {index}", tolerance=tolerance)
        for index, (a, e) in enumerate(zip(ours, theirs, strict=True))
    ]
    return max(found, default=0.0)


def close_all(
    actual: Mapping[str, Tensor | None],
    expected: Mapping[str, Tensor | None],
    what: str,
    *,
    tolerance: float = EXACT,
) -> float:
    """As ``close``, for named tensors such as gradients; None stands for zeros."""
    largest = 0.0
    for name, value in expected.items():
        other = actual.get(name)
        like = other if value is None else value
        if like is None:
            continue
        ours, theirs = (torch.zeros_like(like) if v is None else v for v in (other, value))
        largest = max(largest, close(ours, theirs, f"{what} of {name}", tolerance=tolerance))
    return largest


def refused(call: Callable[[], object], errors: tuple[type[Exception], ...], what: str) -> str:
    """The message of the error that a call must raise.

    Raises:
        Failure: it raised nothing, or another error.
    """
    try:
        call()
    except errors as error:
        return str(error)
    except Exception as error:
        wanted = " or ".join(kind.__name__ for kind in errors)
        raise Failure(f"{what}: raised {type(error).__name__} ({error}), not {wanted}") from error
    raise Failure(f"{what}: was accepted without an error")
