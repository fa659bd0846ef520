"""Merges: how the forward and the backward output of a bidirectional layer become one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.errors import OptionError


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
                f"merge {type(self).__name__.lower()} needs both directions of one width, "
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
