"""What is known of the calls of layers that come, for the planner."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch


class _Calls(NamedTuple):
    """A number of calls: all of a run, or only those without gradients that are sure to come."""

    number: int
    whole: bool


_calls: ContextVar[_Calls | None] = ContextVar("seqlab_calls", default=None)
_chosen: ContextVar[set[str] | None] = ContextVar("seqlab_chosen_engines", default=None)


@contextmanager
def expected_calls(count: int | None) -> Iterator[set[str]]:
    """Tell the planner how often layers will be called inside, so that setting up can pay at once.

    The choice depends on this number and the input's form alone, so a run that is repeated or
    resumed chooses as it did before. Without it a layer changes to an engine that must be set up,
    such as one that compiles, when its calls so far would have gained twice what that takes.

    Args:
        count: calls with gradients of each layer in the whole run, such as the training steps;
            None when it is unknown.

    Yields:
        The names of the engines chosen inside for calls with gradients; it fills as they are.

    Example:
        >>> import torch, seqlab
        >>> layer = seqlab.LSTM(3, 4, recurrent_dropout=0.5)
        >>> with expected_calls(10):
        ...     layer.explain(torch.zeros(2, 5, 3)).engine.name
        'loop'
    """
    chosen: set[str] = set()
    tokens = _calls.set(None if count is None else _Calls(count, whole=True)), _chosen.set(chosen)
    try:
        yield chosen
    finally:
        _calls.reset(tokens[0])
        _chosen.reset(tokens[1])


@contextmanager
def coming_calls(count: int) -> Iterator[None]:
    """Tell the planner that layers will be called so often without gradients inside, or oftener.

    It then weighs what an engine saves in so many calls with what setting it up takes *here*: code
    that lies compiled in the cache is set up in a moment. Inside ``expected_calls`` it says
    nothing, as the choices of a training must not depend on what a cache holds.

    Args:
        count: calls of each layer: batches to predict, or steps to be taken one by one.

    Example:
        >>> import torch, seqlab
        >>> layer = seqlab.LSTM(3, 4).eval()
        >>> with coming_calls(2), torch.no_grad():
        ...     layer.explain(torch.zeros(2, 5, 3)).engine.name
        'fused'
    """
    before = _calls.get()
    if before is not None and (before.whole or before.number >= count):
        yield
        return
    token = _calls.set(_Calls(count, whole=False))
    try:
        yield
    finally:
        _calls.reset(token)


@contextmanager
def coming_steps(count: int) -> Iterator[None]:
    """Tell the planner that each of the calls announced takes so many steps, one by one.

    The number may be the most that there can be: where it is too large, code that is kept is
    loaded for nothing, but nothing is compiled for it.

    Example:
        >>> import torch
        >>> with torch.no_grad(), coming_calls(3), coming_steps(20):
        ...     at_least()
        60
    """
    with coming_calls(count * max(1, at_least())):
        yield


#: All that is announced now: where it is the same, so are choices. It is asked in every call.
announced: Callable[[], Hashable] = _calls.get


def in_whole_run() -> int | None:
    """All calls of the run, where somebody has said how many there are."""
    calls = _calls.get()
    return calls.number if calls is not None and calls.whole else None


def at_least() -> int:
    """The calls like this one that are sure to come."""
    calls = _calls.get()
    if calls is None or calls.whole or torch.is_grad_enabled():
        return 0
    return calls.number


def chosen_engines() -> set[str] | None:
    """Where the engines chosen are to be noted, inside ``expected_calls``."""
    return _chosen.get()
