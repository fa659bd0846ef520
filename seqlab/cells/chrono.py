"""Chrono initialisation: biases for a given time scale, for any cell whose gates keep a memory.

Tallec and Ollivier, "Can recurrent neural networks warp time?" (2018). The paper gives the biases
of LSTM (forget ``log u``, input ``-log u``); here the gates are told apart by what they do to the
memory, the last field of the state: if the memory's derivative by its old value grows with the
gate, the gate keeps; if it falls, the gate overwrites.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqlab.cells.base import next_state
from seqlab.errors import OptionError
from seqlab.registry import spoken

#: Which way the bias of a gate goes by its name, where the memory's derivative does not tell.
BY_NAME = {"input": -1.0}


def check_chrono(value: Any, *, use_bias: bool, forget_bias: bool | None) -> None:
    """Refuse ``chrono`` where it contradicts the cell's other options.

    Raises:
        OptionError: the message names both options.
    """
    if value is None:
        return
    if not use_bias:
        raise OptionError("chrono sets biases, so it contradicts use_bias=False")
    if forget_bias:
        raise OptionError("chrono contradicts unit_forget_bias=True: both set one bias")


def memory_gates(cell: Any) -> dict[str, float]:
    """The gates that govern a gated cell's memory: 1 for keeping it, -1 for overwriting it.

    >>> from seqlab.cells.gru import GRUCell
    >>> memory_gates(GRUCell(2, 3))
    {'update': 1.0}
    """
    found: dict[str, float] = {}
    for gate in cell.input_gates:
        change = _slope(cell, gate, 1.0) - _slope(cell, gate, -1.0)
        if abs(change) > 1e-4:
            found[gate] = 1.0 if change > 0 else -1.0
    named = {g: sign for g, sign in BY_NAME.items() if g in cell.input_gates and g not in found}
    return {**found, **named} if found else {}


def _slope(cell: Any, gate: str, value: float) -> float:
    """The mean derivative of the new memory by the old one, with one gate's input at a value."""
    like: Tensor = cell.weight_ih
    names = (*cell.input_gates, *cell.raw)
    x = {name: like.new_zeros(1, cell.hidden_size) for name in names}
    x[gate] = x[gate] + value
    h = {name: like.new_zeros(1, cell.hidden_size) for name in cell.recurrent_gates}
    with torch.enable_grad():
        state = cell.State(
            *(like.new_full((1, n), 0.5, requires_grad=True) for n in cell.state_sizes)
        )
        made = cell.update(cell.input_type(**x), cell.recurrent_type(**h), state)
        _, new = next_state(cell, made, state)
        memory = new[-1]
        if not memory.requires_grad:
            return 0.0
        (slope,) = torch.autograd.grad(memory.sum(), state[-1], allow_unused=True)
    return 0.0 if slope is None else float(slope.mean())


@torch.no_grad()
def reset_chrono(cell: Any, bias: Tensor, longest: int) -> None:
    """Set the biases of the memory's gates for dependences of up to ``longest`` steps.

    Raises:
        OptionError: no gate of the cell keeps its memory.
    """
    gates = memory_gates(cell)
    if not gates:
        raise OptionError(f"chrono: {spoken('cell', cell)} has no gate that keeps its memory")
    start = bias.new_empty(cell.hidden_size).uniform_(1.0, max(1.0, longest - 1.0)).log_()
    for gate, sign in gates.items():
        cell.gate_rows(bias, gate).copy_(sign * start)
        if cell.recurrent_bias is not None and gate in cell.recurrent_gates:
            cell.gate_rows(cell.recurrent_bias, gate).zero_()
