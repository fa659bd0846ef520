"""What each input step contributes: how the loss changes when the step is hidden.

One step at a time is replaced by zeros, where the layer would be given its vector (Zeiler and
Fergus, 2014, for images; Li, Monroe and Jurafsky, 2016, for text).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from seqlab.cells.base import map_state
from seqlab.model import SequenceModel
from seqlab.types import Batch, Encoded


def occlusion(model: SequenceModel, batch: Batch) -> list[float]:
    """The contribution of each step of the first row of a batch of one.

    With a target it is how much the loss rises without the step; without one, how far the scores
    move (the Euclidean norm of the difference), or the encoder's outputs for a head without scores.
    """
    steps = int(batch.lengths[0])
    with torch.no_grad():
        mask, x_BTD = model.encoder.read(batch)
        each = x_BTD.repeat(steps + 1, 1, 1)
        each[torch.arange(steps), torch.arange(steps)] = 0.0
        rows = _repeated(batch, steps + 1)
        encoded = model.encoder.run(each, mask.expand(steps + 1, -1), rows)
        if batch.target is not None or batch.targets:
            losses = [float(model.head.loss(_row(encoded, i), batch)) for i in range(steps + 1)]
            return [loss - losses[-1] for loss in losses[:-1]]
        scores = model.head.scores(encoded)
        scores = encoded.output if scores is None else scores
        moved = (scores[:-1] - scores[-1:]).flatten(1).norm(dim=1)
    found: list[float] = moved.tolist()
    return found


def _repeated(batch: Batch, count: int) -> Batch:
    """The same row many times, without its target."""
    alone = dataclasses.replace(batch.without_targets(), rows=None)
    return alone.apply(lambda tensor: tensor.repeat(count, *[1] * (tensor.dim() - 1)))


def _row(encoded: Encoded, index: int) -> Encoded:
    """One row of what the encoder made."""

    def one(tensor: Tensor) -> Tensor:
        return tensor[index : index + 1]

    return Encoded(
        one(encoded.output),
        map_state(one, encoded.state),
        one(encoded.final),
        one(encoded.lengths),
        one(encoded.mask),
        encoded.directions,
        {name: one(value) for name, value in encoded.inputs.items()},
    )
