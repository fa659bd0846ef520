"""The encoder-decoders of the tests, and a batch for them."""

from __future__ import annotations

import torch
from heads_helpers import make_inputs, make_model
from seqlab.types import Batch, TargetInfo

# what the ids of the feature "text" are in the target; 1 is <unk>
COPIES = (1, 1, 3, 4, 1, 6, 0, 1, 3, 6, 4)
TARGET = TargetInfo("tokens", 7, bos=5, eos=2, feature="text", copies=COPIES)
CELL = {"name": "lstm", "hidden_size": 6}
OPTIONS = [
    {},
    {"attention": "none", "decoder": {"cell": {"name": "rnn", "hidden_size": 6}}},
    {
        "attention": "additive",
        "decoder": {"cell": {"name": "gru", "hidden_size": 6}, "num_layers": 2},
        "tied_embedding": True,
    },
    {"attention": {"name": "dot"}, "decoder": {"cell": {"name": "gru", "hidden_size": 10}}},
    {"input_feeding": True, "bridge": False},
    {"input_feeding": True, "attention": "additive", "tied_embedding": True},
    {"attention": {"name": "multi_head", "heads": 2}, "coverage": 0.0, "copy": True},
    {"attention": "additive", "coverage": 0.0, "input_feeding": True, "copy": True},
]


def spec(**options):
    return {
        "name": "encoder_decoder",
        "decoder": {"cell": CELL},
        "embedding_size": 3,
        "max_length": 6,
        **options,
    }


def make_batch(*, poison=False, lengths=(4, 2, 0), **more):
    inputs, sizes = make_inputs(list(lengths), poison=poison)
    target = torch.tensor([[3, 4, 0, 6, 3], [6, 3, 1, 1, 1], [1, 1, 1, 1, 1]])
    target_lengths = torch.tensor([5, 2, 0])
    if poison:
        target = target.masked_fill(torch.arange(5) >= target_lengths.unsqueeze(1), -(10**9))
    return Batch(inputs, sizes, target, target_lengths, **more)


def build(asymmetric, layer=None, **options):
    return asymmetric(make_model(spec(**options), TARGET, layer)).double().eval()
