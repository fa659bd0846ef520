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
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import seqlab
import torch
from torch import Tensor, nn

SIZES = ((32, 50, 128, 128), (64, 200, 64, 64), (8, 512, 128, 256), (32, 100, 256, 256),
         (128, 100, 256, 512))  # fmt: skip
Call = Callable[[], object]
Tables = Iterator[tuple[str, dict[str, Any]]]


class HandWritten(nn.Module):
    """What people write: a Python loop over ``nn.LSTMCell``."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell, self.hidden = nn.LSTMCell(features, hidden), hidden

    def forward(self, x_BTD: Tensor) -> tuple[Tensor]:
        """All steps, outputs stacked."""
        state = (x_BTD.new_zeros(len(x_BTD), self.hidden),) * 2
        outputs = []
        for x_BD in x_BTD.unbind(1):
            state = self.cell(x_BD, state)
            outputs.append(state[0])
        return (torch.stack(outputs, 1),)


def paired(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call in each round; contestants take turns."""
    # with one thread the processor's time is the work done, whatever else the machine does
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = clock()
            call()
            times[name].append(1e3 * (clock() - start))
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


def step(module: nn.Module, x_BTD: Tensor) -> Call:
    """Forward and backward."""

    def call() -> None:
        module(x_BTD)[0].sum().backward()
        for parameter in module.parameters():
            parameter.grad = None

    return call


def ours(cell: str, features: int, hidden: int, engine: str, **options: Any) -> seqlab.Layer:
    """A layer of a registered cell."""
    return seqlab.Recurrent(seqlab.get("cell", cell)(features, hidden, **options), engine=engine)


def theirs(kind: str, features: int, hidden: int) -> nn.Module:
    """A module of torch's."""
    made: nn.Module = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind](
        features, hidden, batch_first=True
    )
    return made


