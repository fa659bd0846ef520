"""The registered engines: one instance of each class, and what transforms they must bear."""

from __future__ import annotations

import functools
from typing import Any

import torch

from seqlab import registry
from seqlab.engines.base import Engine
from seqlab.errors import SeqlabError, UnknownNameError, did_you_mean


def engine(name: str) -> Engine:
    """The one instance of the engine that is registered now."""
    return _instance(registry.get("engine", name))


@functools.lru_cache(maxsize=256)
def _instance(kind: type[Engine]) -> Engine:
    return kind()


def usable_engines() -> tuple[dict[str, Engine], dict[str, str]]:
    """All registered engines by name, and why some cannot be made: a plugin may be broken."""
    usable: dict[str, Engine] = {}
    broken: dict[str, str] = {}
    for name in registry.available("engine"):
        made = _made(name)
        if isinstance(made, Engine):
            usable[name] = made
        else:
            broken[name] = made
    return usable, broken


def _made(name: str) -> Engine | str:
    try:
        return engine(name)
    except SeqlabError as error:
        return str(error)


def check_engine_name(name: Any) -> str:
    """The name, if it is ``auto`` or that of a registered engine."""
    known = ["auto", *registry.available("engine")]
    if name not in known:
        raise UnknownNameError(f"unknown engine {name!r}: {did_you_mean(str(name), known)}")
    return str(name)


def under_transform() -> bool:
    """Whether a transform of ``torch.func`` or forward-mode differentiation is at work."""
    if torch._C._functorch.peek_interpreter_stack() is not None:  # noqa: SLF001  # no other
        return True
    return torch.autograd.forward_ad._current_level >= 0  # noqa: SLF001  # no other
