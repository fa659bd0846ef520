"""Times seqlab's engines beside other recurrent layers, in pairs, in one process.

    scripts/bench [--sizes 01234] [--rounds 15] [--output docs/benchmarks] [--only SECTION ...]

Contestants of a table take turns, round after round, so that what else the machine does falls on
all alike; medians are printed, and ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import seqlab
import torch
from torch import nn

from bench_contestants import (
    SIZES,
    HandWritten,
    Packed,
    deep,
    keras_layer,
    ours,
    theirs,
    torchrecurrent_layer,
)
from bench_inference import stepping, whole
from bench_timing import paired, rows, step, table

Tables = Iterator[tuple[str, dict[str, Any]]]


def few(rounds: int, work: float) -> int:
    """Fewer rounds for long contests."""
    return max(5, rounds // 3) if work > 10**6 else rounds


def contest(layers: dict[str, nn.Module], x: torch.Tensor, rounds: int, **given: Any) -> Any:
    """Forward and backward of each layer; ratios are to the first."""
    times = paired({name: step(layer, x, **given) for name, layer in layers.items()}, rounds)
    return rows(times, next(iter(layers)))


def cells(sizes: list[int], rounds: int) -> Tables:
    """Every cell at every size (B, T, D, H), beside torch's own module."""
    for kind in ("lstm", "gru", "rnn"):
        for index in sizes:
            batch, steps, features, hidden = size = SIZES[index]
            x = torch.randn(batch, steps, features, requires_grad=True)
            layers = {
                f"nn.{kind.upper()}": theirs(kind, features, hidden),
                "compiled": ours(kind, features, hidden, "compiled"),
                "fused": ours(kind, features, hidden, "fused"),
            }
            if kind == "gru":
                layers["minimal gated unit, compiled"] = ours("mgu", features, hidden, "compiled")
            yield f"{kind} {size}", contest(layers, x, few(rounds, batch * steps * hidden))


def others(sizes: list[int], rounds: int) -> Tables:
    """Other ways to run a cell of one's own, beside the compiled engine, at the first two sizes."""
    for index in sizes[:2]:
        batch, steps, features, hidden = size = SIZES[index]
        x = torch.randn(batch, steps, features, requires_grad=True)
        for kind in ("lstm", "gru"):
            layers = {
                "compiled": ours(kind, features, hidden, "compiled"),
                "engine loop": ours(kind, features, hidden, "loop"),
                "loop over nn's cell": HandWritten(kind, features, hidden),
                "Keras on torch": keras_layer(kind, features, hidden),
            }
            yield f"{kind} {size}", contest(layers, x, few(rounds, 1e9))
        layers = {
            "compiled": ours("mgu", features, hidden, "compiled"),
            "engine loop": ours("mgu", features, hidden, "loop"),
            "torchrecurrent": torchrecurrent_layer("mgu", features, hidden),
        }
        yield f"minimal gated unit {size}", contest(layers, x, few(rounds, 1e9))


