"""Poolings: from a sequence of encoder outputs to one vector a row.

A step counts if the mask says it is real, also in masks with holes. Rows without a real step give
zeros. Where the output holds a forward and a backward half (``Encoded.directions``), the last real
step of the backward half is the first in time, since that direction runs from the end to t = 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.construct import construct
from seqlab.errors import OptionError
from seqlab.heads.dropout import dropout as make_dropout
from seqlab.heads.masking import clean_output, masked_softmax
from seqlab.schema import Count, Fraction, checked
from seqlab.types import Encoded, EncoderInfo


class Pooling(nn.Module, ABC):
    """Turns what the encoder hands over into ``[B, output_size]``.

    A subclass writes ``pool``, and sets ``output_size`` where that is not E; ``forward`` may be
    overridden too by one that does not look at the outputs.

    Args:
        encoder: the sizes of the encoder's output.
    """

    output_size: int

    def __init__(self, encoder: EncoderInfo) -> None:
        super().__init__()
        self.output_size = encoder.output_size

    def forward(self, encoded: Encoded) -> Tensor:
        """``[B, output_size]``; zeros for rows without a real step."""
        if encoded.mask.shape[1] == 0:
            return encoded.output.new_zeros(encoded.output.shape[0], self.output_size)
        return self.pool(clean_output(encoded), encoded)

    @abstractmethod
    def pool(self, output_BTE: Tensor, encoded: Encoded) -> Tensor:
        """The pooled outputs; T is at least 1 and padded steps are zero."""


def _first_real(mask_BT: Tensor) -> Tensor:
    return mask_BT.to(torch.uint8).argmax(1)


def _last_real(mask_BT: Tensor) -> Tensor:
    return mask_BT.shape[1] - 1 - mask_BT.flip(1).to(torch.uint8).argmax(1)


def _pick(output_BTE: Tensor, step_B: Tensor) -> Tensor:
    index = step_B.view(-1, 1, 1).expand(-1, 1, output_BTE.shape[2])
    return output_BTE.gather(1, index).squeeze(1)


def _pick_by_direction(
    output_BTE: Tensor, forward_B: Tensor, backward_B: Tensor, directions: tuple[int, ...]
) -> Tensor:
    """The forward parts at one step of each row, the backward parts at another."""
    parts = torch.split(output_BTE, list(directions), dim=2)
    steps = (forward_B, backward_B)
    return torch.cat([_pick(part, steps[turn % 2]) for turn, part in enumerate(parts)], dim=1)


class LastPooling(Pooling):
    """The output of the last real step in the direction of running.

    The forward half is taken at the last real step, the backward half at the first one. Where
    both directions were merged into one output (sum, mul, ave), it is the last real step.
    """

    def pool(self, output_BTE: Tensor, encoded: Encoded) -> Tensor:
        """See ``Pooling.pool``."""
        first, last = _first_real(encoded.mask), _last_real(encoded.mask)
        return _pick_by_direction(output_BTE, last, first, encoded.directions)


class FirstPooling(Pooling):
    """The output of the first real step in the direction of running: ``LastPooling`` mirrored.

    The forward half is taken at the first real step, the backward half at the last one; each has
    then seen one step only.
    """

    def pool(self, output_BTE: Tensor, encoded: Encoded) -> Tensor:
        """See ``Pooling.pool``."""
        first, last = _first_real(encoded.mask), _last_real(encoded.mask)
        return _pick_by_direction(output_BTE, first, last, encoded.directions)


class MeanPooling(Pooling):
    """The mean over the real steps."""

    def pool(self, output_BTE: Tensor, encoded: Encoded) -> Tensor:
        """See ``Pooling.pool``."""
        count = encoded.mask.sum(1, keepdim=True).clamp(min=1)
        return output_BTE.sum(1) / count


class MaxPooling(Pooling):
    """The largest value of each feature over the real steps."""

    def pool(self, output_BTE: Tensor, encoded: Encoded) -> Tensor:
        """See ``Pooling.pool``."""
        low = torch.finfo(output_BTE.dtype).min
        largest = output_BTE.masked_fill(~encoded.mask.unsqueeze(-1), low).amax(1)
        return largest.masked_fill(~encoded.mask.any(1, keepdim=True), 0.0)


class FinalStatePooling(Pooling):
    """The encoder's final hidden state, both directions joined."""

    def __init__(self, encoder: EncoderInfo) -> None:
        super().__init__(encoder)
        self.output_size = encoder.final_size

    def forward(self, encoded: Encoded) -> Tensor:
        """``[B, final_size]``; zeros for rows without a real step."""
        return encoded.final.masked_fill(~encoded.mask.any(1, keepdim=True), 0.0)

    def pool(self, output_BTE: Tensor, encoded: Encoded) -> Tensor:
        """The final state; the outputs are not looked at."""
        del output_BTE
        return self.forward(encoded)


class AttentionPooling(Pooling):
    """A weighted mean with learned weights (Yang et al. 2016).

    ``u_t = tanh(W h_t + b)``, weights softmax over real steps of ``v . u_t``.

    Args:
        encoder: the sizes of the encoder's output.
        size: the width of ``u``; E when None.
        dropout: on the weights, in training.
    """

    @checked
    def __init__(
        self, encoder: EncoderInfo, *, size: Count | None = None, dropout: Fraction = 0.0
    ) -> None:
        super().__init__(encoder)
        size = encoder.output_size if size is None else size
        self.hidden = nn.Linear(encoder.output_size, size)
        self.score = nn.Linear(size, 1, bias=False)
        self.dropout = make_dropout("dropout", dropout)

    def weights(self, output_BTE: Tensor, encoded: Encoded) -> Tensor:
        """``[B, T]``: how much each step counts."""
        scores = self.score(torch.tanh(self.hidden(output_BTE))).squeeze(-1)
        return masked_softmax(scores, encoded.mask)

    def pool(self, output_BTE: Tensor, encoded: Encoded) -> Tensor:
        """See ``Pooling.pool``."""
        weights = self.dropout(self.weights(output_BTE, encoded)).to(output_BTE.dtype)
        return torch.bmm(weights.unsqueeze(1), output_BTE).squeeze(1)


class Poolings(nn.ModuleList):
    """One registered pooling, or several whose vectors are joined.

    Args:
        encoder: the sizes of the encoder's output.
        spec: a pooling's name or ``{name: ..., option: ...}``, or a list of such.
        where: the config key, for messages.

    Raises:
        OptionError: the list is empty, or a pooling refuses an option.
    """

    def __init__(self, encoder: EncoderInfo, spec: Any, *, where: str = "head.pooling") -> None:
        specs = list(spec) if isinstance(spec, list | tuple) else [spec]
        if not specs:
            raise OptionError("pooling: the list is empty; name at least one pooling")
        parts: list[Pooling] = [construct("pooling", one, encoder, where=where) for one in specs]
        super().__init__(parts)
        self.output_size = sum(part.output_size for part in parts)

    def forward(self, encoded: Encoded) -> Tensor:
        """``[B, output_size]``."""
        pooled = [part(encoded) for part in self]
        return pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=1)
