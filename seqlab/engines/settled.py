"""Calls of a form that was planned before: what decided is compared, nothing is asked anew."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch
from torch import Tensor, is_grad_enabled
from torch.autograd import forward_ad
from torch.compiler import is_dynamo_compiling

from seqlab import registry
from seqlab.cells.base import COUNT, Cell
from seqlab.engines.calls import announced
from seqlab.types import State

#: A call of one form; None where it must go the long way, which then says what is wrong.
Call = Callable[..., "tuple[Tensor, State] | None"]
# under no other names; looked up once, as they are asked in every call
_has_autocast: Callable[[], bool] = torch._C._is_any_autocast_enabled  # noqa: SLF001
_is_tracing: Callable[[], bool] = torch._C._is_tracing  # noqa: SLF001
_dispatch_modes: Callable[[], int] = torch._C._len_torch_dispatch_stack  # noqa: SLF001
_transforms: Callable[[], object] = torch._C._functorch.peek_interpreter_stack  # noqa: SLF001
_function_modes: Callable[[], int] = torch._C._len_torch_function_stack  # noqa: SLF001
#: Forms that a layer keeps; then it starts anew.
MOST_FORMS = 512


def undisturbed() -> bool:
    """Whether nothing around a call sees its operations or changes what they do.

    That is: no autocast, graphs, traces, transforms, and modes of torch's dispatch.

    >>> undisturbed()
    True
    >>> with torch.autocast("cpu"):
    ...     undisturbed()
    False
    """
    return not (
        is_dynamo_compiling()
        or _has_autocast()
        or _is_tracing()
        or _dispatch_modes()
        or _function_modes()
        or _transforms() is not None
        or forward_ad._current_level >= 0  # noqa: SLF001  # no other
    )


class _Settled(NamedTuple):
    """A call, and what was so when it was planned."""

    call: Call
    name: str
    cell: Cell
    times_set: int
    training: bool
    dtype: torch.dtype
    device: torch.device
    calls: Hashable
    engines: int


class Settled:
    """The calls of one layer that need no planner any more.

    They are kept by the form of their input, and apart with gradients and masks and without.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, _Settled] = {}

    def find(
        self, name: str, cell: Cell, x: Tensor, *, reverse: bool = False, masked: bool = False
    ) -> Call | None:
        """The call for an input, if all is as it was.

        Args:
            name: the engine asked for.
            cell: the layer's cell.
            x: the input; no more than its form and type matters.
            reverse: the direction of time.
            masked: whether some steps may be masked.
        """
        if type(x) is not Tensor:
            return None
        known = self._known.get((x.shape, reverse, masked, is_grad_enabled()))
        if known is None:
            return None
        call, asked, of, times_set, training, dtype, device, calls, engines = known
        own = cell.__dict__  # as ``settings_key`` has it
        if (
            of is cell
            and dtype is x.dtype
            and undisturbed()
            and times_set == own[COUNT]
            and training == own["training"]
            and asked == name
            and device == x.device
            and calls == announced()
            and engines == registry.changes("engine")
        ):
            return call
        return None

    def keep(
        self, call: Call, name: str, cell: Cell, x: Tensor, *, reverse: bool = False,
        masked: bool = False,
    ) -> None:  # fmt: skip
        """Keep a call that was just planned, for what ``find`` is given."""
        if type(x) is not Tensor or not undisturbed():
            return
        if len(self._known) >= MOST_FORMS:
            self._known.clear()
        self._known[(x.shape, reverse, masked, is_grad_enabled())] = _Settled(
            call, name, cell, vars(cell)[COUNT], cell.training, x.dtype, x.device, announced(),
            registry.changes("engine"),
        )  # fmt: skip

    def forget(self) -> None:
        """Let the planner choose anew."""
        self._known.clear()