def masked(sizes: list[int], rounds: int) -> Tables:
    """Padded batches, lengths uniform in T/2..T, beside torch's packed sequences."""
    for kind in ("lstm", "gru"):
        for index in sizes:
            batch, steps, features, hidden = size = SIZES[index]
            x = torch.randn(batch, steps, features, requires_grad=True)
            lengths = torch.randint(steps // 2, steps + 1, (batch,))
            lengths[0] = steps
            layers: dict[str, nn.Module] = {
                "torch, packed": Packed(theirs(kind, features, hidden)),
                "fused": ours(kind, features, hidden, "fused"),
                "compiled": ours(kind, features, hidden, "compiled"),
            }
            yield (
                f"{kind} {size}",
                contest(layers, x, few(rounds, batch * steps * hidden), lengths=lengths),
            )


def joined(sizes: list[int], rounds: int) -> Tables:
    """Two bidirectional layers, beside torch's module with ``num_layers=2, bidirectional=True``."""
    for kind in ("lstm", "gru"):
        for index in sizes[:2]:
            batch, steps, features, hidden = size = SIZES[index]
            x = torch.randn(batch, steps, features, requires_grad=True)
            lengths = torch.randint(steps // 2, steps + 1, (batch,))
            lengths[0] = steps
            torchs = theirs(kind, features, hidden, num_layers=2, bidirectional=True)
            layers = {
                "torch": torchs,
                "fused": deep(kind, features, hidden, "fused"),
                "compiled": deep(kind, features, hidden, "compiled"),
            }
            yield f"{kind} {size}", contest(layers, x, few(rounds, 1e9))
            layers["torch"] = Packed(torchs)
            yield f"{kind} {size}, padded", contest(layers, x, few(rounds, 1e9), lengths=lengths)


def options(_: list[int], rounds: int) -> Tables:
    """What no vendor kernel has, compiled beside the loop, at the first size."""
    batch, steps, features, hidden = SIZES[0]
    x = torch.randn(batch, steps, features, requires_grad=True)
    for name, cell, chosen in (
        ("recurrent dropout", "lstm", {"recurrent_dropout": 0.2}),
        ("a mask for each gate", "lstm", {"recurrent_dropout": 0.2, "untied_dropout": True}),
        ("layer norm", "lstm", {"layer_norm": True}),
        ("zoneout", "lstm", {"zoneout": 0.1}),
        ("projection to 64", "lstm", {"proj_size": 64, "activation": "softsign"}),
        ("reset before", "gru", {"reset_after": False}),
    ):
        layers: dict[str, nn.Module] = {
            engine: ours(cell, features, hidden, engine, **chosen)
            for engine in ("loop", "compiled")
        }
        yield name, contest(layers, x, rounds)


def scan(_: list[int], rounds: int) -> Tables:
    """The minimal GRU by scan as T grows, D=H; beside its loop, nn.GRU, and its matrix alone."""
    for batch, width, longest in ((1, 128, 16_384), (8, 128, 16_384), (32, 64, 4_096)):
        steps = 256
        while steps <= longest:
            x = torch.randn(batch, steps, width, requires_grad=True)
            layers: dict[str, nn.Module] = {
                "scan": ours("min_gru", width, width, "scan"),
                "loop": ours("min_gru", width, width, "loop"),
                "nn.GRU": theirs("gru", width, width),
                "nn.Linear(D, 2H)": nn.Linear(width, 2 * width),
            }
            yield (
                f"B={batch}, H={width}, T={steps}",
                contest(layers, x, 5 if steps > 1000 else rounds),
            )
            steps *= 4


def growth(_: list[int], rounds: int) -> Tables:
    """LSTM and GRU, D=H=128, as T and B grow."""
    for kind in ("lstm", "gru"):
        for batch, steps in ((8, 256), (8, 1024), (8, 4096), (8, 16_384),
                             (1, 256), (16, 256), (64, 256), (256, 256)):  # fmt: skip
            x = torch.randn(batch, steps, 128, requires_grad=True)
            layers: dict[str, nn.Module] = {
                f"nn.{kind.upper()}": theirs(kind, 128, 128),
                "compiled": ours(kind, 128, 128, "compiled"),
            }
            yield (
                f"{kind} B={batch}, T={steps}",
                contest(layers, x, 5 if batch * steps > 30_000 else rounds),
            )


def streaming(_: list[int], rounds: int) -> Tables:
    """A thousand steps at B=1, D=H=128, one at a time, without gradients."""
    x = torch.randn(1, 128)
    for kind, torchs in (("lstm", nn.LSTMCell), ("gru", nn.GRUCell), ("rnn", nn.RNNCell)):
        cell, layer = torchs(128, 128), ours(kind, 128, 128, "auto").eval()

        @torch.no_grad()
        def reference(cell: nn.Module = cell) -> None:
            state = None
            for _ in range(1000):
                state = cell(x, state)

        @torch.no_grad()
        def mine(layer: seqlab.Layer = layer) -> None:
            running = seqlab.stream(layer)
            for _ in range(1000):
                running.step(x)

        yield kind, rows(paired({"nn's cell": reference, "stream": mine}, rounds), "nn's cell")


def inference(_: list[int], rounds: int) -> Tables:
    """Without gradients, D=H=128, beside what people deploy; the runtimes where installed."""
    for kind in ("lstm", "gru"):
        for batch, steps in ((1, 50), (1, 200), (32, 50), (32, 200)):
            calls = whole(kind, batch, steps, 128)
            yield f"{kind} B={batch}, T={steps}", rows(paired(calls, rounds), next(iter(calls)))
        for width, batch in ((128, 1), (512, 1), (128, 32), (512, 32)):
            calls = stepping(kind, width, 100, batch)
            title = f"{kind}, B={batch}, H={width}, a hundred steps one by one"
            yield title, rows(paired(calls, rounds), next(iter(calls)))


_FIRST = """
import time, torch, seqlab
layer = seqlab.{cell}(16, 32, engine="{engine}")
x = torch.zeros(2, 4, 16)
start = time.perf_counter()
layer(x)[0].sum().backward()
print(time.perf_counter() - start)
"""
_PEAK = """
import re, torch, seqlab
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
layer = {layer}
x = torch.randn(64, 400, 128, requires_grad=True)
layer(x[:2, :2])[0].sum().backward()
before = peak()
layer(x)[0].sum().backward()
print(peak() - before)
"""


def _child(program: str, **environment: str) -> float:
    done = subprocess.run(  # noqa: S603  # this script's own text
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    return float(done.stdout)


def first_call(_: list[int], __: int) -> Tables:
    """Seconds of the first forward and backward call, in new processes."""
    with tempfile.TemporaryDirectory() as folder:
        for cell in ("LSTM", "GRU"):
            program = _FIRST.format(cell=cell, engine="compiled")
            seconds = [_child(program, SEQLAB_CACHE=folder) for _ in range(2)]
            loop = _child(_FIRST.format(cell=cell, engine="loop"))
            yield cell, {"cold": round(seconds[0], 2), "warm": round(seconds[1], 2),
                           "loop": round(loop, 2)}  # fmt: skip


def memory(_: list[int], __: int) -> Tables:
    """Growth of the peak, forward and backward at (64, 400, 128, 256), in MiB."""
    for kind in ("LSTM", "GRU"):
        layers = {
            "torch": f"torch.nn.{kind}(128, 256, batch_first=True)",
            "compiled": f"seqlab.{kind}(128, 256, engine='compiled')",
            "fused": f"seqlab.{kind}(128, 256, engine='fused')",
        }
        yield kind, {n: round(_child(_PEAK.format(layer=c)) / 1024) for n, c in layers.items()}


SECTIONS = {part.__name__: part for part in (
    cells, others, masked, joined, options, scan, growth, streaming, inference,
    first_call, memory,
)}  # fmt: skip


def markdown(results: dict[str, Any], notes: str) -> str:
    """All tables as text."""
    machine = results["machine"]
    lines = [
        "# Benchmarks\n\nMade by `scripts/bench`: forward and backward, median milliseconds (of",
        "processor time where there is one thread), and in parentheses the median over the rounds",
        "of the ratio to the first column's time in the same round.\n",
        f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}; load",
        f"averages of the machine at the last start: {machine['load']}.\n",
        notes,
    ]
    for section, part in SECTIONS.items():
        if section in results:
            title = section.replace("_", " ")
            lines += [f"## {title.capitalize()}", "", str(part.__doc__).strip()]
            lines += table(title, results[section])
    return "\n".join(lines)


def main() -> None:
    """Run the sections asked for, and write both files after each contest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="01234")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    path = given.output.with_suffix(".json")
    notes = Path(__file__).with_name("bench_notes.md").read_text(encoding="utf-8")
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    results["machine"] = {
        "processor": platform.machine(), "threads": given.threads, "torch": torch.__version__,
        "load": " ".join(f"{v:.1f}" for v in os.getloadavg()),
    }  # fmt: skip
    for name in given.only:
        results.pop(name, None)
        for title, contestants in SECTIONS[name]([int(i) for i in given.sizes], given.rounds):
            results.setdefault(name, {})[title] = contestants
            path.write_text(json.dumps(results, indent=1) + "\n")
            given.output.with_suffix(".md").write_text(markdown(results, notes))
            print(name, title, json.dumps(contestants), flush=True)


if __name__ == "__main__":
    main()
