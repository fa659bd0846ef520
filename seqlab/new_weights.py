"""Weights as modules take them, to stop a model that grows beyond all bounds while it is built."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

#: Told of a module, the name of its new weight, and the weight; it may raise.
See = Callable[[nn.Module, str, nn.Parameter], None]


@contextlib.contextmanager
def new_weights(see: See) -> Iterator[None]:
    """Tell of every weight that a module of this thread takes meanwhile; lazy ones are left out.

    >>> names = []
    >>> with new_weights(lambda module, name, weight: names.append(name)):
    ...     made = nn.Linear(3, 4)
    >>> names
    ['weight', 'bias']
    """
    here = threading.get_ident()

    def hook(module: nn.Module, name: str, weight: nn.Parameter | None) -> None:
        lazy = weight is None or isinstance(weight, nn.UninitializedParameter)
        if weight is not None and not lazy and threading.get_ident() == here:
            see(module, name, weight)

    handle = register_module_parameter_registration_hook(hook)
    try:
        yield
    finally:
        handle.remove()
