"""Where a model looks: the weights of its attention, step by step of the answer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.heads.attention import Attention, NoAttention
from seqlab.heads.masking import clean_output
from seqlab.heads.pooling import AttentionPooling


class Looks:
    """The weights seen: ``[B, U, T]`` a decoder's attention, ``[B, 1, T]`` a pooling."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Tensor]] = {}

    def add(self, name: str, weights_BUT: Tensor) -> None:
        """Further steps of the answer."""
        self._parts.setdefault(name, []).append(weights_BUT.detach())

    def weights(self) -> dict[str, Tensor]:
        """All steps of each attention, by the name of its module."""
        return {name: torch.cat(parts, 1) for name, parts in self._parts.items()}


@contextlib.contextmanager
def watched_attention(module: nn.Module) -> Iterator[Looks]:
    """The attention weights of all that is run inside."""
    looks, handles = Looks(), []

    def of_decoder(name: str) -> Any:
        return lambda _, __, result: looks.add(name, result[1])

    def of_pooling(name: str) -> Any:
        def note(pooling: AttentionPooling, given: tuple[Any, ...], _: Tensor) -> None:
            weights = pooling.weights(clean_output(given[0]), given[0])
            looks.add(name, weights.unsqueeze(1))

        return note

    for name, part in module.named_modules():
        if isinstance(part, Attention) and not isinstance(part, NoAttention):
            handles.append(part.register_forward_hook(of_decoder(name)))
        elif isinstance(part, AttentionPooling):
            handles.append(part.register_forward_hook(of_pooling(name)))
    try:
        yield looks
    finally:
        for handle in handles:
            handle.remove()
