"""``seqlab explain experiment=NAME``: which engine will run each layer of a run, and why."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from seqlab.layers.base import Layer


def run(spec: dict[str, Any], run_dir: Path) -> None:
    """Print a table: layer, cell, engine, why, and why not the others.

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
    from seqlab.engines.calls import expected_calls
    from seqlab.training.start_vectors import known_with_vectors, with_vector_sizes
    from seqlab.training.trainer import run_length

    source = construct("source", spec["source"], where="source")
    data = DataModule(source, spec["data"], seed=spec["seed"], known=known_with_vectors(spec, None))
    data.prepare()
    batch = next(iter(data.loader("train", epoch=0)))
    total = run_length(spec, data.steps_per_epoch).steps
    model = build_model(with_vector_sizes(spec), data.info).train()
    rows, steps = batch.size, int(batch.lengths.max())
    padded = bool((batch.lengths < steps).any())
    sys.stdout.write(
        f"batches of {rows} rows, up to {steps} steps in the first; "
        f"{'unknown' if total is None else total} training steps\n"
    )
    with expected_calls(total or 0):
        sys.stdout.write(_table(model, rows, steps, padded=padded))


def _table(model: torch.nn.Module, rows: int, steps: int, *, padded: bool) -> str:
    """A row a layer: its place, cell, engine and why; below it the reasons against the others."""
    from seqlab.layers.step_layer import StepLayer, runs_over_time

    def example(layer: Layer) -> torch.Tensor:
        weight = next(layer.parameters(), torch.zeros(()))
        return torch.zeros(rows, steps, layer.input_size, dtype=weight.dtype)

    together = _together(model, example, padded=padded)
    runs = runs_over_time(model)
    names: dict[Layer, str] = {layer: name for name, layer in runs.items()}
    rows_ = [("layer", "cell", "engine", "why, and why not the others")]
    for name, layer in runs.items():
        plan = layer.explain(example(layer), masked=padded)
        others = [names[other] for other in together.get(layer, ()) if other is not layer]
        joined = f"; in one run with {', '.join(others)}" if others else ""
        ran = layer if isinstance(layer, StepLayer) else layer.cell
        cell = f"{type(ran).__name__}({ran.extra_repr()})"
        rows_.append((name, cell, plan.engine.name, plan.why + joined))
        rows_ += [("", "", f"not {other}", why) for other, why in plan.refused.items()]
    widths = [max(len(row[column]) for row in rows_) for column in range(3)]
    lines = ["  ".join([*map(str.ljust, row[:3], widths), row[3]]) for row in rows_]
    return "\n".join(lines) + "\n"


def _together(
    model: torch.nn.Module, example: Callable[[Layer], torch.Tensor], *, padded: bool
) -> dict[Layer, list[Layer]]:
    """For each layer that runs together with others all layers of that run, itself included."""
    from seqlab.layers.base import Layer
    from seqlab.layers.joined import plan_together
    from seqlab.layers.recurrent import Recurrent

    found: dict[Layer, list[Layer]] = {}
    by_cell = {part.cell: part for part in model.modules() if isinstance(part, Recurrent)}
    # outer layers come first, and take their inner layers' runs over
    for outer in model.modules():
        for levels in outer.runs() if isinstance(outer, Layer) else ():
            members = [member for level in levels for member in level.members]
            layers: list[Layer] = [by_cell[member.cell] for member in members]
            x = example(layers[0])
            mask = x.new_ones(x.shape[:2], dtype=torch.bool) if padded else None
            if plan_together(levels, x, mask, at_rest=True):
                for layer in layers:
                    found.setdefault(layer, layers)
    return found
