"""Keras's three recurrences written out on arrays in Keras's layout: what a conversion must equal.

Plain loops over steps, without any of seqlab's layers, so that a swapped gate or a transposed
matrix shows as a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from seqlab.options.resolve import resolve_activation


def reference_outputs(
    kind: str, weights: Sequence[Tensor], options: Mapping[str, Any], x_BTD: Tensor
) -> Tensor:
    """The outputs of all steps, ``[B, T, units]``.

    Args:
        kind: ``SimpleRNN``, ``LSTM`` or ``GRU``.
        weights: kernel, recurrent kernel and, with ``use_bias``, bias.
        options: ``activation``, ``recurrent_activation``, ``reset_after`` as seqlab names them.
        x_BTD: the input.
    """
    activation = resolve_activation("activation", options.get("activation", "tanh"))
    gate = resolve_activation("gate", options.get("recurrent_activation", "sigmoid"))
    kernel, recurrent, *bias = weights
    hidden = x_BTD.new_zeros(x_BTD.shape[0], recurrent.shape[0])
    memory = hidden
    outputs = []
    for x in x_BTD.unbind(1):
        if kind == "GRU":
            hidden = _gru(x, hidden, kernel, recurrent, bias, gate, activation, options)
        else:
            z = x @ kernel + hidden @ recurrent + (bias[0] if bias else 0)
            if kind == "SimpleRNN":
                hidden = activation(z)
            else:
                i, f, c, o = z.tensor_split(4, 1)
                memory = gate(f) * memory + gate(i) * activation(c)
                hidden = gate(o) * activation(memory)
        outputs.append(hidden)
    return torch.stack(outputs, 1)


def _gru(  # noqa: PLR0917  # the symbols of one equation
    x: Tensor,
    hidden: Tensor,
    kernel: Tensor,
    recurrent: Tensor,
    bias: Sequence[Tensor],
    gate: Any,
    activation: Any,
    options: Mapping[str, Any],
) -> Tensor:
    units = recurrent.shape[0]
    reset_after = options.get("reset_after", True)
    first = bias[0] if bias else kernel.new_zeros(3 * units)
    second = kernel.new_zeros(3 * units)
    if reset_after and bias:
        first, second = bias[0][0], bias[0][1]
    xz, xr, xh = (x @ kernel + first).tensor_split(3, 1)
    hz, hr, hh = (hidden @ recurrent + second).tensor_split(3, 1)
    z, r = gate(xz + hz), gate(xr + hr)
    inner = r * hh if reset_after else (r * hidden) @ recurrent[:, 2 * units :]
    new: Tensor = z * hidden + (1 - z) * activation(xh + inner)
    return new
