"""What an engine is: a way to run a cell over time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.types import State


class Engine(ABC):
    """Runs a cell over a sequence. Engines are stateless; one instance serves all layers.

    Class attributes:
        name: the registered name.
        differentiable: whether results have the loop's gradients. An engine that sets it to False
            is for inference: where gradients are wanted it is refused, as in training, and the
            conformance kit compares its outputs and states alone.
        strength: why the planner takes it where it can, in a few words.
    """

    name: ClassVar[str]
    strength: ClassVar[str] = "it was asked for by name"
    differentiable: ClassVar[bool] = True

    def unavailable(self) -> str | None:
        """Why this engine cannot work on this machine at all; None if it can."""
        return None

    def step(self, cell: Cell, x_BD: Tensor, state: State) -> tuple[Tensor, State] | None:
        """One step of streaming; None where the engine has no faster way than the cell's own."""
        del cell, x_BD, state
        return None

    def refusal_of_gradients(self, cell: Cell, x_BTD: Tensor) -> str | None:
        """Why this engine cannot give the gradients that are wanted now; None if it can."""
        if self.differentiable or not torch.is_grad_enabled() or torch.compiler.is_exporting():
            return None
        if not any(part.requires_grad for part in (x_BTD, *cell.parameters())):
            return None
        return "it gives no gradients, so it needs torch.no_grad()"

    @abstractmethod
    def refusal(self, cell: Cell, x_BTD: Tensor, noise: Any) -> str | None:
        """Why this engine cannot run this cell on this input, in a few words; None if it can."""

    @abstractmethod
    def run(
        self,
        cell: Cell,
        x_BTD: Tensor,
        state: State,
        mask: Tensor | None,
        *,
        reverse: bool,
        noise: Any,
    ) -> tuple[Tensor, State]:
        """Run all steps, T >= 1.

        Args:
            cell: the cell.
            x_BTD: input, finite everywhere (masked steps are already zero).
            state: the state before the first step.
            mask: ``[B, T]`` bool, True = real, or None when all steps are real. A masked step
                leaves the state as it was and outputs zeros.
            reverse: run from the last step to the first; outputs stay at their input's time.
            noise: what ``cell.sample_noise`` returned.

        Returns:
            ``[B, T, output_size]`` and the final state.
        """
