"""The options that need neither gates nor matrices: dropout of the input, and zoneout.

``Cell`` puts them around whatever ``project``, ``step`` and ``sample_noise`` a class has, when the
class is made (``construction.py``); an author does nothing for them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab.cells.noise import dropout_mask


class OptionRates(NamedTuple):
    """What a cell was asked for; ``zoneout`` of each state field that can have it."""

    dropout: float = 0.0
    zoneout: tuple[float, ...] = ()

    def draw(self) -> bool:
        """Whether a run in training draws masks."""
        return bool(self.dropout) or any(self.zoneout)


class OptionNoise(NamedTuple):
    """The masks of a cell that is not gated; None where there is nothing.

    ``input_mask`` is ``[B, 1, D]``, 0 or 1 / (1 - rate). ``zoneout`` holds for each state field
    that can have it ``[T, B, width]`` (``[B, width]`` after ``at``): 1 where the new value is
    taken, 0 where the old one stays; of matrices it is ``[T, B, heads, 1, V]``, a column each.
    ``own`` is what the class's own ``sample_noise`` gave.
    """

    input_mask: Tensor | None = None
    zoneout: tuple[Tensor | None, ...] | None = None
    own: Any = None

    def at(self, t: int) -> OptionNoise:
        """The masks of step ``t``."""
        own = None if self.own is None else self.own.at(t)
        if self.zoneout is None:
            return self if own is None else self._replace(own=own)
        keep = tuple(None if z is None else z[t] for z in self.zoneout)
        return self._replace(zoneout=keep, own=own)

    def between(self, start: int, stop: int) -> OptionNoise:
        """The masks of some steps."""
        if self.zoneout is None:
            return self
        return self._replace(zoneout=tuple(z if z is None else z[start:stop] for z in self.zoneout))

    def kept(self, field: int = 0) -> Tensor | None:
        """Where a state field takes its new value: ``[B, T, width]``, also for a single step."""
        mask = None if self.zoneout is None else self.zoneout[field]
        if mask is None:
            return None
        return (mask.transpose(0, 1) if mask.dim() > 2 else mask.unsqueeze(1)) > 0


def draw_options(
    cell: Any, batch_size: int, steps: int, *, device: torch.device, dtype: torch.dtype
) -> OptionNoise | None:
    """The masks of one sequence for a cell's rates; None outside training and where all are 0."""
    rates: OptionRates = cell.option_rates
    if not cell.training or not rates.draw():
        return None
    like = torch.empty(0, device=device, dtype=dtype)
    keep = None
    if any(rates.zoneout):
        keep = tuple(
            dropout_mask(like, (steps, batch_size, *shape), rate, scale=False)
            for shape, rate in zip(cell.zoneout_shapes(), rates.zoneout, strict=True)
        )
    mask = dropout_mask(like, (batch_size, 1, cell.input_size), rates.dropout)
    return OptionNoise(mask, keep)


def dropped(x_BTD: Tensor, noise: OptionNoise | None) -> Tensor:
    """The input behind its mask, if there is one."""
    mask = None if noise is None else noise.input_mask
    return x_BTD if mask is None else x_BTD * mask


def with_options_around(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A method that a cell's class has, with the options of ``Cell`` around it.

    Where a subclass has another method of that name, which calls this one, the options stand around
    the subclass's alone.
    """
    return _AROUND[name](function)


def _around_project(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def project(self: Any, x_BTD: Tensor, noise: Any = None) -> Any:
        if type(self).project is project and isinstance(noise, OptionNoise):
            x_BTD, noise = dropped(x_BTD, noise), noise.own
        return function(self, x_BTD, *(() if noise is None else (noise,)))

    return project


def _around_step(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def step(self: Any, projected_t: Any, state: Any, noise: Any = None, **given: Any) -> Any:
        masks = noise if isinstance(noise, OptionNoise) else None
        own = noise if masks is None else masks.own
        made = function(self, projected_t, state, *(() if own is None else (own,)), **given)
        return self._after_step(made, state, masks) if type(self).step is step else made

    return step


def _around_sample_noise(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def sample_noise(self: Any, batch_size: int, steps: int, **where: Any) -> Any:
        own = function(self, batch_size, steps, **where)
        if type(self).sample_noise is not sample_noise:
            return own
        masks = draw_options(self, batch_size, steps, **where)
        return own if masks is None else masks._replace(own=own)

    return sample_noise


_AROUND: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "project": _around_project,
    "step": _around_step,
    "sample_noise": _around_sample_noise,
}
#: The methods that the options stand around.
METHODS = tuple(_AROUND)
