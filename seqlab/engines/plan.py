"""Chooses the engine of a layer, and says why."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from torch import Tensor

from seqlab import registry
from seqlab.cells.base import Cell
from seqlab.engines.base import Engine
from seqlab.errors import EngineError, UnknownNameError, did_you_mean

#: Engines that `auto` may choose, fastest first; all give the same numbers.
AUTO = ("fused", "loop")


class Plan(NamedTuple):
    """The engine chosen, and why the faster ones were not."""

    engine: Engine
    refused: dict[str, str]

    def __str__(self) -> str:
        """One line: the choice and the refusals."""
        reasons = "; ".join(f"not {name}: {why}" for name, why in self.refused.items())
        return f"engine {self.engine.name}" + (f" ({reasons})" if reasons else "")


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


def choose(name: str, cell: Cell, x_BTD: Tensor, noise: Any) -> Plan:
    """The engine for one run of a layer.

    Raises:
        EngineError: an engine was asked for by name and refuses; the message says why.
    """
    if name != "auto":
        asked = engine(name)
        reason = asked.refusal(cell, x_BTD, noise)
        if reason is not None:
            raise EngineError(
                f"engine '{name}' cannot run {type(cell).__name__}: {reason}; "
                "engine='auto' picks one that can"
            )
        return Plan(asked, {})
    refused: dict[str, str] = {}
    for candidate in AUTO:
        reason = engine(candidate).refusal(cell, x_BTD, noise)
        if reason is None:
            return Plan(engine(candidate), refused)
        refused[candidate] = reason
    raise EngineError(f"no engine runs {type(cell).__name__}: {refused}")
