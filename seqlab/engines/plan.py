"""Chooses the engine of a layer, and says why."""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab import registry
from seqlab.cells.base import Cell, next_state
from seqlab.engines.base import Engine
from seqlab.engines.cost import pays, saving
from seqlab.engines.over_time import at_time
from seqlab.errors import EngineError, UnknownNameError, did_you_mean
from seqlab.types import State

#: Engines that `auto` may choose, in the order of asking; all give the same numbers.
AUTO = ("fused", "scan", "loop")

_expected: ContextVar[int | None] = ContextVar("seqlab_expected_calls", default=None)
_chosen: ContextVar[set[str] | None] = ContextVar("seqlab_chosen_engines", default=None)


#: Seconds that compiled code would have saved a cell in its calls so far, where nobody said how
#: many there will be.
_forgone: weakref.WeakKeyDictionary[Cell, float] = weakref.WeakKeyDictionary()
#: Why an engine that could run a cell is not taken for it.
_NOT_NEEDED = {
    "loop": "it takes its steps in Python, one by one",
    "export": "it is for graphs that are being exported",
}
_ASKED = "another engine was asked for by name"


class Plan(NamedTuple):
    """The engine chosen and why, and why the others were not.

    ``saving``: the seconds that compiled code would save in such a call.
    """

    engine: Engine
    why: str
    refused: dict[str, str]
    saving: float = 0.0

    def __str__(self) -> str:
        """One line: the choice and the refusals."""
        reasons = "; ".join(f"not {name}: {why}" for name, why in self.refused.items())
        return f"engine {self.engine.name}: {self.why}" + (f" ({reasons})" if reasons else "")


@contextmanager
def expected_calls(count: int | None) -> Iterator[set[str]]:
    """Tell the planner how often layers will be called inside, so that compiling can pay at once.

    The choice depends on this number and the input's shape alone, so a run that is repeated or
    resumed chooses as it did before. Without it a layer changes to compiled code when its calls so
    far would have gained more than compiling takes.

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
    tokens = _expected.set(count), _chosen.set(chosen)
    try:
        yield chosen
    finally:
        _expected.reset(tokens[0])
        _chosen.reset(tokens[1])


@functools.cache
def engine(name: str) -> Engine:
    """The one instance of a registered engine."""
    instance: Engine = registry.get("engine", name)()
    return instance


def check_engine_name(name: Any) -> str:
    """The name, if it is ``auto`` or that of a registered engine."""
    known = ["auto", *registry.available("engine")]
    if name not in known:
        raise UnknownNameError(f"unknown engine {name!r}: {did_you_mean(str(name), known)}")
    return str(name)


def choose(name: str, cell: Cell, x_BTD: Tensor, noise: Any, *, masked: bool = False) -> Plan:
    """The engine for one run of a layer; ``masked`` tells whether some of its steps are.

    An engine that cannot work on this machine at all is replaced by the loop, with one warning.
    While ``torch.export`` traces a layer, the engine is ``export`` whatever was asked for.

    Raises:
        EngineError: an engine was asked for by name and refuses; the message says why.
    """
    if torch.compiler.is_exporting():
        name = "export"
    if name == "auto":
        plan = _automatic(cell, x_BTD, noise, masked=masked)
    else:
        plan = _named(name, cell, x_BTD, noise)
    chosen = _chosen.get()
    if chosen is not None and torch.is_grad_enabled():
        chosen.add(plan.engine.name)
    return plan


def _named(name: str, cell: Cell, x_BTD: Tensor, noise: Any) -> Plan:
    asked = engine(name)
    missing = asked.unavailable()
    if missing is not None:
        _warn_once(name, missing)
        return Plan(engine("loop"), engine("loop").strength, {name: missing})
    reason = asked.refusal_of_gradients(cell, x_BTD) or asked.refusal(cell, x_BTD, noise)
    if reason is not None:
        raise EngineError(
            f"engine '{name}' cannot run {type(cell).__name__}: {reason}; "
            "engine='auto' picks one that can"
        )
    return Plan(asked, Engine.strength, {})


def complete(plan: Plan, cell: Cell, x_BTD: Tensor, noise: Any) -> Plan:
    """The plan with a reason against every engine that is registered and was not chosen."""
    refused = dict(plan.refused)
    for name in registry.available("engine"):
        if name != plan.engine.name and name not in refused:
            # asking the compiled engine may compile: not where the answer changes nothing
            asked = plan.why == Engine.strength
            reason = _ASKED if asked else engine(name).refusal(cell, x_BTD, noise)
            refused[name] = reason or _NOT_NEEDED.get(name, "it runs where it is asked for by name")
    return plan._replace(refused=refused)


def note_call(plan: Plan, cell: Cell) -> None:
    """Remember what a call with gradients would have gained by compiled code."""
    if plan.saving > 0 and torch.is_grad_enabled():
        _forgone[cell] = _forgone.get(cell, 0.0) + plan.saving


def one_step(
    name: str, cell: Cell, x_BD: Tensor, state: State, noise: Any = None
) -> tuple[Tensor, State]:
    """One step, ``[B, D]`` to the output and the next state, with the noise of a step or none."""
    x_BTD = x_BD.unsqueeze(1)
    if noise is not None:
        made = cell.step(at_time(cell.project(x_BTD, noise), 0), state, noise)
        return next_state(cell, made, state)
    if name in {"auto", "fused"}:
        fast = engine("fused").step(cell, x_BD, state)
        if fast is not None:
            return fast
    return next_state(cell, cell.step(at_time(cell.project(x_BTD), 0), state), state)


@functools.cache
def _warn_once(name: str, missing: str) -> None:
    warnings.warn(f"engine '{name}' is replaced by 'loop': {missing}", stacklevel=2)


def _automatic(cell: Cell, x_BTD: Tensor, noise: Any, *, masked: bool) -> Plan:
    refused: dict[str, str] = {}
    for name in AUTO:
        candidate = engine(name)
        reason = candidate.refusal(cell, x_BTD, noise)
        if reason is None:
            plan = Plan(candidate, candidate.strength, refused)
            if name == "scan":
                return plan
            return _or_compiled(plan, cell, x_BTD, noise, masked=masked)
        refused[name] = reason
    raise EngineError(f"no engine runs {type(cell).__name__}: {refused}")


def _or_compiled(plan: Plan, cell: Cell, x_BTD: Tensor, noise: Any, *, masked: bool) -> Plan:
    """Compiled code where it pays to make it and can be made, else the plan as it is."""
    gain = saving(plan.engine.name, cell, x_BTD, masked=masked)
    calls = _expected.get()
    if calls is None:
        total = _forgone.get(cell, 0.0)
        words = f"its calls so far would have gained {total:.1f} s"
        plan = plan._replace(saving=gain)
    else:
        total = max(gain * calls, 0.0)
        words = f"it saves about {total:.1f} s in this run"
    compiled = engine("compiled")
    reason = None if pays(total) else f"{words}, and compiling takes seconds"
    reason = reason or compiled.unavailable() or compiled.refusal(cell, x_BTD, noise)
    if reason is not None:
        return plan._replace(refused={**plan.refused, "compiled": reason})
    slower = "compiled code is expected to be faster"
    return Plan(compiled, words, {**plan.refused, plan.engine.name: slower})
