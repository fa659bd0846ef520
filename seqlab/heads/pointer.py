"""Copying from the source: the pointer-generator of See, Liu and Manning (2017).

    g_t = sigmoid(w . [c_t; h_t; x_t] + b)            context, decoder output, input embedding
    p(y) = g_t softmax(scores_t)(y) + (1 - g_t) * sum of a_ti over the source steps i that are y

A token of the source that the target's vocabulary has not counts as ``<unk>``: its weight is what
that mark is given by copying. An answer that has an ``<unk>`` says which source step it came from,
so that its text can take what stands there (pointing, as in Gulcehre et al. 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.errors import OptionError
from seqlab.heads.attention import Attention, Memory
from seqlab.heads.precision import at_least_float32
from seqlab.heads.search import Answers
from seqlab.repeatable import scattered_sum
from seqlab.types import Encoded, TargetInfo

#: ``<unk>`` has this id in every vocabulary.
UNK = 1


class Pointer(nn.Module):
    """The mixture of writing and copying.

    Args:
        attention: whose weights copy.
        target: says by ``copies`` which token of the target each source id is.
        width: of ``[c; h; x]``.

    Raises:
        OptionError: the attention has no weights, or the target does not say what may be copied.
    """

    copies: Tensor

    def __init__(self, attention: Attention, target: TargetInfo, width: int) -> None:
        super().__init__()
        if not attention.output_size:
            raise OptionError(
                "head.copy: attention=none looks nowhere; choose another one, such as additive"
            )
        if not target.copies:
            raise OptionError(
                "head.copy: the target does not say what may be copied; give "
                "data.target.copies=NAME, a feature of kind text or tokens"
            )
        self.feature = target.feature
        self.register_buffer("copies", torch.tensor(target.copies), persistent=False)
        self.gate = nn.Linear(width, 1)

    def source(self, encoded: Encoded) -> Tensor:
        """The target's ids of the source's tokens, ``[B, T]``; ``<unk>`` for padding, too."""
        ids: Tensor = encoded.inputs[self.feature]
        found: Tensor = self.copies[ids.masked_fill(~encoded.mask, UNK)]
        return found.masked_fill(~encoded.mask, UNK)

    def forward(
        self, scores_BUV: Tensor, seen_BUW: Tensor, weights_BUT: Tensor, memory: Memory
    ) -> Tensor:
        """Log probabilities ``[B, U, V]``; those of ``scores`` where no source step is real."""
        written = at_least_float32(scores_BUV).log_softmax(-1)
        gate = at_least_float32(self.gate(seen_BUW))
        nothing = torch.full_like(memory.mask, UNK, dtype=torch.long)
        where = (nothing if memory.ids is None else memory.ids).unsqueeze(1)
        where = where.expand(-1, weights_BUT.shape[1], -1)
        copied = scattered_sum(weights_BUT.to(written.dtype), where, written.shape[2])
        # a logarithm of 0 would make the gradient NaN
        there = copied > 0
        copied = torch.where(there, copied, 1.0).log() + F.logsigmoid(-gate)
        mixed = written + F.logsigmoid(gate)
        mixed = torch.where(there, torch.logaddexp(mixed, copied), mixed)
        return torch.where(memory.mask.any(1).view(-1, 1, 1), mixed, written)


def unknown_steps(answers: Answers, weights_BUT: Tensor, memory: Memory) -> list[list[list[int]]]:
    """For each row the pairs of place in the answer and source step of its ``<unk>``.

    Args:
        answers: of each row.
        weights_BUT: where the decoder looked when it wrote them.
        memory: with the ids of the source.
    """
    if memory.ids is None or not memory.ids.shape[1]:
        return [[] for _ in answers.lengths]
    unknown = memory.mask & (memory.ids == UNK)
    best = weights_BUT.masked_fill(~unknown.unsqueeze(1), -1.0).max(2)
    found: list[list[list[int]]] = []
    for tokens, weight, step in zip(
        answers.to_lists(), best.values.tolist(), best.indices.tolist(), strict=True
    ):
        places: Any = [[u, step[u]] for u, t in enumerate(tokens) if t == UNK and weight[u] > 0]
        found.append(places)
    return found


def with_copied_ids(
    answers: Sequence[list[int]],
    copied: Sequence[Sequence[Sequence[int]]],
    tokens: Sequence[list[str]],
    first: int,
) -> list[list[int]]:
    """Answers that say by ids beyond the vocabulary which tokens they copied, as references do.

    Args:
        answers: ids of each row.
        copied: of each row the pairs of ``unknown_steps``.
        tokens: of each row's source, empty where the vocabulary has them.
        first: the id of the token at the source's first step.

    >>> with_copied_ids([[4, 1, 1]], [[[1, 3], [2, 0]]], [["zoe", "", "", "zoe"]], 9)
    [[4, 9, 9]]
    """
    found = []
    for ids, pairs, source in zip(answers, copied, tokens, strict=True):
        named = list(ids)
        for place, step in pairs:
            if step < len(source) and source[step]:
                named[place] = first + source.index(source[step])
        found.append(named)
    return found
