"""Heads whose loss is a sum of means, each over entries of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.heads.base import Head
from seqlab.heads.losses import LossTerm
from seqlab.types import Batch, Encoded


class SumOfTerms(Head):
    """A head that writes ``measure_terms`` and ``loss_factors`` in the place of ``measure``."""

    @property
    @abstractmethod
    def loss_factors(self) -> tuple[float, ...]:
        """See ``Head.loss_factors``."""

    @abstractmethod
    def measure_terms(
        self, metrics: Mapping[str, Metric], encoded: Encoded, batch: Batch, *, final: bool = False
    ) -> list[LossTerm]:
        """See ``Head.measure_terms``."""

    def measure(
        self, metrics: Mapping[str, Metric], encoded: Encoded, batch: Batch, *, final: bool = False
    ) -> Tensor:
        """See ``Head.measure``."""
        return self.total(self.measure_terms(metrics, encoded, batch, final=final))

    def total(self, terms: Sequence[LossTerm]) -> Tensor:
        """The loss of the terms of one batch."""
        pairs = zip(self.loss_factors, terms, strict=True)
        return torch.stack([factor * term.loss for factor, term in pairs]).sum()
