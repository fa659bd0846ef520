"""Times by a GPU's own clock, and the memory of a call."""

from __future__ import annotations

import contextlib
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from seqlab.engines.triton.graphs import CALLS_BEFORE
from torch import Tensor, nn

Call = Callable[[], object]
#: Milliseconds that the calls of a turn fill, and the most calls of one.
TURN_MS, MOST_CALLS = 8.0, 20
#: Calls after which all that is captured is captured.
WARM_UP = CALLS_BEFORE + 2


class Clock:
    """Milliseconds of work on a device: by CUDA events, elsewhere by the processor's clock."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def ms(self, call: Call, repeats: int) -> float:
        """One turn; the queue is empty before, so that launches count where they are the limit."""
        if self.device.type != "cuda":
            begin = time.perf_counter()
            for _ in range(repeats):
                call()
            return 1e3 * (time.perf_counter() - begin) / repeats
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begun.record()
        for _ in range(repeats):
            call()
        ended.record()
        ended.synchronize()
        return begun.elapsed_time(ended) / repeats

    def mib(self, call: Call) -> float | None:
        """Growth of the peak of the memory in one call, in MiB; None where nobody counts."""
        if self.device.type != "cuda":
            return None
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return round((torch.cuda.max_memory_allocated() - before) / 2**20, 1)


def in_turns(calls: dict[str, Call], clock: Clock, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call in each round, in changing order."""
    repeats = {}
    for name, call in calls.items():
        clock.ms(call, WARM_UP)
        repeats[name] = max(1, min(MOST_CALLS, int(TURN_MS / max(clock.ms(call, 1), 1e-3))))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name in random.sample(list(calls), len(calls)):
            times[name].append(clock.ms(calls[name], repeats[name]))
    return times


def summary(times: list[float], base: list[float], mib: float | None) -> dict[str, Any]:
    """Medians of a contestant and of its ratios to the base's time in the same round."""
    ratios = [mine / other for mine, other in zip(times, base, strict=True)]
    return {
        "ms": round(statistics.median(times), 4),
        "ratio": round(statistics.median(ratios), 3),
        "mib": mib,
    }


def training_call(module: nn.Module, x_BTD: Tensor, dtype: torch.dtype | None) -> Call:
    """Forward and backward, with a dense gradient; ``dtype``: of autocast."""
    grads: list[Tensor] = []
    inputs = [x_BTD, *module.parameters()]

    def call() -> None:
        with _autocast(x_BTD, dtype):
            output = _first(module(x_BTD))
        if not grads:
            grads.append(torch.randn_like(output))
        output.backward(grads[0])
        for tensor in inputs:
            tensor.grad = None

    return call


def inference_call(module: nn.Module, x_BTD: Tensor, dtype: torch.dtype | None) -> Call:
    """Forward alone, without gradients."""

    def call() -> None:
        with torch.no_grad(), _autocast(x_BTD, dtype):
            module(x_BTD)

    return call


def _autocast(x: Tensor, dtype: torch.dtype | None) -> Any:
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(x.device.type, dtype=dtype)


def _first(output: Any) -> Tensor:
    tensor: Tensor = output if isinstance(output, Tensor) else output[0]
    return tensor


@contextlib.contextmanager
def tf32(*, kernels: bool, products: bool) -> Iterator[None]:
    """Whether cuDNN and matrix products of float32 may round their factors to TF32."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32, matmul.allow_tf32 = kernels, products
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before
