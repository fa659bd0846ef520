"""A toy decoder for the tests of searches."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from seqlab.construct import construct

SIZE, BOS, EOS = 6, 4, 1


class Memory(NamedTuple):
    hidden: torch.Tensor
    pair: tuple[torch.Tensor, tuple[()]]


class ToyModel:
    """Next-token probabilities that depend on the row and on all tokens before."""

    def __init__(self, rows, seed=0, sharpness=2.0):
        generator = torch.Generator().manual_seed(seed)
        random = {"generator": generator, "dtype": torch.float64}
        self.recurrent = torch.randn(5, 5, **random)
        self.tokens = torch.randn(SIZE, 5, **random)
        self.output = sharpness * torch.randn(5, SIZE, **random)
        self.start = torch.randn(rows, 5, **random)
        self.calls = 0

    def state(self):
        return Memory(self.start, (self.start.flip(1), ()))

    def step(self, tokens, state):
        self.calls += 1
        hidden = torch.tanh(state.hidden @ self.recurrent + self.tokens[tokens.flatten()])
        twin = torch.tanh(state.pair[0].flip(1) @ self.recurrent + self.tokens[tokens.flatten()])
        torch.testing.assert_close(hidden, twin)  # nested parts move together
        log_p = (hidden @ self.output).log_softmax(1).view(*tokens.shape, SIZE)
        return log_p, Memory(hidden, (hidden.flip(1), ()))

    def log_p(self, row, tokens):
        """The log probability of one closed answer."""
        hidden, total = self.start[row], 0.0
        for before, token in itertools.pairwise([BOS, *tokens, EOS]):
            hidden = torch.tanh(hidden @ self.recurrent + self.tokens[before])
            total += float((hidden @ self.output).log_softmax(0)[token])
        return total


def run(spec, model, limits):
    search = construct("search", spec)
    return search.find(model.step, model.state(), torch.tensor(limits), bos=BOS, eos=EOS)
