"""Timing in turns, and the pages made of it."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Call = Callable[[], object]
#: Calls of a contestant in a round go on until this many seconds are full.
ENOUGH = 0.05


def paired(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call in each round; contestants take turns.

    A short call is repeated within its turn, so that one interruption does not decide a round.
    """
    # with one thread the processor's time is the work done, whatever else the machine does
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    repeats = {}
    for name, call in calls.items():
        call()
        start = clock()
        call()
        repeats[name] = max(1, min(20, int(ENOUGH / max(clock() - start, 1e-6))))
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls.items())
    for _ in range(rounds):
        # nobody always runs after the same other, whose memory it would inherit
        order = [*order[1:], order[0]] if random.random() < 0.5 else order[::-1]  # noqa: S311  # no secret
        for name, call in order:
            start = clock()
            for _ in range(repeats[name]):
                call()
            times[name].append(1e3 * (clock() - start) / repeats[name])
    return times


def rows(times: dict[str, list[float]], base: str) -> dict[str, dict[str, float]]:
    """Medians, and the median of each round's ratio to the base."""
    return {
        name: {
            "ms": round(statistics.median(values), 3),
            "ratio": round(
                statistics.median(v / b for v, b in zip(values, times[base], strict=True)), 3
            ),
        }
        for name, values in times.items()
    }


def step(module: nn.Module, x_BTD: Tensor, **arguments: Any) -> Call:
    """Forward and backward, with a gradient like a loss gives: dense, not one number repeated."""
    grads: list[Tensor] = []

    def call() -> None:
        output = module(x_BTD, **arguments)
        output = output if isinstance(output, Tensor) else output[0]
        if not grads:
            grads.append(torch.randn_like(output))
        output.backward(grads[0])
        for parameter in module.parameters():
            parameter.grad = None
        x_BTD.grad = None

    return call


def cell(value: Any) -> str:
    """One value of a table."""
    if isinstance(value, dict):
        return f"{value['ms']:.{1 if value['ms'] >= 1 else 2}f} ({value['ratio']:.2f})"
    return str(value)


def table(title: str, tables: dict[str, dict[str, Any]]) -> list[str]:
    """A Markdown table with a row for each contest; contestants with the same names share one."""
    lines: list[str] = []
    names: list[str] = []
    for contest, values in tables.items():
        if list(values) != names:
            names = list(values)
            lines += ["", "| " + " | ".join([title, *names]) + " |",
                      "|" + " --- |" * (len(names) + 1)]  # fmt: skip
        lines.append("| " + " | ".join([contest, *(cell(v) for v in values.values())]) + " |")
    return [*lines, ""]
