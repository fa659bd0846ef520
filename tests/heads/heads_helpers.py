"""What the tests of the heads share."""

from __future__ import annotations

import seqlab
import torch
from seqlab.construct import construct
from seqlab.model import Encoder, SequenceModel
from seqlab.types import Batch, DataInfo, Encoded, EncoderInfo, FeatureInfo

FEATURES = (FeatureInfo("text", "ids", 11), FeatureInfo("pitch", "numeric", 2))


def random_encoded(mask, directions=(3, 2), final_size=4, *, seed=1, dtype=torch.float32):
    """Encoder results with garbage at padded steps, which no head may look at."""
    generator = torch.Generator().manual_seed(seed)
    rows, steps = mask.shape
    output = torch.randn(rows, steps, sum(directions), generator=generator, dtype=torch.float64)
    final = torch.randn(rows, final_size, generator=generator, dtype=torch.float64)
    output = output.masked_fill(~mask.unsqueeze(-1), float("nan"))
    return Encoded(
        output.to(dtype), (final.to(dtype),), final.to(dtype), mask.sum(1), mask, directions
    )


def info_of(encoded: Encoded) -> EncoderInfo:
    return EncoderInfo(encoded.output.shape[2], encoded.final.shape[1], encoded.directions)


def batch_for(encoded, target, **more) -> Batch:
    return Batch({}, encoded.lengths, target, **more)


def make_model(spec, target, layer=None, *, features=FEATURES, **options) -> SequenceModel:
    """A small real model: bidirectional LSTM unless a layer factory is given."""
    layer = layer or (lambda size: seqlab.Bidirectional(seqlab.LSTM(size, 5)))
    options.setdefault("embedding", {"size": 4})
    encoder = Encoder(features, layer, **options)
    return SequenceModel(
        DataInfo(features, target), encoder, construct("head", spec, encoder.info, target)
    )


def make_inputs(lengths, *, seed=2, poison=False):
    """Both features of ``FEATURES``; poisoned padding is NaN and ids outside of the table."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor(lengths)
    rows, steps = len(lengths), int(lengths.max())
    ids = torch.randint(11, (rows, steps), generator=generator)
    pitch = torch.randn(rows, steps, 2, generator=generator)
    if poison:
        padded = torch.arange(steps) >= lengths.unsqueeze(1)
        ids = ids.masked_fill(padded, 10**9)
        pitch = pitch.masked_fill(padded.unsqueeze(-1), float("nan"))
    return {"text": ids, "pitch": pitch}, lengths


def gradients(module, loss):
    module.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in module.named_parameters()}


def fit(model, batch, *, steps=150, lr=0.02):
    """A few steps of Adam on one batch; the last loss."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        optimizer.step()
    model.eval()
    return float(loss.detach())
