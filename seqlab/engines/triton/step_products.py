"""The recurrent products of one step, forward and backward, by torch's own matrix products."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def times(a: Tensor, b: Tensor, half: torch.dtype | None) -> Tensor:
    """``a b`` in new memory; ``half``: see ``multiply``."""
    return multiply(a, b, a.new_empty(*a.shape[:-1], b.shape[1]), half)


def multiply(a: Tensor, b: Tensor, out: Tensor, half: torch.dtype | None) -> Tensor:
    """``a b`` in memory that is there; ``half``: the type that autocast asks products to be in."""
    if half is None:
        return torch.matmul(a, b, out=out)
    return out.copy_(a.to(half) @ b.to(half))


@dataclass
class StepProduct:
    """One recurrent product: its gates, from ``first`` to before ``last``, and its matrix.

    ``weight`` is ``[R, P]``, R = gates * H; ``drop`` None, ``[B, P]`` for all gates, or
    ``[gates, B, P]``.
    """

    first: int
    last: int
    weight: Tensor
    drop: Tensor | None
    half: torch.dtype | None

    @classmethod
    def of(
        cls, weight: Tensor, gates: tuple[int, int], hidden: int, drop: Tensor | None,
        half: torch.dtype | None,
    ) -> StepProduct:  # fmt: skip
        """Of some gates of a matrix ``[G*H, P]``; ``drop`` is ``[B, P]`` or ``[G, B, P]``."""
        first, last = gates
        if drop is not None and drop.dim() == 3:
            drop = drop[first:last]
        return cls(first, last, weight[first * hidden : last * hidden], drop, half)

    def forward(self, vector_BP: Tensor, out_BR: Tensor) -> None:
        """The gates' recurrent parts."""
        if self.drop is not None:
            vector_BP = vector_BP * self.drop
        if vector_BP.dim() == 2:
            multiply(vector_BP, self.weight.T, out_BR, self.half)
            return
        # each gate has a vector of its own
        matrices, parts = self._by_gate(out_BR)
        multiply(vector_BP, matrices.transpose(1, 2), parts, self.half)

    def backward(self, d_BR: Tensor, out_BP: Tensor) -> Tensor:
        """The gradient of the vector, from those of the gates' parts."""
        if self.drop is None or self.drop.dim() == 2:
            multiply(d_BR, self.weight, out_BP, self.half)
            return out_BP if self.drop is None else out_BP.mul_(self.drop)
        matrices, d = self._by_gate(d_BR)
        terms = multiply(d, matrices, torch.empty_like(self.drop), self.half)
        return torch.sum(terms.mul_(self.drop), 0, out=out_BP)

    def _by_gate(self, value_BR: Tensor) -> tuple[Tensor, Tensor]:
        """The matrix ``[gates, H, P]``, and the gates' values ``[gates, B, H]``."""
        gates = self.last - self.first
        matrices = self.weight.view(gates, -1, self.weight.shape[1])
        return matrices, value_BR.view(len(value_BR), gates, -1).transpose(0, 1)
