"""The model: an encoder that reads the features, and a head with the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric

from seqlab.encoder import Encoder
from seqlab.encoder_features import DEFAULT_EMBEDDING, piece_readers
from seqlab.errors import EngineError, OptionError
from seqlab.heads.base import Head
from seqlab.heads.losses import LossTerm
from seqlab.heads.metrics.losses import LossMean
from seqlab.layers.base import Layer
from seqlab.layers.carry import Carry, reads
from seqlab.model_stream import ModelStream
from seqlab.types import (
    Batch,
    DataInfo,
    Encoded,
    Reading,
)

__all__ = ["DEFAULT_EMBEDDING", "Encoder", "SequenceModel", "piece_readers"]


class SequenceModel(nn.Module):
    """Encoder and head together: all that training, bundles and prediction need to know.

    Args:
        info: what the data looks like.
        encoder: reads the features of ``info``.
        head: predicts its target.
    """

    def __init__(self, info: DataInfo, encoder: Encoder, head: Head) -> None:
        super().__init__()
        self.info = info
        self.encoder = encoder
        self.head = head
        head.share(encoder.tables())

    def encode(self, batch: Batch, carry: Carry | None = None) -> Encoded:
        """What the encoder makes of a batch.

        Args:
            batch: rows, or chunks of them.
            carry: keeps the state of chunks from one to the next; None: all begin anew.
        """
        encoded: Encoded
        if carry is None or batch.starts is None:
            encoded = self.encoder(batch)
        else:
            encoded = self.encoder(batch, carry.before(batch))
            carry.keep(encoded.state)
        return encoded

    def forward(self, batch: Batch) -> Tensor:
        """The training loss, so that wrappers such as DDP can call the model as a module."""
        return self.loss(batch)

    def loss(self, batch: Batch, carry: Carry | None = None) -> Tensor:
        """The head's loss and all regularization penalties: a scalar."""
        total = self.head.loss(self.encode(batch, carry), batch)
        for layer in self._layers():
            total = total + layer.regularization_loss()
        return total

    def predict(self, batch: Batch, **options: Any) -> list[dict[str, Any]]:
        """One JSON-able answer a row; ``options`` are the head's."""
        return self.head.predict(self.encode(batch), **options)

    def metrics(self) -> dict[str, Metric]:
        """Fresh metrics of the head, by name."""
        return self.head.metrics()

    def measure(
        self,
        metrics: Mapping[str, Metric],
        batch: Batch,
        *,
        final: bool = False,
        carry: Carry | None = None,
    ) -> Tensor:
        """Update metrics with one batch; the head's loss without penalties."""
        return self.head.measure(metrics, self.encode(batch, carry), batch, final=final)

    def loss_mean(self) -> LossMean:
        """A fresh metric of the loss, for ``measure_terms``."""
        return LossMean(self.head.loss_factors)

    def measure_terms(
        self,
        metrics: Mapping[str, Metric],
        batch: Batch,
        *,
        final: bool = False,
        carry: Carry | None = None,
    ) -> list[LossTerm]:
        """As ``measure``, for ``loss_mean``: the terms of the loss, and what each is a mean of."""
        return self.head.measure_terms(metrics, self.encode(batch, carry), batch, final=final)

    def stream(self) -> ModelStream:
        """The model one step at a time, in constant memory.

        Raises:
            EngineError: the encoder needs the future, or the head a row's end; the message says
                why.

        >>> import torch
        >>> from seqlab.build import build_model
        >>> from seqlab.types import FeatureInfo, TargetInfo
        >>> info = DataInfo((FeatureInfo("word", "ids", 9),), TargetInfo("tags", 3))
        >>> spec = {"encoder": {"cell": {"name": "gru", "hidden_size": 4}}}
        >>> model = build_model({**spec, "head": {"name": "tagging"}}, info).eval()
        >>> running, ids = model.stream(), torch.tensor([[3, 1, 4]])
        >>> steps = torch.stack([running.step({"word": ids[:, t]}) for t in range(3)], 1)
        >>> whole = model.head.scores(model.encode(Batch({"word": ids}, torch.tensor([3]))))
        >>> torch.allclose(steps, whole, atol=1e-6)
        True
        """
        self.check_steps()
        return ModelStream(self.encoder.step_reader(), self.encoder.layer, self.head)

    def check_steps(self) -> None:
        """See that a step can be read before its row has ended.

        Raises:
            EngineError: a feature is scaled by what the whole row is.
        """
        if (scaled := self.encoder.scaled_by_row) is not None:
            raise EngineError(f"this model cannot be streamed: {scaled}")

    def new_carry(self) -> Carry:
        """What hands the encoder's state from chunk to chunk."""
        return Carry(self.encoder.layer)

    def chunk_reading(self) -> Reading:
        """How rows in chunks are to be read.

        Raises:
            OptionError: the loss needs whole rows; the message says why.
        """
        refusal = self.head.refuses_chunks() or self.encoder.scaled_by_row
        single = [feature.name for feature in self.encoder.features if feature.role == "row"]
        if refusal is None and single:
            refusal = f"feature '{single[0]}' has one entry a row, and no steps to cut"
        if refusal is not None:
            raise OptionError(f"data.chunks: {refusal}; leave it out, or choose another head")
        way = reads(self.encoder.layer)
        return Reading(way, way != "both" and self.head.refuses_steps() is None)

    def apply_constraints(self) -> None:
        """Put every constrained weight where its constraint allows; after each optimiser step."""
        for layer in self._layers():
            layer.apply_constraints()

    def _layers(self) -> list[Layer]:
        readers = (reader.layer for reader in self.encoder.readers)
        inner = [layer for layer in readers if isinstance(layer, Layer)]
        return [self.encoder.layer, *inner, *self.head.layers()]
