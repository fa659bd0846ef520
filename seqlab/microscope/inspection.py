"""``inspect.json``: what a trained model does with some rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from seqlab.bundle import TrainedModel
from seqlab.bundle.trained import readable
from seqlab.data.encoded import EncodedRows
from seqlab.data.features.vocabulary import TextFeature, TokensFeature
from seqlab.microscope.attention import watched_attention
from seqlab.microscope.layers import Look
from seqlab.microscope.occlusion import occlusion
from seqlab.types import Batch

#: The most steps of all rows together whose graph is kept.
_STEPS = 40_000
#: Units of a state that are written for one row.
_UNITS = 32


def inspect(trained: TrainedModel, rows: EncodedRows, *, shown: int = 3) -> dict[str, Any]:
    """All measurements.

    Args:
        trained: the model.
        rows: encoded rows, with targets or without.
        shown: rows that are looked at one by one.

    Returns:
        JSON-able: ``of`` (``loss`` or ``output``), ``rows`` (how many), ``loss``, ``layers``,
        ``decoder`` (see ``seqlab.microscope.layers``), and ``examples``, one for each shown row.
    """
    count = max(1, min(len(rows), _STEPS // max(1, int(rows.lengths.max()))))
    batch = rows.batch(np.arange(count))
    look = Look(trained.model, batch)
    return {
        "of": "output" if look.loss is None else "loss",
        "rows": count,
        "steps": int(batch.lengths.sum()),
        "loss": look.loss,
        "layers": look.layers,
        "decoder": look.decoder,
        "examples": [_example(trained, rows, i, look) for i in range(min(shown, count))],
    }


def _example(trained: TrainedModel, rows: EncodedRows, index: int, look: Look) -> dict[str, Any]:
    """One row: its steps, the answer, attention, contributions, gates and states."""
    batch = rows.batch(np.array([index]))
    length = int(batch.lengths[0])
    model = trained.model
    with torch.inference_mode(), watched_attention(model) as looks:
        encoded = model.encode(batch.to(trained.device))
        (answer,) = model.head.predict(encoded, **_plain_search(model.head))
    attention = {
        name: [[float(f"{w:.5g}") for w in row[:length]] for row in weights[0].tolist()]
        for name, weights in looks.weights().items()
        if weights.shape[0] == 1
    }
    traces = {}
    for entry, trace in zip(look.layers, look.traces, strict=True):
        states = trace.outputs()[index, :length, :_UNITS]
        gates = {name: v[index, :length].mean(1) for name, v in trace.gates().items()}
        traces[entry["name"]] = {
            "gates": {name: _plain(values) for name, values in gates.items()},
            "outputs": [_plain(step) for step in states],
            "path": _plane(trace.states()[index, :length]),
        }
    return {
        "steps": step_names(trained, batch),
        "answer": readable(answer, trained.processor),
        "contributions": _contributions(look, rows, index),
        "attention": attention,
        "layers": traces,
    }


def _contributions(look: Look, rows: EncodedRows, index: int) -> list[float]:
    batch = rows.batch(np.array([index]))
    batch = batch.apply(lambda t: t.double() if t.is_floating_point() else t)
    found = occlusion(look.model, batch) if int(batch.lengths[0]) else []
    return [float(f"{value:.5g}") for value in found]


def _plain_search(head: Any) -> dict[str, Any]:
    """Options of ``predict`` by which each step of the answer is found once, in turn."""
    return {"search": "greedy"} if hasattr(head, "make_search") else {}


def _plain(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.4g}") for value in values.tolist()]


def _plane(states_TS: torch.Tensor) -> list[list[float]]:
    """The two directions in which the states of a row differ most (principal components)."""
    if len(states_TS) < 3:
        return []
    centred = states_TS - states_TS.mean(0)
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    plane = u[:, :2] * s[:2]
    # an axis may point either way: its largest number is positive
    largest = plane.gather(0, plane.abs().argmax(0, keepdim=True))
    return [_plain(point) for point in plane * largest.sign()]


def step_names(trained: TrainedModel, batch: Batch) -> list[str]:
    """What stands at each step of the first row: its token, or its number."""
    length = int(batch.lengths[0])
    for feature in trained.processor.features:
        if isinstance(feature, TextFeature | TokensFeature):
            ids = batch.inputs[feature.name][0, :length].tolist()
            return [str(feature.tokenizer.entry(index)) for index in ids]
    return [str(step + 1) for step in range(length)]
