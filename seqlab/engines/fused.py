"""The vendors' kernels (oneDNN, ATen, cuDNN) behind the same contract, with masks of any form.

A masked step changes nothing, so the real steps of each row can be moved together, run as a
packed sequence, and moved back: holes cost two gathers, and padding is not computed at all.
"""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqlab.cells.base import Cell
from seqlab.cells.gated import GatedCell
from seqlab.cells.noise import Noise
from seqlab.engines.base import Engine
from seqlab.types import State


class FusedEngine(Engine):
    """Runs the cells whose step, options included, a vendor's kernel computes."""

    name = "fused"

    def refusal(self, cell: Cell, x_BTD: Tensor, noise: Any) -> str | None:
        """The cell's own answer (see ``Cell.vendor_kernel``)."""
        del x_BTD, noise
        kernel = cell.vendor_kernel()
        return None if kernel.name else kernel.reason

    def step(self, cell: Cell, x_BD: Tensor, state: State) -> tuple[Tensor, State] | None:
        """One step by the vendor's cell; None for a cell it does not compute."""
        name = cell.vendor_kernel().name
        if name is None or torch.compiler.is_exporting():
            return None
        gated = cast("GatedCell", cell)
        if gated.weight_hr is not None:
            return None
        function: Any = getattr(torch, f"{name}_cell")
        before = state if name == "lstm" else state[0]
        after = function(x_BD, before, *kernel_weights(gated, None))
        final = gated.State(*after) if name == "lstm" else gated.State(after)
        return final[0], final

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
        gated = cast("GatedCell", cell)
        sampled = cast("Noise | None", noise)
        if sampled is not None and sampled.input_mask is not None:
            x_BTD = x_BTD * sampled.input_mask
        weights = kernel_weights(gated, sampled)
        if mask is None:
            return _run_whole(gated, x_BTD, state, weights, reverse=reverse)
        return _run_masked(gated, x_BTD, state, weights, mask, reverse=reverse)


def kernel_weights(cell: GatedCell, noise: Noise | None) -> list[Tensor]:
    """The weights in the order and form of torch's kernels, which have two biases or none."""
    recurrent: Tensor = cell.weight_hh
    if noise is not None and noise.weight_mask is not None:
        recurrent = recurrent * noise.weight_mask
    weights: list[Tensor] = [cell.weight_ih, recurrent]
    if cell.bias is not None:
        second = cell.recurrent_bias
        weights += [cell.bias, torch.zeros_like(cell.bias) if second is None else second]
    if cell.weight_hr is not None:
        weights.append(cell.weight_hr)
    return weights


def _run_whole(
    cell: GatedCell, x_BTD: Tensor, state: State, weights: list[Tensor], *, reverse: bool
) -> tuple[Tensor, State]:
    """No masked step: one call on the padded tensor."""
    source = x_BTD.flip(1) if reverse else x_BTD
    output, final = _call(cell, weights, state, source, None)
    return (output.flip(1) if reverse else output), final


def _run_masked(
    cell: GatedCell,
    x_BTD: Tensor,
    state: State,
    weights: list[Tensor],
    mask: Tensor,
    *,
    reverse: bool,
) -> tuple[Tensor, State]:
    """Real steps moved together in running order, run packed, and moved back."""
    lengths = mask.sum(1)
    order = running_order(mask, reverse=reverse)
    gathered = x_BTD.gather(1, order.unsqueeze(-1).expand_as(x_BTD))
    # a packed row has at least one step; an empty row runs one and is put right below
    packed = pack_padded_sequence(
        gathered, lengths.clamp_min(1).cpu(), batch_first=True, enforce_sorted=False
    )
    rows = packed.sorted_indices
    started = cell.State(*(part.index_select(0, rows) for part in state))
    data, final = _call(cell, weights, started, packed.data, packed.batch_sizes)
    output, _ = pad_packed_sequence(
        PackedSequence(data, packed.batch_sizes, rows, packed.unsorted_indices),
        batch_first=True,
        total_length=x_BTD.shape[1],
    )
    final = cell.State(*(part.index_select(0, packed.unsorted_indices) for part in final))
    empty = (lengths == 0).unsqueeze(1)
    final = cell.State(*(torch.where(empty, s, f) for s, f in zip(state, final, strict=True)))
    back = order.argsort(1).unsqueeze(-1).expand_as(output)
    return output.gather(1, back).masked_fill(~mask.unsqueeze(-1), 0.0), final


def running_order(mask: Tensor, *, reverse: bool) -> Tensor:
    """``[B, T]`` time indices: each row's real steps in running order, then the masked ones."""
    steps = mask.shape[1]
    times = torch.arange(steps, device=mask.device)
    rank = times.flip(0) if reverse else times
    return torch.where(mask, rank, rank + steps).argsort(1)


def _call(
    cell: GatedCell, weights: list[Tensor], state: State, data: Tensor, sizes: Tensor | None
) -> tuple[Tensor, State]:
    """One call of torch's kernel: one layer, one direction, dropout none."""
    kernel = cast("str", cell.vendor_kernel().name)
    function: Any = getattr(torch, kernel)
    hidden: Any = tuple(part.to(data.dtype).unsqueeze(0).contiguous() for part in state)
    if kernel != "lstm":
        hidden = hidden[0]
    tail = (cell.bias is not None, 1, 0.0, cell.training, False)
    with warnings.catch_warnings():
        # cuDNN copies weights that do not lie in one piece; ours are separate parameters
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single")
        if sizes is None:
            batch_first = True
            output, *final = function(data, hidden, weights, *tail, batch_first)
        else:
            output, *final = function(data, sizes, hidden, weights, *tail)
    return output, cell.State(*(part.squeeze(0) for part in final))
