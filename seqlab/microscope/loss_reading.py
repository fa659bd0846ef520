"""What the loss of a batch takes from the encoder, as gradients by what the encoder hands over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.cells.base import map_state
from seqlab.microscope.gradients import Reading
from seqlab.microscope.recording import leaves
from seqlab.model import SequenceModel
from seqlab.types import Batch, Encoded


class LossReading(NamedTuple):
    """What a loss takes: ``encoder`` from there, its ``value``, and its gradients ``beside`` that.

    ``value`` is None of a batch without target.
    """

    encoder: Reading
    value: float | None
    beside: Sequence[Tensor]


def read_loss(
    model: SequenceModel,
    encoded: Encoded,
    batch: Batch,
    beside: Callable[[], Sequence[Tensor]] = list,
) -> LossReading:
    """The reading of the loss; of a batch without target, of the output.

    Without a loss each step's output is read in one random direction, the same for equal batches.

    Args:
        model: the model.
        encoded: of its encoder.
        batch: the batch.
        beside: further tensors that the loss was computed from, asked for once that is done.
    """
    if batch.target is None and not batch.targets:
        generator = torch.Generator().manual_seed(0)
        direction = torch.randn(encoded.output.shape, generator=generator, dtype=torch.float64)
        direction = direction / direction.norm(dim=-1, keepdim=True)
        direction = direction.to(encoded.output) * encoded.mask.unsqueeze(-1)
        return LossReading(Reading(encoded.output, direction, []), None, [])
    apart = _apart(encoded)
    loss = model.head.loss(apart, batch)
    given = [apart.output, apart.final, *leaves(apart.state)]
    more = list(beside())
    if not loss.requires_grad:
        nothing = Reading(encoded.output, torch.zeros_like(encoded.output), [])
        return LossReading(nothing, float(loss), [torch.zeros_like(tensor) for tensor in more])
    grads = torch.autograd.grad(
        loss, [*given, *more], retain_graph=bool(more), allow_unused=True, materialize_grads=True
    )
    ends = zip([encoded.final, *leaves(encoded.state)], grads[1 : len(given)], strict=True)
    kept = [(tensor, grad) for tensor, grad in ends if tensor.requires_grad]
    reading = Reading(encoded.output, grads[0], kept)
    return LossReading(reading, float(loss.detach()), grads[len(given) :])


def _apart(encoded: Encoded) -> Encoded:
    """The same values as the beginning of a graph of their own."""

    def begin(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        return tensor.detach().requires_grad_()

    return encoded._replace(
        output=begin(encoded.output),
        final=begin(encoded.final),
        state=map_state(begin, encoded.state),
    )
