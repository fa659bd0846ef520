"""Gradients of gradients: the reference loop in the place of a kernel that has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from seqlab.cells.gated import GatedCell
from seqlab.cells.noise import Noise
from seqlab.cells.products import weight_of_steps
from seqlab.engines.over_time import run_steps
from seqlab.engines.replaced_parameters import with_parameters
from seqlab.types import State


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
        x_TBG: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        gain: Tensor | None,
        *rest: Tensor,
    ) -> Sequence[Tensor]:
        count = len(cell.state_sizes)
        named = {"recurrent_bias": bias, "norm_hh": gain}
        named.update(zip(names, rest[count:], strict=False))
        replaced = {key: value for key, value in named.items() if value is not None}

        def run() -> Sequence[Tensor]:
            return _steps(
                cell, weight, x_TBG, rest[:count], mask, noise=steps_noise, reverse=reverse
            )

        return with_parameters(cell, replaced, run)

    return repeat


def _steps(
    cell: GatedCell, weight: Tensor, x_TBG: Tensor, state: Sequence[Tensor],
    mask: Tensor | None, *, noise: Noise | None, reverse: bool,
) -> Sequence[Tensor]:  # fmt: skip
    def step(t: int, before: State) -> tuple[Tensor, State]:
        return cell.step_with(weight, x_TBG[t], before, None if noise is None else noise.at(t))

    weight, start = weight_of_steps(cell, weight), cell.State(*state)
    outputs, final = run_steps(step, len(x_TBG), start, mask, reverse=reverse)
    return (torch.stack(outputs), *final)


def by_operations(*grads: Tensor | None) -> bool:
    """Whether a backward pass must be made of torch's operations, as no kernel can do it.

    Its gradients are to be differentiated again, or are many at once.
    """
    return torch.is_grad_enabled() or any(g is not None and many_at_once(g) for g in grads)


def many_at_once(grad: Tensor) -> bool:
    """Whether a tensor stands for many, as gradients do where ``is_grads_batched`` is set."""
    found: bool = torch._C._functorch.is_legacy_batchedtensor(grad)  # noqa: SLF001  # no other
    return found


def differentiable(
    repeat: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Tensor | None],
    grads: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """Gradients that can be differentiated again: those of the reference loop.

    Args:
        repeat: what was computed, by operations that have all derivatives.
        inputs: its arguments.
        grads: gradients of its results; None for zero.
    """
    with torch.enable_grad():
        results = repeat(*inputs)
    pairs = [(v, g) for v, g in zip(results, grads, strict=True) if g is not None]
    wanted = [t for t in inputs if t is not None and t.requires_grad]
    values, given = [v for v, _ in pairs], [g.to(v.dtype) for v, g in pairs]
    again = torch.is_grad_enabled()
    found = iter(torch.autograd.grad(values, wanted, given, create_graph=again, allow_unused=True))
    return [next(found) if t is not None and t.requires_grad else None for t in inputs]


class OnceDifferentiable(torch.autograd.Function):
    """A kernel with autograd's own first derivatives, and the reference loop's further ones.

    ``OnceDifferentiable.apply(kernel, repeat, *inputs)``: both are functions of the inputs that
    return as many tensors. The kernel's graph is kept and freed as that of any operation.
    """

    @staticmethod
    def forward(
        ctx: Any,
        kernel: Callable[..., Sequence[Tensor]],
        repeat: Callable[..., Sequence[Tensor]],
        *inputs: Tensor,
    ) -> tuple[Tensor, ...]:
        """Run the kernel and keep the ends of its graph."""
        leaves = [
            value.detach().requires_grad_(needed)
            for value, needed in zip(inputs, ctx.needs_input_grad[2:], strict=True)
        ]
        with torch.enable_grad():
            results = kernel(*leaves)
        edge = torch.autograd.graph.get_gradient_edge
        ctx.graph = (
            [edge(result) for result in results],
            [edge(leaf) for leaf in leaves if leaf.requires_grad],
        )
        ctx.repeat = repeat
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)
        return tuple(result.detach() for result in results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """The kernel's gradients, or the loop's where they are to be differentiated."""
        inputs = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (None, None, *differentiable(ctx.repeat, inputs, grads))
        results, leaves = ctx.graph
        kept = torch._C._autograd._get_current_graph_task_keep_graph()  # noqa: SLF001  # no other
        if not kept:
            ctx.graph = None
        pairs = [(r, g) for r, g in zip(results, grads, strict=True) if g is not None]
        found = iter(
            torch.autograd.grad(
                [r for r, _ in pairs], leaves, [g for _, g in pairs],
                retain_graph=kept, allow_unused=True,
            )
        )  # fmt: skip
        needed = ctx.needs_input_grad[2:]
        return (None, None, *[next(found) if need else None for need in needed])
