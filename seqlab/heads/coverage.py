"""Coverage: an attention that knows where it has looked before (Tu et al. 2016; See et al. 2017).

With the weights ``a_u`` of the steps before, one number for each source step:

    c_t = sum of a_u over u < t
    keys_t = keys + c_t w'              w is learnt, as wide as a key
    loss_t = sum over source steps of min(a_t, c_t)

Of the additive attention this is See, Liu and Manning's ``v . tanh(W q + U k + w c + b)``; every
other one that scores queries against keys takes it in the same way.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqlab.errors import OptionError
from seqlab.heads.attention import Attention, Memory


class Looked(NamedTuple):
    """Where a decoder looked, and what it saw.

    ``context [B, U, E]``, ``weights [B, U, T]``; with coverage ``overlap [B, U]``, the loss of
    each step, and ``covered [B * U, T]`` or ``[B, T]``, the sum of the weights up to now.
    """

    context: Tensor
    weights: Tensor
    overlap: Tensor | None = None
    covered: Tensor | None = None


class Coverage(nn.Module):
    """Adds what is covered to the keys of an attention.

    Args:
        attention: has keys.

    Raises:
        OptionError: it has no weights.
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        if not attention.output_size:
            raise OptionError(
                "head.coverage: attention=none looks nowhere; choose another attention, such as "
                "additive"
            )
        weight = next(attention.parameters(), torch.empty(0))
        nothing = weight.new_zeros(1, 1, attention.memory_size)
        mask = torch.ones(1, 1, dtype=torch.bool, device=weight.device)
        with torch.no_grad():
            width = attention.prepare(nothing, mask).keys.shape[2]
        self.weight = nn.Linear(1, width, bias=False)

    def begin(self, memory: Memory) -> Tensor:
        """Nothing is covered, ``[B, T]``."""
        return torch.zeros_like(memory.values[:, :, 0])

    def step(
        self, attention: Attention, query_BKQ: Tensor, memory: Memory, covered: Tensor
    ) -> Looked:
        """One look of each of K answers a row; ``covered`` is ``[B * K, T]``."""
        rows, answers = query_BKQ.shape[:2]
        if answers > 1:
            memory = memory.repeated(answers)
        keys = memory.keys + self.weight(covered.unsqueeze(2))
        query = query_BKQ.reshape(rows * answers, 1, -1)
        context, weights = attention(query, memory._replace(keys=keys))
        overlap = torch.minimum(weights, covered.unsqueeze(1)).sum(2)
        covered = covered + weights.squeeze(1).to(covered.dtype)
        return Looked(
            context.view(rows, answers, context.shape[2]),
            weights.view(rows, answers, weights.shape[2]),
            overlap.view(rows, answers),
            covered,
        )

    def run(
        self, attention: Attention, query_BUQ: Tensor, memory: Memory, covered: Tensor
    ) -> Looked:
        """The looks of U steps, one after the other."""
        looks: list[Looked] = []
        for t in range(query_BUQ.shape[1]):
            looks.append(self.step(attention, query_BUQ[:, t : t + 1], memory, covered))
            covered = covered + looks[-1].weights.squeeze(1).to(covered.dtype)
        overlap = torch.cat([look.overlap for look in looks if look.overlap is not None], dim=1)
        return Looked(
            torch.cat([look.context for look in looks], dim=1),
            torch.cat([look.weights for look in looks], dim=1),
            overlap,
            covered,
        )
