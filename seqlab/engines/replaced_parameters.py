"""Runs code of a cell while tensors stand in the place of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

Result = TypeVar("Result")


class _Bound(nn.Module):
    """A function as the module of a cell that it uses."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, function: Callable[[], Result]) -> Result:
        return function()


def with_parameters(
    cell: nn.Module, replaced: Mapping[str, Tensor], function: Callable[[], Result]
) -> Result:
    """What a function of a cell gives while the named parameters and buffers are replaced."""
    named = {f"cell.{name}": value for name, value in replaced.items()}
    result: Result = torch.func.functional_call(_Bound(cell), named, (function,))
    return result
