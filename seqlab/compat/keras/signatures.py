"""Keras's signatures of its recurrent layers and cells: the arguments, their order and defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

C = TypeVar("C", bound=type)

_DEFAULTS: Mapping[str, Any] = {
    "units": inspect.Parameter.empty,
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "use_bias": True,
    "kernel_initializer": "glorot_uniform",
    "recurrent_initializer": "orthogonal",
    "bias_initializer": "zeros",
    "unit_forget_bias": True,
    "reset_after": True,
    "dropout": 0.0,
    "recurrent_dropout": 0.0,
    "return_sequences": False,
    "return_state": False,
    "go_backwards": False,
    "stateful": False,
    "unroll": False,
    "use_cudnn": "auto",
    "implementation": 2,
    "time_major": False,
}  # the others: None

_GATES = "activation recurrent_activation"
_WEIGHTS = "use_bias kernel_initializer recurrent_initializer bias_initializer"
_PENALTIES = "kernel_regularizer recurrent_regularizer bias_regularizer"
_LIMITS = "kernel_constraint recurrent_constraint bias_constraint dropout recurrent_dropout"
_FLAGS = "return_sequences return_state go_backwards stateful unroll"
_ACTIVITY = f"{_PENALTIES} activity_regularizer {_LIMITS}"

#: The positional arguments of Keras 3, in its order.
_POSITIONAL: Mapping[str, str] = {
    "SimpleRNNCell": f"units activation {_WEIGHTS} {_PENALTIES} {_LIMITS} seed",
    "LSTMCell": f"units {_GATES} {_WEIGHTS} unit_forget_bias {_PENALTIES} {_LIMITS} seed",
    "GRUCell": f"units {_GATES} {_WEIGHTS} {_PENALTIES} {_LIMITS} reset_after seed",
    "SimpleRNN": f"units activation {_WEIGHTS} {_ACTIVITY} {_FLAGS} seed",
    "LSTM": f"units {_GATES} {_WEIGHTS} unit_forget_bias {_ACTIVITY} seed {_FLAGS} use_cudnn",
    "GRU": f"units {_GATES} {_WEIGHTS} {_ACTIVITY} seed {_FLAGS} reset_after use_cudnn",
}
#: Keras 2's, which Keras 3 takes by keyword or not at all.
_KEYWORDS = "implementation time_major"


def names_of(kind: str) -> list[str]:
    """The positional arguments of a layer or cell, in order.

    >>> names_of("GRUCell")[-2:]
    ['reset_after', 'seed']
    """
    return _POSITIONAL[kind].split()


def signature_of(kind: str) -> inspect.Signature:
    """The signature of one of Keras's layers or cells, with ``self``; the rest is ``kwargs``."""
    extra = "" if kind.endswith("Cell") else _KEYWORDS
    parts = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for names, form in (
        (names_of(kind), inspect.Parameter.POSITIONAL_OR_KEYWORD),
        (extra.split(), inspect.Parameter.KEYWORD_ONLY),
    ):
        parts += [inspect.Parameter(n, form, default=_DEFAULTS.get(n)) for n in names]
    return inspect.Signature([*parts, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])


def signed(kind: str) -> Callable[[C], C]:
    """Give a class Keras's constructor; its method ``start`` gets all arguments by name."""
    signature = signature_of(kind)

    def decorate(cls: C) -> C:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # it is one
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            keywords = bound.arguments.pop("kwargs")
            del bound.arguments["self"]
            self.start(dict(bound.arguments), keywords)

        __init__.__signature__ = signature  # type: ignore[attr-defined]
        __init__.__qualname__ = f"{cls.__qualname__}.__init__"
        setattr(cls, "__init__", __init__)  # noqa: B010  # mypy guards the attribute
        return cls

    return decorate
