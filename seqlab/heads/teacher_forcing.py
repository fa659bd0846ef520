"""Teacher forcing and scheduled sampling (Bengio, Vinyals, Jaitly and Shazeer 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seqlab.schema import Count, Share, check_order, checked, read


@dataclass(frozen=True)
class _Schedule:
    """How the ratio falls."""

    name: Literal["linear", "exponential", "inverse_sigmoid"]
    steps: Count
    floor: Share = 0.0


class TeacherForcing(nn.Module):
    """Decides for each target step whether the decoder sees the true last token or its own.

    The probability of the true token is ``ratio``, or falls from it towards ``floor`` with the
    training step i and the schedule's ``steps`` N:

        linear            ratio - (ratio - floor) * min(i / N, 1)
        exponential       floor + (ratio - floor) * exp(-i / N)
        inverse_sigmoid   floor + (ratio - floor) * N / (N + exp(i / N))

    A training step is one call of the loss in training mode; the count is part of the state dict.

    Args:
        teacher_forcing: the ratio; 1 is pure teacher forcing.
        schedule: ``{name: linear, steps: 10000, floor: 0.0}`` or None.

    Raises:
        OptionError: the ratio or the schedule does not fit.
    """

    count: Tensor

    @checked
    def __init__(self, teacher_forcing: Share, schedule: Mapping[str, Any] | None) -> None:
        super().__init__()
        self.ratio = teacher_forcing
        self.schedule: str | None = None
        if schedule is None:
            return
        falls = read(_Schedule, schedule, "schedule")
        self.schedule, self.steps, self.floor = falls.name, falls.steps, falls.floor
        check_order(floor=self.floor, teacher_forcing=self.ratio)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    @property
    def always(self) -> bool:
        """Whether the true token is always given."""
        return self.ratio == 1.0 and self.schedule is None

    def probability(self) -> Tensor | float:
        """The probability of the true token at this training step."""
        if self.schedule is None:
            return self.ratio
        progress = self.count.float() / self.steps
        if self.schedule == "linear":
            fall = 1 - progress.clamp(max=1)
        elif self.schedule == "exponential":
            fall = torch.exp(-progress)
        else:
            fall = self.steps / (self.steps + torch.exp(progress))
        return self.floor + (self.ratio - self.floor) * fall

    def draw(self, tokens_BU: Tensor) -> Tensor:
        """Which of the input tokens ``[B, U]`` are given as they are; counts one step."""
        given = torch.rand(tokens_BU.shape, device=tokens_BU.device) < self.probability()
        if self.schedule is not None:
            self.count += 1
        return given
