"""Attention scores: how well each step of the source fits the decoder's state.

With queries ``q`` (decoder outputs) and keys ``k_t`` (encoder outputs), the weights are the
softmax over the real source steps of a score, and the context is the weighted sum of the ``k_t``.
Dot and general are of Luong, Pham and Manning (2015), additive of Bahdanau, Cho and Bengio (2015),
multi_head of Vaswani et al. (2017).
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
    outputs with zeros at padded steps, ``mask`` ``[B, T]`` bool. ``ids [B, T]`` are the target's
    ids of the source's tokens, for a decoder that copies; else None.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor
    ids: Tensor | None = None

    def tensors(self) -> list[Tensor]:
        """Those that there are, in order."""
        return [part for part in self if part is not None]

    def repeated(self, times: int) -> Memory:
        """Each row ``times`` times, copies side by side."""
        return Memory(*(part.repeat_interleave(times, dim=0) for part in self.tensors()))


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


class MultiHeadAttention(Attention):
    """Several attentions side by side, each to a part of the width d = size / heads.

        a_j = softmax over t of (Q_j q . K_j k_t / sqrt(d))         for each head j
        context = O [sum_t a_1t V_1 k_t; ...; sum_t a_nt V_n k_t]

    The maps have no bias, so that the context is zero where no source step is real. The weights
    handed on, for pictures, coverage and copying, are the mean of the heads'.

    Args:
        query_size: the width of the decoder's output.
        memory_size: E, the width of the encoder's output and of the context.
        heads: how many.
        size: the width of all heads together; None for the query's, or the next one above it that
            the heads can share evenly.

    Raises:
        OptionError: the heads cannot share the width evenly.
    """

    @checked
    def __init__(
        self, query_size: int, memory_size: int, *, heads: Count = 4, size: Count | None = None
    ) -> None:
        super().__init__(query_size, memory_size)
        size = -(-query_size // heads) * heads if size is None else size
        if size % heads:
            raise OptionError(
                f"multi_head attention of width {size} cannot be shared by {heads} heads; give a "
                "size that heads divides"
            )
        self.heads = heads
        self.scale: float = (size // heads) ** -0.5
        self.query = nn.Linear(query_size, size, bias=False)
        self.map = nn.Linear(memory_size, size, bias=False)
        self.value = nn.Linear(memory_size, size, bias=False)
        self.output = nn.Linear(size, memory_size, bias=False)

    def prepare(self, output_BTE: Tensor, mask_BT: Tensor) -> Memory:
        """See ``Attention.prepare``; the values are those of all heads, side by side."""
        memory = super().prepare(output_BTE, mask_BT)
        return memory._replace(values=self.value(memory.values))

    def keys(self, values_BTE: Tensor) -> Tensor:
        """``K k`` of all heads, side by side."""
        mapped: Tensor = self.map(values_BTE)
        return mapped

    def score(self, query_BUQ: Tensor, keys_BTK: Tensor) -> Tensor:
        """The scores of one head, from its parts of query and keys."""
        return torch.bmm(query_BUQ, keys_BTK.transpose(1, 2)) * self.scale

    def forward(self, query_BUQ: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Contexts ``[B, U, E]`` and the mean weights ``[B, U, T]``; heads are rows meanwhile."""
        parts = Memory(
            self._split(memory.keys),
            self._split(memory.values),
            memory.mask.repeat_interleave(self.heads, dim=0),
        )
        context: Tensor
        context, weights = super().forward(self._split(self.query(query_BUQ)), parts)
        rows, steps = query_BUQ.shape[:2]
        context = context.view(rows, self.heads, steps, context.shape[2])
        joined: Tensor = self.output(context.transpose(1, 2).flatten(2))
        return joined, weights.view(rows, self.heads, steps, weights.shape[2]).mean(1)

    def _split(self, x_BUS: Tensor) -> Tensor:
        """``[B * heads, U, d]``: the parts of the heads as rows."""
        rows, steps, size = x_BUS.shape
        parts = x_BUS.reshape(rows, steps, self.heads, size // self.heads)
        return parts.transpose(1, 2).flatten(0, 1)
