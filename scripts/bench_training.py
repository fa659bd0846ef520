"""Training speed: optimiser steps per second of a run against a bare PyTorch loop.

Both train the same model on the same batches with the same optimiser, in turns, in one process;
the ratio is that of the medians. A run does all it always does (clipping, randomness per step,
logs, resume checkpoints); the bare loop is what one would write by hand: zero_grad, loss,
backward, clip, step.

    python scripts/bench_training.py [--repeats 7] [--threads 2] [--json FILE] [--case NAME ...]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from seqlab.build import build_model
from seqlab.devices import global_settings
from seqlab.training.folder import RunFolder, open_folder
from seqlab.training.lightning_advice import quiet
from seqlab.training.optimizers import build_optimizer
from seqlab.training.randomness import reseed
from seqlab.training.run import Run

EPOCHS = 3
SERIES = {
    "source": {"name": "mnist1d"},
    "data": {
        "features": {"series": {"column": "series", "kind": "numeric"}},
        "target": {"column": "label", "kind": "label"},
        "limit_train": 3200,
    },
    "head": {"name": "classification"},
}
COMMANDS = {
    "source": {"name": "scan", "split": "simple"},
    "data": {
        "features": {
            "text": {"column": "commands", "kind": "text", "tokenizer": {"name": "words"}}
        },
        "target": {"column": "actions", "kind": "text", "tokenizer": {"name": "words"}},
        "limit_train": 3200,
    },
    "head": {
        "name": "encoder_decoder",
        "decoder": {"cell": {"name": "lstm", "hidden_size": 64}},
    },
}


def encoder(cell: str, size: int, *wrappers: dict[str, Any]) -> dict[str, Any]:
    """An encoder spec."""
    return {"cell": {"name": cell, "hidden_size": size}, "wrappers": list(wrappers)}


CASES: dict[str, dict[str, Any]] = {
    "rnn 16, batch 32": {**SERIES, "encoder": encoder("rnn", 16), "batch": 32},
    "gru 32, batch 32": {**SERIES, "encoder": encoder("gru", 32), "batch": 32},
    "lstm 64, batch 64": {**SERIES, "encoder": encoder("lstm", 64), "batch": 64},
    "bidirectional gru 64, batch 64": {
        **SERIES,
        "encoder": encoder("gru", 64, {"name": "bidirectional"}),
        "batch": 64,
    },
    "encoder-decoder lstm 64, batch 32": {
        **COMMANDS,
        "encoder": encoder("lstm", 64),
        "batch": 32,
    },
}


def run_spec(case: dict[str, Any], threads: int) -> dict[str, Any]:
    """The spec of a run of a few epochs, without validation."""
    return {
        "seed": 0,
        "source": case["source"],
        "data": {**case["data"], "batch_size": case["batch"]},
        "encoder": case["encoder"],
        "head": case["head"],
        "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.01},
        "scheduler": {"name": "none"},
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": EPOCHS,
            "deterministic": True,
            "gradient_clip_val": 1.0,
            "gradient_clip_algorithm": "norm",
            "num_threads": threads,
            "limit_val_batches": 0,
            "log_every_n_steps": 50,
        },
    }


def time_run(spec: dict[str, Any]) -> float:
    """Steps per second of a run, from the first step to the last, checkpoints included."""
    with (
        tempfile.TemporaryDirectory() as folder,
        quiet(),
        contextlib.redirect_stdout(io.StringIO()),
        open_folder(Path(folder), spec) as opened,
    ):
        run = Run(spec, opened)
        run.fit()
        return run.recorder.last_step / run.recorder.final_seconds


def time_bare(spec: dict[str, Any], data: Any, *, loaded: bool) -> float:
    """Steps per second of a loop written by hand; ``loaded``: batches made beforehand."""
    reseed(0)
    model = build_model(spec, data.info).train()
    optimizer = build_optimizer(spec["optimizer"], model, fused=True)
    epochs: list[Any] = [data.loader("train", epoch=epoch) for epoch in range(EPOCHS)]
    if loaded:
        epochs = [list(batches) for batches in epochs]
    steps = 0
    begin = time.perf_counter()
    for batches in epochs:
        for batch in batches:
            optimizer.zero_grad()
            model.loss(batch).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            steps += 1
    return steps / (time.perf_counter() - begin)


def measure(case: dict[str, Any], repeats: int, threads: int) -> dict[str, float]:
    """Medians of both, in turns, after one round that does not count."""
    spec = run_spec(case, threads)
    with (
        quiet(),
        contextlib.redirect_stdout(io.StringIO()),
        tempfile.TemporaryDirectory() as folder,
    ):
        data = Run(spec, RunFolder(Path(folder))).data
    rates: dict[str, list[float]] = {"run": [], "bare": [], "bare, batches in a list": []}
    with global_settings(threads):
        for turn in range(repeats + 1):
            found = {
                "run": time_run(spec),
                "bare": time_bare(spec, data, loaded=False),
                "bare, batches in a list": time_bare(spec, data, loaded=True),
            }
            if turn:
                for name, rate in found.items():
                    rates[name].append(rate)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    medians["ratio"] = medians["run"] / medians["bare"]
    medians["ratio to list"] = medians["run"] / medians["bare, batches in a list"]
    return medians


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--case", nargs="*", choices=list(CASES))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = {}
    print("| case | run steps/s | bare steps/s | ratio | ratio to list |\n|---|---|---|---|---|")
    for name in options.case or CASES:
        found = measure(CASES[name], options.repeats, options.threads)
        results[name] = found
        print(
            f"| {name} | {found['run']:.0f} | {found['bare']:.0f} | {found['ratio']:.2f} "
            f"| {found['ratio to list']:.2f} |",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