def cells(sizes: list[int], rounds: int) -> Tables:
    """Every cell at every size, forward and backward, beside torch's own and others' layers."""
    import torchrecurrent

    for index in sizes:
        batch, steps, features, hidden = size = SIZES[index]
        x = torch.randn(batch, steps, features, requires_grad=True)
        few = max(3, rounds // 3) if batch * steps * hidden > 10**6 else rounds
        for kind in ("lstm", "gru", "rnn"):
            contestants = {
                f"nn.{kind.upper()}": theirs(kind, features, hidden),
                "compiled": ours(kind, features, hidden, "compiled"),
                "fused": ours(kind, features, hidden, "fused"),
            }
            if kind == "lstm" and index == 0:
                contestants["loop over nn.LSTMCell"] = HandWritten(features, hidden)
                contestants["engine loop"] = ours(kind, features, hidden, "loop")
            if kind == "gru":
                contestants["minimal gated unit, compiled"] = ours(
                    "mgu", features, hidden, "compiled"
                )
                if index == 0:
                    contestants["minimal gated unit, torchrecurrent"] = torchrecurrent.MGU(
                        features, hidden, batch_first=True
                    )
            times = paired({n: step(m, x) for n, m in contestants.items()}, few)
            yield f"{kind} {size}", rows(times, f"nn.{kind.upper()}")


def masked(sizes: list[int], rounds: int) -> Tables:
    """Padded batches: lengths uniform in T/2..T, beside torch's packed sequences."""
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    for index in sizes[:2]:
        batch, steps, features, hidden = size = SIZES[index]
        x = torch.randn(batch, steps, features, requires_grad=True)
        lengths = torch.randint(steps // 2, steps + 1, (batch,))
        lengths[0] = steps
        reference = theirs("lstm", features, hidden)

        def packed(x: Tensor = x, lengths: Tensor = lengths, layer: nn.Module = reference) -> None:
            given = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            pad_packed_sequence(layer(given)[0], batch_first=True)[0].sum().backward()

        calls: dict[str, Call] = {"nn.LSTM, packed": packed}
        for engine in ("fused", "compiled"):
            layer = ours("lstm", features, hidden, engine)
            calls[engine] = lambda layer=layer, x=x, n=lengths: (  # type: ignore[misc]
                layer(x, lengths=n)[0].sum().backward()
            )
        yield f"lstm {size}", rows(paired(calls, rounds), "nn.LSTM, packed")


def options(_: list[int], rounds: int) -> Tables:
    """What no vendor kernel has, compiled beside the loop, at the first size."""
    batch, steps, features, hidden = SIZES[0]
    x = torch.randn(batch, steps, features, requires_grad=True)
    for name, cell, chosen in (
        ("recurrent dropout", "lstm", {"recurrent_dropout": 0.2}),
        ("layer norm", "lstm", {"layer_norm": True}),
        ("zoneout", "lstm", {"zoneout": 0.1}),
        ("reset before", "gru", {"reset_after": False}),
    ):
        layers = {e: ours(cell, features, hidden, e, **chosen) for e in ("loop", "compiled")}
        yield name, rows(paired({e: step(m, x) for e, m in layers.items()}, rounds), "loop")


def scan(_: list[int], rounds: int) -> Tables:
    """The minimal GRU by scan over ever longer sequences, B=8, D=H=128."""
    for steps in (256, 1024, 4096, 16384):
        x = torch.randn(8, steps, 128, requires_grad=True)
        layer = ours("min_gru", 128, 128, "scan")
        calls = {"scan": step(layer, x)}
        if steps <= 4096:
            calls["nn.GRU"] = step(theirs("gru", 128, 128), x)
            calls["loop"] = step(ours("min_gru", 128, 128, "loop"), x)
        yield f"T={steps}", rows(paired(calls, 3 if steps > 1000 else rounds), "scan")


def growth(_: list[int], rounds: int) -> Tables:
    """LSTM, D=H=128: compiled beside nn.LSTM as T and B grow."""
    for batch, steps in ((8, 128), (8, 1024), (8, 8192), (1, 256), (16, 256), (256, 256)):
        x = torch.randn(batch, steps, 128, requires_grad=True)
        layers = {"nn.LSTM": theirs("lstm", 128, 128),
                  "compiled": ours("lstm", 128, 128, "compiled")}  # fmt: skip
        few = 3 if batch * steps > 30_000 else rounds
        yield (
            f"B={batch}, T={steps}",
            rows(paired({n: step(m, x) for n, m in layers.items()}, few), "nn.LSTM"),
        )


def streaming(_: list[int], rounds: int) -> Tables:
    """One step at B=1, H=128 without gradients, a thousand steps a round."""
    cell = nn.LSTMCell(128, 128)
    layer = ours("lstm", 128, 128, "auto").eval()
    x = torch.randn(1, 128)

    @torch.no_grad()
    def reference() -> None:
        state = (torch.zeros(1, 128), torch.zeros(1, 128))
        for _ in range(1000):
            state = cell(x, state)

    @torch.no_grad()
    def mine() -> None:
        running = seqlab.stream(layer)
        for _ in range(1000):
            running.step(x)

    yield (
        "1000 steps",
        rows(paired({"nn.LSTMCell": reference, "stream": mine}, rounds), "nn.LSTMCell"),
    )


_FIRST = """
import time, torch, seqlab
layer = seqlab.{cell}(16, 32, engine="{engine}")
x = torch.zeros(2, 4, 16)
start = time.perf_counter()
layer(x)[0].sum().backward()
print(time.perf_counter() - start)
"""
_PEAK = """
import resource, torch, seqlab
layer = {layer}
x = torch.randn(64, 400, 128, requires_grad=True)
layer(x[:2, :2])[0].sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
layer(x)[0].sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
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
    layers = {
        "nn.LSTM": "torch.nn.LSTM(128, 256, batch_first=True)",
        "compiled LSTM": "seqlab.LSTM(128, 256, engine='compiled')",
        "nn.GRU": "torch.nn.GRU(128, 256, batch_first=True)",
        "compiled GRU": "seqlab.GRU(128, 256, engine='compiled')",
    }
    yield "MiB", {n: round(_child(_PEAK.format(layer=code)) / 1024) for n, code in layers.items()}


SECTIONS = {part.__name__: part for part in (
    cells, masked, options, scan, growth, streaming, first_call, memory,
)}  # fmt: skip


NOTES = """Where the time of `compiled` goes, LSTM and GRU at (128, 100, 256, 512) on one thread:
about half is the loop over time in generated C++, whose products run at 100 to 115 GFLOP/s, near
what the core can do; the other half is torch's own matrix products (input projection and its two
gradients, the recurrent matrix's gradient), at 50 to 85 GFLOP/s. That second half is the same for
`nn.GRU`, which is why the gain there shrinks as sizes grow.

The scan is beside a loop whose gradient is linear in T: the input's slices are one operation.
"""


def markdown(results: dict[str, Any]) -> str:
    """All tables as text."""
    machine = results["machine"]
    lines = [
        "# Benchmarks\n\nMade by `scripts/bench`. Forward and backward unless said otherwise, in",
        "milliseconds (of processor time where there is one thread), medians; `x` is the median",
        "over the rounds of the ratio to the base's time in the same round.\n",
        f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}; load",
        f"averages of the machine at the last start: {machine['load']}.\n",
    ]
    lines += [NOTES]
    for section, tables in results.items():
        if section == "machine":
            continue
        lines += [f"## {SECTIONS[section].__name__.replace('_', ' ')}", "",
                  str(SECTIONS[section].__doc__), ""]  # fmt: skip
        for title, table in tables.items():
            cells_ = [
                f"{name} {v['ms']:.1f} ({v['ratio']:.2f}x)"
                if isinstance(v, dict)
                else f"{name} {v}"
                for name, v in table.items()
            ]
            lines.append(f"- {title}: " + ", ".join(cells_))
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Run the sections asked for, and write both files after each."""
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
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    results["machine"] = {
        "processor": platform.machine(), "threads": given.threads, "torch": torch.__version__,
        "load": " ".join(f"{v:.1f}" for v in os.getloadavg()),
    }  # fmt: skip
    for name in given.only:
        for title, table in SECTIONS[name]([int(i) for i in given.sizes], given.rounds):
            results.setdefault(name, {})[title] = table
            path.write_text(json.dumps(results, indent=1) + "\n")
            given.output.with_suffix(".md").write_text(markdown(results) + "\n")
            print(name, title, json.dumps(table), flush=True)


if __name__ == "__main__":
    main()
