"""What stands in for CUDA where there is none: a graph that repeats what it saw being launched."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from seqlab.engines.settled import undisturbed
from seqlab.engines.triton.graphs import Cuda
from seqlab.engines.triton_launch import Launcher
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Recording(TorchDispatchMode):
    """While it is entered, nothing is computed: launches and operations are kept for ``replay``.

    What operations return lies in the graph's own memory, which holds nothing between replays.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Callable[[], object]] = []
        self.memory: list[Tensor] = []

    def __enter__(self) -> Any:
        self._launch = Launcher.__call__
        steps, launch = self.steps, self._launch
        Launcher.__call__ = lambda *given: steps.append(lambda: launch(*given))  # type: ignore[method-assign,assignment]
        return super().__enter__()

    def __exit__(self, *why: object) -> None:
        Launcher.__call__ = self._launch  # type: ignore[method-assign]
        super().__exit__(*why)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        named = kwargs or {}
        if func._schema.is_mutable:
            self.steps.append(lambda: func(*args, **named))
            return named.get("out", args[0])
        result = func(*args, **named)
        if not func.is_view:
            assert isinstance(result, Tensor)
            self.memory.append(result)
            if "empty" not in str(func):
                self.steps.append(lambda: result.copy_(func(*args, **named)))
        return result

    def clear(self) -> None:
        for tensor in self.memory:
            tensor.fill_(float("nan"))

    def replay(self) -> None:
        """All again."""
        self.clear()
        for step in self.steps:
            step()
        self.clear()


class Counted(Cuda):
    """CUDA, with its graphs counted."""

    def __init__(self) -> None:
        super().__init__()
        self.captured = self.replayed = 0
        self.allowed = True

    def allows(self) -> bool:
        return self.allowed and super().allows()

    def capture(self, run: Callable[[], None], device: torch.device) -> Callable[[], None] | None:
        made = self.made(run, device)
        self.captured += 1

        def replay() -> None:
            self.replayed += 1
            made()

        return None if made is None else replay

    def made(self, run: Callable[[], None], device: torch.device) -> Any:
        return super().capture(run, device)


class Recorded(Counted):
    """The same on a CPU."""

    def allows(self) -> bool:
        return self.allowed and undisturbed()

    def stream(self, device: torch.device) -> Hashable:
        return device

    def made(self, run: Callable[[], None], device: torch.device) -> Any:
        del device
        run()
        with Recording() as graph:
            run()
        graph.clear()
        return graph.replay
