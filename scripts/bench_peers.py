"""Times seqlab beside other frameworks, each in an environment and a process of its own.

    scripts/bench peers [--environments DIR] [--rounds 9] [--only NAME ...] [--threads 2]

Peers take turns with seqlab and torch, round after round, and must give the same outputs.
An environment that is missing is made (``python -m venv``, then ``pip install``); a peer that does
not run is left out, and said so. Writes the tables of docs/benchmarks_peers.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from seqlab.files import cache_folder
from torch import Tensor, nn

from bench_contestants import theirs
from bench_inference import stepping, weighted
from bench_timing import rows, step, table

TRAINING = ((32, 50, 128, 128), (64, 200, 64, 64), (32, 100, 256, 256))
INFERENCE = ((1, 50, 128, 128), (32, 50, 128, 128), (1, 200, 128, 128))
STEPS = ((1, 1, 128, 128), (1, 1, 512, 512), (32, 1, 128, 128))
#: Steps of a call, one by one.
COUNT = 100
#: By name: the environment, what is installed there, the worker's peer.
PEERS = {
    "TensorFlow": ("tensorflow", ("tensorflow-cpu",), "tensorflow"),
    "Keras on JAX": ("jax", ("jax", "keras"), "keras-jax"),
    "lax.scan": ("jax", ("jax", "keras"), "lax-scan"),
    "LiteRT": ("litert", ("ai-edge-litert",), "litert"),
}
#: By vectors of 256 bits, which most machines have, and by the widest ones of this machine.
_BOTH = (("torch.nn", "torch"), ("compiled", "seqlab"))
VECTORS = {f"{name}, {width}": (None, (), peer) for name, peer in _BOTH
           for width in ("AVX2", "AVX-512")}  # fmt: skip
PEERS |= VECTORS
NARROW = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
          "MKL_ENABLE_INSTRUCTIONS": "AVX2"}  # fmt: skip
COMPILER = """#!/bin/sh
exec g++ "$@" -mno-avx512f -mprefer-vector-width=256
"""
_OTHERS = ("TensorFlow", "Keras on JAX", "lax.scan")
SECTIONS = {"training": (_OTHERS, TRAINING), "inference": ((*_OTHERS, "LiteRT"), INFERENCE),
            "steps": (("TensorFlow", "LiteRT"), STEPS),
            "vectors": (tuple(VECTORS), TRAINING)}  # fmt: skip
#: Seconds of a turn.
TURN = 0.05


class Worker:
    """A peer's process."""

    def __init__(self, name: str, environments: Path, threads: int) -> None:
        self.why = ""
        folder, packages, peer = PEERS[name]
        python = environments / folder / "bin" / "python" if folder else Path(sys.executable)
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)  # noqa: S603
            install = [python, "-m", "pip", "install", "-q", *packages]
            subprocess.run(install, check=True)  # noqa: S603  # this list's
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
        if name.endswith("AVX2"):
            quiet |= {**NARROW, "CXX": str(_narrow_compiler(environments))}
        script = Path(__file__).with_name("bench_peer_worker.py")
        self.process = subprocess.Popen(  # noqa: S603  # this script's own
            [python, script, peer, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={**os.environ, **quiet},
        )  # fmt: skip

    def ask(self, **asked: Any) -> Any:
        """The answer to a line."""
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: S101, PT018
        if self.process.poll() is None:
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
            for line in self.process.stdout:
                if line.startswith("answer "):
                    return json.loads(line.removeprefix("answer "))
            self.why = (self.process.communicate()[1].strip() or "it stopped").splitlines()[-1]
        raise RuntimeError(self.why)


def _narrow_compiler(folder: Path) -> Path:
    """A compiler that knows no wider vectors than those of AVX2; kept, as is what it makes."""
    path = folder.absolute() / "g++-avx2"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(COMPILER)
        path.chmod(0o755)
    return path


def products(kind: str, batch: int, steps: int, features: int, hidden: int) -> nn.Module:
    """The matrix products of training, with nothing between them."""
    gates = 4 if kind == "lstm" else 3

    class Products(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, w_ih: Tensor, w_hh: Tensor) -> Tensor:
            ctx.save_for_backward(x, w_ih, w_hh)
            ctx.gates = x.flatten(0, 1) @ w_ih.T
            left, result = x.new_zeros(batch, hidden), x.new_empty(batch, gates * hidden)
            for _ in range(steps):
                torch.mm(left, w_hh.T, out=result)
            return ctx.gates.view(batch, steps, -1)[..., :hidden]

        @staticmethod
        def backward(ctx: Any, _: Tensor) -> tuple[Tensor, ...]:
            x, w_ih, w_hh = ctx.saved_tensors
            left, result = x.new_zeros(batch, gates * hidden), x.new_empty(batch, hidden)
            for _ in range(steps):
                torch.mm(left, w_hh, out=result)
            d_gates, before = ctx.gates, x.new_zeros(batch * steps, hidden)
            d_x = (d_gates @ w_ih).view_as(x)
            return d_x, d_gates.T @ x.flatten(0, 1), d_gates.T @ before

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w_ih = nn.Parameter(torch.randn(gates * hidden, features) / 10)
            self.w_hh = nn.Parameter(torch.randn(gates * hidden, hidden) / 10)

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = Products.apply(x, self.w_ih, self.w_hh)  # type: ignore[no-untyped-call]
            return made

    return Module()


def arrays_of(module: nn.Module, kind: str, x: Tensor, d: Tensor) -> dict[str, Any]:
    """Input, the output's gradient and the weights as Keras orders them."""
    w = {name: p.detach().numpy() for name, p in module.named_parameters()}
    order = [0, 1, 2, 3] if kind == "lstm" else [1, 0, 2]

    def turned(value: Any) -> Any:
        parts = np.split(value, len(order))
        return np.concatenate([parts[i] for i in order])

    biases = [turned(w[f"bias_{part}_l0"]) for part in ("ih", "hh")]
    bias = biases[0] + biases[1] if kind == "lstm" else np.stack(biases)
    return {
        "x": x.detach().numpy(), "d": d.numpy(), "kernel": turned(w["weight_ih_l0"]).T,
        "recurrent": turned(w["weight_hh_l0"]).T, "bias": bias,
    }  # fmt: skip


def contest(
    kind: str, size: tuple[int, ...], given: argparse.Namespace, workers: dict[str, Worker],
    *, section: str,
) -> dict[str, Any]:  # fmt: skip
    """Medians of all, in turns; of vectors those of the peers alone."""
    train, alone, by_step = (
        section in ("training", "vectors"),
        section == "vectors",
        section == "steps",
    )
    batch, steps, features, hidden = size
    module = theirs(kind, features, hidden)
    x = torch.randn(batch, steps, features, requires_grad=train)
    layers: dict[str, nn.Module] = {"torch.nn": module}
    layers["compiled"] = weighted(module, "compiled").train(train)
    if by_step:
        calls: dict[str, Any] = stepping(kind, hidden, COUNT, batch, (module.eval(), x.detach()))
        calls = {name: call for name, call in calls.items() if name != "stream, auto"}
    elif train:
        layers = {"matrix products alone": products(kind, *size), **layers}
        calls = {name: step(layer, x) for name, layer in layers.items()}
    else:
        calls = {
            name: torch.inference_mode()(lambda layer=layer: layer(x)[0])
            for name, layer in layers.items()
        }
    expected = (calls["nn's cell"]() if by_step else module(x)[0]).detach().numpy()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        d = torch.randn(batch, steps, hidden)
        np.savez(place / "task.npz", **arrays_of(module, kind, x, d))
        taking = dict(workers)
        for name, worker in workers.items():
            model = str(place / "model.tflite")
            saves = name == "TensorFlow" and "LiteRT" in workers
            asked = {"kind": kind, "hidden": hidden, "train": train, "load": model,
                     "steps": COUNT if by_step else 0, "save": model if saves else ""}  # fmt: skip
            output = place / "output.npy"
            try:
                version = worker.ask(prepare=str(place / "task.npz"), output=str(output), **asked)
                np.testing.assert_allclose(np.load(output), expected, rtol=1e-3, atol=1e-4)
            except (RuntimeError, AssertionError, OSError) as error:
                print(f"left out: {name}: {' '.join(str(error).split())[:300]}", file=sys.stderr)
                del taking[name]
            else:
                given.versions[name] = version
        calls = {} if alone else calls
        return rows(turns(calls, taking, given.rounds), next(iter([*calls, *taking])))


def turns(calls: dict[str, Any], workers: dict[str, Worker], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each in each round."""

    def seconds(name: str, count: int) -> float:
        if name in workers:
            return float(workers[name].ask(calls=count))
        clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        start = clock()
        for _ in range(count):
            calls[name]()
        return clock() - start

    names = [*calls, *workers]
    counts = {}
    for name in names:
        seconds(name, 2)
        counts[name] = max(1, min(50, int(TURN / max(seconds(name, 1), 1e-6))))
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in random.sample(names, len(names)):
            seconds(name, 1)  # threads that slept are awake
            times[name].append(1e3 * seconds(name, counts[name]) / counts[name])
    return times


def main() -> None:
    """All contests asked for; the page is written after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environments", type=Path, default=cache_folder() / "peers")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks_peers"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    path = given.output.with_suffix(".json")
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    given.versions = found.setdefault("versions", {})
    found["torch"] = torch.__version__
    threads: dict[str, int] = found.setdefault("threads", {})
    for section in given.only:
        found.pop(section, None)
        threads[section] = given.threads
        names, sizes = SECTIONS[section]
        workers = {name: Worker(name, given.environments, given.threads) for name in names}
        for size in sizes:
            for kind in ("lstm", "gru"):
                results = contest(kind, size, given, workers, section=section)
                found.setdefault(section, {})[f"{kind} {size}"] = results
                path.write_text(json.dumps(found, indent=1) + "\n")
                given.output.with_suffix(".md").write_text(page(found))
                print(section, kind, size, json.dumps(results), flush=True)
        for worker in workers.values():
            worker.process.kill()


def page(found: dict[str, Any]) -> str:
    """The tables as text."""
    notes = Path(__file__).with_name("bench_peers_notes.md").read_text(encoding="utf-8")
    versions = ", ".join(dict.fromkeys(found["versions"].values()))
    lines = [
        "# Beside other frameworks\n\nMade by `scripts/bench peers`: median milliseconds, and in",
        "parentheses the median over the rounds of the ratio to the first column's time in the",
        f"same round. torch {found['torch']}, {versions}.\n", notes,
    ]  # fmt: skip
    for section in SECTIONS:
        if section in found:
            count = found["threads"][section]
            clock = "one thread, processor time" if count == 1 else f"{count} threads"
            lines += [f"## {section.capitalize()}\n\n{clock.capitalize()}.",
                      *table("(B, T, D, H)", found[section])]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    main()
