"""One look at the recurrent layers of a model with one batch: numbers by layer and direction."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqlab.errors import SeqlabError
from seqlab.microscope.decoders import (
    HeadLayer,
    outputs_of,
    read_lengths,
    readings_of,
    watched_layers,
)
from seqlab.microscope.gradients import Reading, gradient_curves
from seqlab.microscope.jacobians import WIDEST, Curve, growth
from seqlab.microscope.loss_reading import read_loss
from seqlab.microscope.memory import mean_curve, memory_of
from seqlab.microscope.recording import CellTrace, copy_of, flat, recorded
from seqlab.microscope.units import gate_statistics, unit_statistics
from seqlab.model import SequenceModel
from seqlab.types import Batch

#: Rows whose Jacobians are multiplied.
_ROWS = 2


class Look:
    """What one batch shows: ``layers`` of the encoder, ``decoder`` cells, and the loss.

    Attributes:
        traces: the recorded steps of the encoder's cells.
        layers: JSON-able numbers, one entry a cell of the encoder.
        decoder: the same for cells of the head; steps are those of the answer.
        loss: of the batch; None without targets.
    """

    def __init__(self, model: SequenceModel, batch: Batch, *, jacobians: bool = True) -> None:
        twin = copy_of(model).cpu()
        assert isinstance(twin, SequenceModel)  # noqa: S101 - a copy is what it was
        self.model = twin
        batch = batch.to("cpu").apply(lambda t: t.double() if t.is_floating_point() else t)
        with torch.enable_grad(), recorded(twin) as traces, watched_layers(twin, traces) as parts:
            encoded = twin.encode(batch)
            encoder = [trace for trace in traces if trace.steps]
            taken = read_loss(twin, encoded, batch, lambda: outputs_of(parts))
        self.traces = encoder
        self.mask = encoded.mask
        self.batch = batch
        self.loss = taken.value
        names = layer_names([trace.name for trace in encoder])
        self.layers = [_entry(trace, names[i], encoded.mask) for i, trace in enumerate(encoder)]
        _add_curves(self.layers, encoder, taken.encoder, batch.lengths, jacobians=jacobians)
        self.decoder = []
        for part, reading in zip(parts, readings_of(parts, taken.beside), strict=True):
            self.decoder += _decoder_entries(part, reading, jacobians=jacobians)


def _decoder_entries(
    part: HeadLayer, reading: Reading | str, *, jacobians: bool
) -> list[dict[str, Any]]:
    """The cells of a head's layer; those that did not run are left out."""
    traces = [trace for trace in part.traces if trace.steps]
    names = layer_names([trace.name.removeprefix(part.path) for trace in traces])
    entries = [
        _entry(trace, part.path + name.removeprefix("layer"), None)
        for trace, name in zip(traces, names, strict=True)
    ]
    if isinstance(reading, str):
        return [{**entry, "reason": reading} for entry in entries]
    _add_curves(entries, traces, reading, read_lengths(reading), jacobians=jacobians)
    return entries


def _add_curves(
    entries: list[dict[str, Any]],
    traces: list[CellTrace],
    reading: Reading,
    lengths: Tensor,
    *,
    jacobians: bool,
) -> None:
    """Gradient, memory and Jacobians, of the cells that ran once over all steps."""
    fitting = [i for i, t in enumerate(traces) if len(t.steps) == reading.output.shape[1]]
    if not fitting:
        return
    curves = gradient_curves([traces[i] for i in fitting], reading, lengths)
    for i, curve in zip(fitting, curves, strict=True):
        entries[i] |= {"gradient": rounded(curve), "memory": memory(curve)}
        if jacobians:
            entries[i]["jacobian"] = _jacobian(traces[i], lengths)


def _entry(trace: CellTrace, name: str, mask: Tensor | None) -> dict[str, Any]:
    """Name, sizes, gates and units of a cell."""
    output = trace.outputs()
    if mask is None or output.shape[1] != mask.shape[1]:
        mask = torch.ones(output.shape[:2], dtype=torch.bool)
    cell = trace.cell
    states = trace.states()
    norm = (states.norm(dim=2) * mask).sum(0) / mask.sum(0).clamp(min=1)
    return {
        "name": name,
        "path": trace.name,
        "cell": type(cell).__name__,
        "direction": "backward" if trace.reverse else "forward",
        "hidden_size": cell.hidden_size,
        "state_size": states.shape[2],
        "gates": {gate: gate_statistics(v, mask) for gate, v in trace.gates().items()},
        "units": unit_statistics(output, mask),
        "state_norm": norm[mask.any(0)].tolist(),
    }


def _jacobian(trace: CellTrace, lengths: Tensor) -> dict[str, Any]:
    """Products of Jacobians along the first rows, or why there are none."""
    width = flat(trace.steps[0].before).shape[1]
    if width > WIDEST:
        return {"reason": f"a state of {width} numbers is too wide for exact Jacobians ({WIDEST})"}
    rows = [row for row, length in enumerate(lengths.tolist()) if length > 0][:_ROWS]
    try:
        found = [growth(trace, row, int(lengths[row])) for row in rows]
    except (SeqlabError, RuntimeError) as error:
        return {"reason": f"the step cannot be repeated: {str(error).splitlines()[0]}"}
    curve = mean_curve(each.state for each in found)
    return {"norm": rounded(curve), **memory(curve)}


def memory(curve: Curve) -> dict[str, float | None]:
    """Half-life, rate and reach, JSON-able."""
    return memory_of(curve)._asdict()


def rounded(curve: Curve) -> list[tuple[int, float]]:
    """A curve with seven digits."""
    return [(k, float(f"{value:.7g}")) for k, value in curve]


def layer_names(paths: list[str]) -> list[str]:
    """Names for people, if they tell the layers apart; else the paths.

    >>> layer_names(["layer.layers.0.forward_layer", "layer.layers.1.backward_layer"])
    ['layer 1 forward', 'layer 2 backward']
    >>> layer_names(["encoder.layer"])
    ['layer']
    """
    found = []
    for path in paths:
        parts = path.split(".")
        numbers = [str(int(part) + 1) for part in parts if part.isdigit()]
        sides = [part.removesuffix("_layer") for part in parts if part.endswith("ward_layer")]
        found.append(" ".join(["layer", ".".join(numbers), *sides]).replace("  ", " ").strip())
    return found if len(set(found)) == len(found) else paths
