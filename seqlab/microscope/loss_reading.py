"""What the loss of a batch takes from the encoder, as gradients by what the encoder hands over."""

from __future__ import annotations

import torch
from torch import Tensor

from seqlab.cells.base import map_state
from seqlab.microscope.gradients import Reading
from seqlab.microscope.recording import leaves
from seqlab.model import SequenceModel
from seqlab.types import Batch, Encoded


def read_loss(model: SequenceModel, encoded: Encoded, batch: Batch) -> tuple[Reading, float | None]:
    """The reading of the loss, and its value; of a batch without target, of the output.

    Without a loss each step's output is read in one random direction, the same for equal batches.
    """
    if batch.target is None and not batch.targets:
        generator = torch.Generator().manual_seed(0)
        direction = torch.randn(encoded.output.shape, generator=generator, dtype=torch.float64)
        direction = direction / direction.norm(dim=-1, keepdim=True)
        direction = direction.to(encoded.output) * encoded.mask.unsqueeze(-1)
        return Reading(encoded.output, direction, []), None
    apart = _apart(encoded)
    loss = model.head.loss(apart, batch)
    given = [apart.output, apart.final, *leaves(apart.state)]
    if not loss.requires_grad:
        return Reading(encoded.output, torch.zeros_like(encoded.output), []), float(loss)
    grads = torch.autograd.grad(loss, given, allow_unused=True, materialize_grads=True)
    ends = zip([encoded.final, *leaves(encoded.state)], grads[1:], strict=True)
    kept = [(tensor, grad) for tensor, grad in ends if tensor.requires_grad]
    return Reading(encoded.output, grads[0], kept), float(loss.detach())


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
