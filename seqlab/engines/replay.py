"""The reference loop over a projected input, for gradients of gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from seqlab.cells.gated import GatedCell
from seqlab.cells.noise import Noise
from seqlab.engines.stepping import select


class _Bound(nn.Module):
    """Runs a function of a cell while its parameters are replaced."""

    def __init__(self, cell: GatedCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, function: Callable[[], Sequence[Tensor]]) -> Sequence[Tensor]:
        return function()


def replay(
    cell: GatedCell, noise: Noise | None, mask: Tensor | None, *, reverse: bool,
    names: Sequence[str],
) -> Callable[..., Sequence[Tensor]]:  # fmt: skip
    """A function of the projected input, the recurrent parameters, the state and own parameters.

    Args:
        cell: the cell.
        noise: the masks of the run; its weight mask is already in the weight that is passed.
        mask: ``[B, T]`` bool or None.
        reverse: the direction of the run.
        names: the cell's own elementwise parameters.

    Returns:
        ``(x_TBG, weight, bias, gain, *states, *parameters) -> (output_TBH, *final state)``.
    """
    steps_noise = None if noise is None else noise._replace(weight_mask=None)

    def repeat(
        x_TBG: Tensor, weight: Tensor, bias: Tensor | None, gain: Tensor | None, *rest: Tensor
    ) -> Sequence[Tensor]:
        count = len(cell.state_sizes)
        named = {"weight_hh": weight, "recurrent_bias": bias, "norm_hh": gain}
        named.update(zip(names, rest[count:], strict=False))
        replaced = {f"cell.{key}": value for key, value in named.items() if value is not None}

        def run() -> Sequence[Tensor]:
            return _steps(cell, x_TBG, rest[:count], mask, steps_noise, reverse=reverse)

        result: Sequence[Tensor] = torch.func.functional_call(_Bound(cell), replaced, (run,))
        return result

    return repeat


def _steps(
    cell: GatedCell, x_TBG: Tensor, state: Sequence[Tensor], mask: Tensor | None,
    noise: Noise | None, *, reverse: bool,
) -> Sequence[Tensor]:  # fmt: skip
    current = cell.State(*state)
    outputs: dict[int, Tensor] = {}
    steps = range(x_TBG.shape[0])
    for t in reversed(steps) if reverse else steps:
        output, new = cell.step(x_TBG[t], current, None if noise is None else noise.at(t))
        if mask is not None:
            real = mask[:, t]
            new = cell.State(*(select(real, n, o) for n, o in zip(new, current, strict=True)))
            output = select(real, output, torch.zeros_like(output))
        outputs[t], current = output, new
    return (torch.stack([outputs[t] for t in steps]), *current)
