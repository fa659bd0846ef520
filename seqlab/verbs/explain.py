"""``seqlab explain experiment=NAME``: which engine will run each layer of a run, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch


def run(spec: dict[str, Any], run_dir: Path) -> None:
    """Print a table: layer, cell, engine, and why not the others.

    The data is loaded, because the choice depends on the input's shape and the run's length;
    nothing is trained and nothing is written.

    Args:
        spec: the resolved spec of a training run.
        run_dir: not used.

    Raises:
        SeqlabError: bad input, in one line.
    """
    del run_dir
    from seqlab.build import build_model
    from seqlab.construct import construct
    from seqlab.data.module import DataModule
    from seqlab.engines.plan import expected_calls
    from seqlab.training.trainer import run_length

    source = construct("source", spec["source"], where="source")
    data = DataModule(source, spec["data"], seed=spec["seed"])
    data.prepare()
    batch = next(iter(data.loader("train", epoch=0)))
    total, _ = run_length(spec, data.steps_per_epoch)
    model = build_model(spec, data.info).train()
    rows, steps = batch.size, int(batch.lengths.max())
    padded = bool((batch.lengths < steps).any())
    sys.stdout.write(
        f"batches of {rows} rows, up to {steps} steps in the first; "
        f"{'unknown' if total is None else total} training steps\n"
    )
    with expected_calls(total):
        sys.stdout.write(_table(model, rows, steps, padded=padded))


def _table(model: torch.nn.Module, rows: int, steps: int, *, padded: bool) -> str:
    """One block a layer: its place, cell and engine, then the reasons against the others."""
    from seqlab.layers.recurrent import Recurrent

    lines = []
    for name, layer in model.named_modules():
        if not isinstance(layer, Recurrent):
            continue
        weight = next(layer.parameters(), torch.zeros(()))
        x = torch.zeros(rows, steps, layer.input_size, dtype=weight.dtype)
        plan = layer.explain(x, masked=padded)
        cell = f"{type(layer.cell).__name__}({layer.cell.extra_repr()})"
        lines.append(f"{name}: {cell} runs with {plan.engine.name}")
        lines += [f"    not {other}: {why}" for other, why in plan.refused.items()]
    return "\n".join(lines) + "\n"
