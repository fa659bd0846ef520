"""Runs any cell as one scan operator with dynamic time, for torch.export and ONNX."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan
from torch.utils import _pytree

from seqlab.cells.base import Cell, map_state
from seqlab.engines.base import Engine
from seqlab.engines.stepping import select
from seqlab.types import State


class ExportEngine(Engine):
    """Runs every cell without random masks; chosen by itself while a layer is being exported."""

    name = "export"
    differentiable = False

    def refusal(self, cell: Cell, x_BTD: Tensor, noise: Any) -> str | None:
        """Random masks: an exported graph is for inference."""
        del cell, x_BTD
        return None if noise is None else "an exported graph has no random masks; use eval()"

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
        """All steps; see ``Engine.run``."""
        del noise
        parts, form = _pytree.tree_flatten(cell.project(x_BTD))
        # the operator takes tensors only, and time first
        steps = [part.movedim(1, 0) for part in parts]
        if reverse:
            steps = [part.flip(0) for part in steps]
        real = None if mask is None else (mask.flip(1) if reverse else mask).movedim(1, 0)
        fields, state_form = _pytree.tree_flatten(state)
        # what the step gives may be wider than the state given, as under autocast
        start = [field.clone() for field in fields]

        def combine(carry: list[Tensor], at: list[Tensor]) -> tuple[list[Tensor], Tensor]:
            before = _pytree.tree_unflatten(carry, state_form)
            now = at if real is None else at[:-1]
            output, after = cell.step(_pytree.tree_unflatten(now, form), before)
            if real is not None:
                here = at[-1]
                after = map_state(lambda n, o: select(here, n, o), after, before)
                output = select(here, output, torch.zeros_like(output))
            # outputs of the operator must not be the same tensor
            kept = [field.clone() for field in _pytree.tree_leaves(after)]
            return kept, output.clone()

        final, outputs = scan(combine, start, steps if real is None else [*steps, real])
        outputs = outputs.flip(0) if reverse else outputs
        return outputs.movedim(0, 1), _pytree.tree_unflatten(list(final), state_form)
