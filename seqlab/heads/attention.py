"""Attention scores: how well each step of the source fits the decoder's state.

With queries ``q`` (decoder outputs) and keys ``k_t`` (encoder outputs), the weights are the
softmax over the real source steps of a score, and the context is the weighted sum of the ``k_t``.
Dot and general are of Luong, Pham and Manning (2015), additive of Bahdanau, Cho and Bengio (2015).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqlab.errors import OptionError
from seqlab.heads.masking import masked_softmax
from seqlab.schema import Count, checked


class Memory(NamedTuple):
    """The source as the attention sees it; made once a batch by ``Attention.prepare``.

    ``keys`` is ``[B, T, K]`` in the attention's own form, ``values`` ``[B, T, E]`` the encoder's
    outputs with zeros at padded steps, ``mask`` ``[B, T]`` bool.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor


class Attention(nn.Module, ABC):
    """From queries to contexts. A subclass writes ``score``, and ``keys`` where it needs them.

    Args:
        query_size: the width of the decoder's output.
        memory_size: E, the width of the encoder's output.
    """

    output_size: int

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        self.query_size = query_size
        self.memory_size = memory_size
        self.output_size = memory_size

    def prepare(self, output_BTE: Tensor, mask_BT: Tensor) -> Memory:
        """What can be computed before the first query; masked outputs never matter."""
        values = output_BTE.masked_fill(~mask_BT.unsqueeze(-1), 0.0)
        return Memory(self.keys(values), values, mask_BT)

    def keys(self, values_BTE: Tensor) -> Tensor:
        """The part of the score that needs no query, ``[B, T, K]``; here the values."""
        return values_BTE

    @abstractmethod
    def score(self, query_BUQ: Tensor, keys_BTK: Tensor) -> Tensor:
        """The scores ``[B, U, T]`` of each query with each step."""

    def forward(self, query_BUQ: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Contexts ``[B, U, E]`` and weights ``[B, U, T]``; zeros where no source step is real."""
        scores = self.score(query_BUQ, memory.keys)
        weights = masked_softmax(scores, memory.mask.unsqueeze(1))
        return torch.bmm(weights.to(memory.values.dtype), memory.values), weights


class NoAttention(Attention):
    """No context: the decoder sees the source through its initial state only."""

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size)
        self.output_size = 0

    def score(self, query_BUQ: Tensor, keys_BTK: Tensor) -> Tensor:
        """Zeros: no step fits better than another."""
        return query_BUQ.new_zeros(query_BUQ.shape[0], query_BUQ.shape[1], keys_BTK.shape[1])

    def forward(self, query_BUQ: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """A context of width 0."""
        return query_BUQ[:, :, :0], self.score(query_BUQ, memory.keys)


class DotAttention(Attention):
    """``score = q . k``; decoder and encoder outputs must have one width.

    Args:
        query_size: the width of the decoder's output.
        memory_size: E, the width of the encoder's output.
        scaled: divide by the square root of the width (Vaswani et al. 2017).

    Raises:
        OptionError: the widths differ.
    """

    @checked
    def __init__(self, query_size: int, memory_size: int, *, scaled: bool = False) -> None:
        super().__init__(query_size, memory_size)
        if query_size != memory_size:
            raise OptionError(
                f"dot attention needs decoder and encoder outputs of one width, got {query_size} "
                f"and {memory_size}; make them equal or choose attention=general"
            )
        self.scale = query_size**-0.5 if scaled else 1.0

    def score(self, query_BUQ: Tensor, keys_BTK: Tensor) -> Tensor:
        """See the class."""
        return torch.bmm(query_BUQ, keys_BTK.transpose(1, 2)) * self.scale


class GeneralAttention(Attention):
    """``score = q . W k``."""

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size)
        self.map = nn.Linear(memory_size, query_size, bias=False)

    def keys(self, values_BTE: Tensor) -> Tensor:
        """``W k``."""
        mapped: Tensor = self.map(values_BTE)
        return mapped

    def score(self, query_BUQ: Tensor, keys_BTK: Tensor) -> Tensor:
        """See the class."""
        return torch.bmm(query_BUQ, keys_BTK.transpose(1, 2))


class AdditiveAttention(Attention):
    """``score = v . tanh(W q + U k + b)``.

    Args:
        query_size: the width of the decoder's output.
        memory_size: E, the width of the encoder's output.
        size: the width of ``v``; the query's when None.
    """

    @checked
    def __init__(self, query_size: int, memory_size: int, *, size: Count | None = None) -> None:
        super().__init__(query_size, memory_size)
        size = query_size if size is None else size
        self.query = nn.Linear(query_size, size)
        self.map = nn.Linear(memory_size, size, bias=False)
        self.vector = nn.Linear(size, 1, bias=False)

    def keys(self, values_BTE: Tensor) -> Tensor:
        """``U k``."""
        mapped: Tensor = self.map(values_BTE)
        return mapped

    def score(self, query_BUQ: Tensor, keys_BTK: Tensor) -> Tensor:
        """See the class."""
        both = self.query(query_BUQ).unsqueeze(2) + keys_BTK.unsqueeze(1)
        scores: Tensor = self.vector(torch.tanh(both)).squeeze(-1)
        return scores
