"""Runs any cell as one scan operator with dynamic time, for torch.export and ONNX."""

from __future__ import annotations

from collections import abc
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan
from torch.utils import _pytree

from seqlab.cells.base import Cell, HiddenState
from seqlab.cells.linear import LinearRecurrentCell
from seqlab.engines.base import Engine, Offer, Sequence
from seqlab.engines.cost import Cost
from seqlab.engines.over_time import select
from seqlab.types import State

#: The tensors of a state and of one step's input, to the output and the state after it.
Step = Callable[[list[Tensor], list[Tensor]], tuple[Tensor, list[Tensor]]]

#: Outside a graph every call traces the step anew.
COST = Cost(call=1.0, step=1e-3, rate=5e10, launches=100)


class ExportEngine(Engine):
    """Runs every cell without random masks; chosen by itself while a layer is being exported.

    Of a linear recurrence only ``h = a h + b`` is inside the operator, in real numbers: ONNX has
    neither complex numbers there nor products with parts of a matrix.
    """

    name = "export"
    differentiable = False
    exportable = True

    def offer(self, cell: Cell, run: Sequence) -> Offer | str:
        """Random masks are refused: an exported graph is for inference."""
        if run.noise is not None:
            return "an exported graph has no random masks; use eval()"
        if torch.compiler.is_exporting():
            return Offer(0.0, 0.0, "it makes one operator of all steps, for graphs")
        return COST.offer(cell, run.x, "it is for graphs that are being exported")

    def run(self, cell: Cell, run: Sequence) -> tuple[Tensor, State]:
        """All steps; see ``Engine.run``."""
        x_BTD, state, mask, reverse, _ = run
        if isinstance(cell, LinearRecurrentCell) and type(cell).step is LinearRecurrentCell.step:
            return _run_linear(cell, x_BTD, state, mask, reverse=reverse)
        return scan_steps(cell.stepper(), cell.project(x_BTD), state, mask, reverse=reverse)


def scan_steps(
    advance: Callable[[Any, State], tuple[Tensor, State]],
    projected: Any,
    state: State,
    mask: Tensor | None,
    *,
    reverse: bool,
) -> tuple[Tensor, State]:
    """All steps as one operator, of which there is one in the graph for any T.

    Args:
        advance: step t of ``projected`` and the state before it, to the output and the next.
        projected: ``[B, T, ...]``, or a tuple of such.
        state: the state before the first step.
        mask: ``[B, T]`` bool, True = real, or None.
        reverse: from the last step to the first.
    """
    parts, form = _pytree.tree_flatten(projected)
    fields, state_form = _pytree.tree_flatten(state)

    def step(before: list[Tensor], at: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        now, old = _pytree.tree_unflatten(at, form), _pytree.tree_unflatten(before, state_form)
        output, after = advance(now, old)
        return output, _pytree.tree_leaves(after)

    outputs, final = _over_time(step, fields, parts, mask, reverse=reverse)
    return outputs, _pytree.tree_unflatten(final, state_form)


def _run_linear(
    cell: LinearRecurrentCell, x_BTD: Tensor, state: State, mask: Tensor | None, *, reverse: bool
) -> tuple[Tensor, State]:
    """Coefficients and readout for all steps at once, around the recurrence alone."""
    x, a, b = cell.project(x_BTD)

    def real_step(before: list[Tensor], at: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        (h,), (a_t, b_t) = before, at
        after = a_t * h + b_t
        return after, [after]

    def complex_step(before: list[Tensor], at: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        (re, im), (a_re, a_im, b_re, b_im) = before, at
        after = [a_re * re - a_im * im + b_re, a_re * im + a_im * re + b_im]
        return torch.cat(after, -1), after

    start, parts, step = [state[0]], [a, b], real_step
    if cell.complex_state:
        start, parts, step = list(state[0].chunk(2, -1)), _parts(a, b), complex_step
    dtype = torch.promote_types(parts[-1].dtype, state[0].dtype)
    start, parts = [part.to(dtype) for part in start], [part.to(dtype) for part in parts]
    kept, final = _over_time(step, start, parts, mask, reverse=reverse)
    output = cell.readout(x, cell.unpack(kept))
    if mask is not None:
        output = output.masked_fill(~mask.unsqueeze(-1), 0.0)
    return output, HiddenState(cell.pack(cell.unpack(torch.cat(final, -1))))


def _parts(*values: Tensor) -> list[Tensor]:
    return [part for value in values for part in (value.real, value.imag)]


def _over_time(
    step: Step,
    start: abc.Sequence[Tensor],
    parts: abc.Sequence[Tensor],
    mask: Tensor | None,
    *,
    reverse: bool,
) -> tuple[Tensor, list[Tensor]]:
    """The scan operator over ``[B, T, ...]`` parts: outputs ``[B, T, ...]`` and the last state."""
    # the operator takes time first
    steps = [part.movedim(1, 0) for part in (*parts, *(() if mask is None else (mask,)))]
    if reverse:
        steps = [part.flip(0) for part in steps]

    def combine(carry: list[Tensor], at: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        output, after = step(carry, at[: len(parts)])
        if mask is not None:
            after = [select(at[-1], new, old) for new, old in zip(after, carry, strict=True)]
            output = select(at[-1], output, torch.zeros_like(output))
        # outputs of the operator must not be the same tensor
        return [field.clone() for field in after], output.clone()

    final, outputs = scan(combine, [field.clone() for field in start], steps)
    outputs = outputs.flip(0) if reverse else outputs
    return outputs.movedim(0, 1), list(final)
