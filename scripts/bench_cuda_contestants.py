"""What is timed on a GPU: torch's layers, loops, seqlab's engines, and peers where installed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import seqlab
import torch
import torch.nn.functional as F
from seqlab.engines.over_time import each_time
from seqlab.engines.triton.graphs import VARIABLE
from torch import Tensor, nn

from bench_contestants import ours, theirs

#: Engines in the order of the page's columns; those that are not registered are left out.
ENGINES = ("fused", "triton", "scan", "auto")
#: What a cell's times are divided by: torch's layer of its kind, or the GRU.
BASES = {"lstm": "nn.LSTM", "gru": "nn.GRU", "rnn": "nn.RNN"}
#: Cells whose kernels are launched at each step, by name: the cell, and options for H units.
STEPWISE: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "gru, layer_norm": ("gru", lambda _: {"layer_norm": True}),
    "lstm, proj_size": ("lstm", lambda hidden: {"proj_size": max(1, hidden // 2)}),
}
#: Values of the recurrent dimension up to which flashrnn's Triton kernel runs.
FLASH_WIDTH = 64

Maker = Callable[[], nn.Module]


class PlainLoop(nn.Module):
    """A loop over time of a cell's own step, as one writes it."""

    def __init__(self, cell: seqlab.Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x_BTD: Tensor) -> Tensor:
        """All outputs, stacked."""
        state: Any = self.cell.initial_state(x_BTD.shape[0], device=x_BTD.device)
        outputs = []
        for now in each_time(self.cell.project(x_BTD)):
            output, state = self.cell.step(now, state)
            outputs.append(output)
        return torch.stack(outputs, 1)


class Graphed(nn.Module):
    """A layer whose loops are CUDA graphs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x_BTD: Tensor) -> Any:
        """As the layer."""
        before = os.environ.get(VARIABLE, "")
        os.environ[VARIABLE] = "1"
        try:
            return self.layer(x_BTD)
        finally:
            os.environ[VARIABLE] = before


class FlashRNN(nn.Module):
    """An LSTM by flashrnn's Triton kernel, its input projection by torch."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.project = nn.Linear(features, 4 * hidden, bias=False)
        self.matrix = nn.Parameter(torch.randn(4, 1, hidden, hidden) * hidden**-0.5)
        self.bias = nn.Parameter(torch.zeros(4, 1, hidden))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The hidden states."""
        from flashrnn import flashrnn

        half = torch.is_autocast_enabled(x_BTD.device.type)
        gates = self.project(x_BTD).unflatten(-1, (4, 1, self.hidden))
        states, _ = flashrnn(
            gates, self.matrix, self.bias, function="lstm", backend="triton_fused",
            dtype="bfloat16" if half else "float32",
        )  # fmt: skip
        hidden: Tensor = states[0].squeeze(2)
        return hidden


class HGRN(nn.Module):
    """The recurrence of HGRN (Qin et al., 2023) by fla's kernels, gates from one product."""

    def __init__(self, features: int, hidden: int, *, chunked: bool) -> None:
        super().__init__()
        self.gates, self.chunked = nn.Linear(features, 2 * hidden), chunked

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The states."""
        from fla.ops.hgrn import chunk_hgrn, fused_recurrent_hgrn

        forget, value = self.gates(x_BTD).chunk(2, -1)
        kept = F.logsigmoid(forget)
        run = chunk_hgrn if self.chunked else fused_recurrent_hgrn
        output: Tensor = run(value * torch.sigmoid(-forget), kept)[0]
        return output


def base_of(cell: str) -> str:
    """The contestant that a cell's times are divided by."""
    return BASES.get(STEPWISE[cell][0] if cell in STEPWISE else cell, "nn.GRU")


def stepwise(cell: str, features: int, hidden: int) -> dict[str, Maker]:
    """Layers of a cell of ``STEPWISE``: with CUDA graphs of its loops and without."""
    name, options_of = STEPWISE[cell]
    options, base = options_of(hidden), base_of(cell)
    same = {key: value for key, value in options.items() if key == "proj_size"}
    found: dict[str, Maker] = {
        base: lambda: theirs(name, features, hidden, **same),
        "loop": lambda: ours(name, features, hidden, "loop", **options),
    }
    if "triton" in seqlab.available("engine"):
        found["triton"] = lambda: ours(name, features, hidden, "triton", **options)
        found["triton, graphs"] = lambda: Graphed(found["triton"]())
    return found


def contestants(cell: str, features: int, hidden: int, *, slow: bool) -> dict[str, Maker]:
    """Layers of a cell by name, each made when its turn comes; ``slow``: the loops as well."""
    if cell in STEPWISE:
        return stepwise(cell, features, hidden)
    base = base_of(cell)
    found: dict[str, Maker] = {
        base: lambda: theirs(base.removeprefix("nn.").lower(), features, hidden)
    }
    for engine in ENGINES:
        if engine == "auto" or engine in seqlab.available("engine"):
            found[engine] = lambda engine=engine: ours(cell, features, hidden, engine)
    if slow:
        found["plain loop"] = lambda: PlainLoop(seqlab.get("cell", cell)(features, hidden))
    return {**found, **peers(cell, features, hidden)}


def peers(cell: str, features: int, hidden: int) -> dict[str, Maker]:
    """Those that are installed."""
    found: dict[str, Maker] = {}
    if cell == "lstm" and hidden <= FLASH_WIDTH and importlib.util.find_spec("flashrnn"):
        found["flashrnn"] = lambda: FlashRNN(features, hidden)
    if cell == "min_gru" and importlib.util.find_spec("fla"):
        found["fla hgrn"] = lambda: HGRN(features, hidden, chunked=False)
        found["fla hgrn, chunks"] = lambda: HGRN(features, hidden, chunked=True)
    return found
