"""Merges, poolings, attentions and searches with one bug each. Do not use them."""

# ruff: noqa: ARG002  # the signatures are the contract's; many a bug is an argument that is ignored

from __future__ import annotations

import torch
from seqlab.heads.attention import DotAttention
from seqlab.heads.pooling import LastPooling, MeanPooling, Pooling
from seqlab.heads.search import Answers, GreedySearch
from seqlab.wrappers.merges import Concat, Merge, Sum
from torch import nn


class WideMerge(Sum):
    """A sum that states the width of a concatenation."""

    @property
    def output_size(self):
        return self.forward_size + self.backward_size


class LambdaMerge(Sum):
    """It keeps a function without a name."""

    def __init__(self, forward_size, backward_size):
        super().__init__(forward_size, backward_size)
        self.join = lambda forward, backward: forward + backward

    def forward(self, forward, backward):
        return self.join(forward, backward)


class BiasedMerge(Merge):
    """A learned sum with a bias, which says that it keeps zeros."""

    def __init__(self, forward_size, backward_size):
        super().__init__(forward_size, backward_size)
        self.bias = nn.Parameter(torch.full((forward_size,), 0.5))

    def forward(self, forward, backward):
        return forward + backward + self.bias


class SwappedMerge(Concat):
    """It puts the backward half first."""

    def forward(self, forward, backward):
        return torch.cat([backward, forward], -1)


class ForwardOnly(Sum):
    """It drops the backward direction."""

    def forward(self, forward, backward):
        return forward + 0.0 * backward


class SoftmaxOverTime(Merge):
    """Its weights are a softmax over the time axis."""

    def forward(self, forward, backward):
        if forward.dim() < 3:
            return forward + backward
        return (forward + backward) * torch.softmax(forward.sum(-1, keepdim=True), -2)


class LastColumn(Pooling):
    """It takes the output at T - 1, real or padded."""

    def pool(self, output_BTE, encoded):
        return output_BTE[:, -1]


class LastInTime(LastPooling):
    """It takes both halves at the last step in time; the backward one has seen one input there."""

    def pool(self, output_BTE, encoded):
        return super().pool(output_BTE, encoded._replace(directions=(output_BTE.shape[2],)))


class MeanOverAll(MeanPooling):
    """It divides by T in place of the number of real steps."""

    def pool(self, output_BTE, encoded):
        return output_BTE.mean(1)


class AttendsToPadding(DotAttention):
    """Its softmax runs over padded steps, too."""

    def forward(self, query_BUQ, memory):
        return super().forward(query_BUQ, memory._replace(mask=torch.ones_like(memory.mask)))


class OverLimit(GreedySearch):
    """It gives each row one token more than its limit."""

    def find(self, step, state, limit_B, *, bos, eos):
        return super().find(step, state, limit_B + 1, bos=bos, eos=eos)


class NoEndScore(GreedySearch):
    """Its score is that of the answer times two."""

    def find(self, step, state, limit_B, *, bos, eos):
        found = super().find(step, state, limit_B, bos=bos, eos=eos)
        return Answers(found.tokens, found.lengths, 2 * found.score)
