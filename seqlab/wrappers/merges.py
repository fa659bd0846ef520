"""Merges: how the forward and the backward output of a bidirectional layer become one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.errors import OptionError
from seqlab.registry import spoken
from seqlab.schema import Count, checked


class Merge(nn.Module, ABC):
    """Joins two ``[..., F]`` and ``[..., B]`` tensors; may have parameters.

    Args:
        forward_size: F, the width of the forward output.
        backward_size: B, the width of the backward output.
    """

    #: Whether the two widths must be the same.
    same_size = True
    #: Whether the output is the two parts side by side.
    side_by_side = False
    #: Whether the output is one tensor, as a head needs it.
    joins = True
    #: Whether two zeros give zero, so that masked steps stay zero by themselves.
    keeps_zeros = True

    def __init__(self, forward_size: int, backward_size: int) -> None:
        super().__init__()
        if self.same_size and forward_size != backward_size:
            raise OptionError(
                f"{spoken('merge', self)} needs both directions of one width, "
                f"got {forward_size} and {backward_size}; concat takes any"
            )
        self.forward_size, self.backward_size = forward_size, backward_size

    @property
    def output_size(self) -> int:
        """The width of the joined output."""
        return self.forward_size

    @abstractmethod
    def forward(self, forward: Tensor, backward: Tensor) -> Any:
        """The joined output."""


class Concat(Merge):
    """Forward and backward side by side: ``[..., F + B]``."""

    same_size = False
    side_by_side = True

    @property
    def output_size(self) -> int:
        """F + B."""
        return self.forward_size + self.backward_size

    def forward(self, forward: Tensor, backward: Tensor) -> Tensor:
        """The joined output."""
        return torch.cat([forward, backward], -1)


class Sum(Merge):
    """``forward + backward``."""

    def forward(self, forward: Tensor, backward: Tensor) -> Tensor:
        """The joined output."""
        return forward + backward


class Mul(Merge):
    """``forward * backward``."""

    def forward(self, forward: Tensor, backward: Tensor) -> Tensor:
        """The joined output."""
        return forward * backward


class Ave(Merge):
    """``(forward + backward) / 2``."""

    def forward(self, forward: Tensor, backward: Tensor) -> Tensor:
        """The joined output."""
        return (forward + backward) / 2


class NoMerge(Merge):
    """Not joined: the pair (forward, backward)."""

    same_size = False
    side_by_side = True
    joins = False

    @property
    def output_size(self) -> int:
        """F + B, the two parts together."""
        return self.forward_size + self.backward_size

    def forward(self, forward: Tensor, backward: Tensor) -> tuple[Tensor, Tensor]:
        """The pair, unchanged."""
        return forward, backward


class Gate(Merge):
    """``g * forward + (1 - g) * backward`` with a learned gate for each unit.

        g = sigmoid(W_f forward + W_b backward + b)

    The gate of a highway layer (Srivastava et al., 2015) between the two directions; b starts at
    0, where the merge is ``ave``.
    """

    def __init__(self, forward_size: int, backward_size: int) -> None:
        super().__init__(forward_size, backward_size)
        self.gate = nn.Linear(forward_size + backward_size, forward_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot-uniform matrix, zero bias."""
        nn.init.xavier_uniform_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, forward: Tensor, backward: Tensor) -> Tensor:
        """The joined output."""
        gate = torch.sigmoid(self.gate(torch.cat([forward, backward], -1)))
        return backward + gate * (forward - backward)


class AttentionMerge(Merge):
    """A weighted mean of the directions, with weights from additive attention.

        e_d = v . tanh(W_d d + b_d)        d: forward, backward (Bahdanau et al., 2015)
        a = softmax(e_forward, e_backward)
        y = a_forward P_f forward + a_backward P_b backward

    The widths may differ: then, and when ``size`` is given, P are learned matrices, else they are
    the identity.

    Args:
        forward_size: F.
        backward_size: B.
        size: the width of the output; None for F.
        attention_size: the width of the scores' hidden layer; None for the output's width.

    Example:
        >>> merge = AttentionMerge(4, 6, size=5)
        >>> merge(torch.zeros(2, 3, 4), torch.zeros(2, 3, 6)).shape
        torch.Size([2, 3, 5])
    """

    same_size = False

    @checked
    def __init__(
        self,
        forward_size: int,
        backward_size: int,
        size: Count | None = None,
        attention_size: Count | None = None,
    ) -> None:
        super().__init__(forward_size, backward_size)
        self._size = forward_size if size is None else size
        hidden = self._size if attention_size is None else attention_size
        self.keys = nn.ModuleList([nn.Linear(n, hidden) for n in (forward_size, backward_size)])
        self.score = nn.Linear(hidden, 1, bias=False)
        projects = size is not None or forward_size != backward_size
        self.values = nn.ModuleList(
            [
                nn.Linear(n, self._size, bias=False) if projects else nn.Identity()
                for n in (forward_size, backward_size)
            ]
        )

    @property
    def output_size(self) -> int:
        """``size``, or F."""
        return self._size

    def reset_parameters(self) -> None:
        """Draw all matrices anew."""
        for part in self.modules():
            if isinstance(part, nn.Linear):
                part.reset_parameters()

    def forward(self, forward: Tensor, backward: Tensor) -> Tensor:
        """The joined output."""
        both = (forward, backward)
        scores = [self.score(torch.tanh(k(d))) for k, d in zip(self.keys, both, strict=True)]
        weights = torch.softmax(torch.cat(scores, -1), -1)
        first, second = (value(d) for value, d in zip(self.values, both, strict=True))
        joined: Tensor = weights[..., :1] * first + weights[..., 1:] * second
        return joined
