"""Small language models for tests."""

from __future__ import annotations

import torch
from seqlab.build import build_model
from seqlab.bundle import TrainedModel
from seqlab.data.processor import fit_processor

DATA = {"features": {"text": {"tokenizer": "chars"}}, "target": {"kind": "inputs"}}
PAIR, STACKS = [{"name": "bidirectional"}], [{"name": "stacked"}, {"name": "bidirectional"}]
TERMS = ("forward", "backward", "both")


def language_model(texts=("ab", "b"), *, wrappers=PAIR, seed=0, hidden=6, data=None, **head):
    """A processor fitted on texts, and a model in float64 and inference mode."""
    data = data or DATA
    processor = fit_processor(data, [{"text": text} for text in texts])
    encoder = {"cell": {"name": "gru", "hidden_size": hidden}, "wrappers": wrappers}
    spec = {
        "data": data,
        "encoder": {**encoder, "embedding": {"size": 5}},
        "head": {"name": "language_model", **head},
    }
    torch.manual_seed(seed)
    model = build_model(spec, processor.info).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return TrainedModel(model.eval(), processor, spec)


def batch_of(trained, texts):
    rows = [trained.processor.encode({"text": text}) for text in texts]
    return trained.processor.collate(rows)


def learn(trained, texts, *, steps=200, rate=0.04):
    """Train on all texts as one batch."""
    model, batch = trained.model, batch_of(trained, texts)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
