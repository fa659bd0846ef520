"""The weights of a gated cell: which there are, how they start, what they cost, where they stay.

Initializers, regularizers and constraints see them as Keras does: kernels are the transposes of
torch's, ``[D, G*H]`` and ``[H, G*H]``, and two biases are one ``[2, G*H]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.errors import OptionError
from seqlab.options.resolve import resolve_initializer


def make_weights(cell: Any) -> None:
    """Give a gated cell its parameters, not yet drawn; see ``GatedCell``.

    Raises:
        OptionError: a declared vector has a name that the cell uses for something else.
    """
    rows = len(cell.gates) * cell.hidden_size
    has_second = cell.use_bias and cell.recurrent_bias_gates
    cell.weight_ih = _parameter(rows, cell.input_size)
    cell.weight_hh = _parameter(rows, cell.recurrent_size)
    cell.bias = _parameter(rows) if cell.use_bias else None
    cell.recurrent_bias = _parameter(rows) if has_second else None
    cell.norm_ih = _parameter(rows) if cell.layer_norm else None
    cell.norm_hh = _parameter(rows) if cell.layer_norm else None
    projects = cell.proj_size is not None
    cell.weight_hr = _parameter(cell.proj_size, cell.hidden_size) if projects else None
    for name in cell.vectors:
        if hasattr(cell, name):
            raise OptionError(f"{type(cell).__name__}.vectors: the name {name!r} is taken")
        cell.register_parameter(name, _parameter(cell.hidden_size))


def _parameter(*sizes: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(*sizes))


def draw_weights(cell: Any) -> None:
    """Fill all parameters of a gated cell with its initializers, in the order of declaration."""
    _fill(cell.kernel_initializer, cell.weight_ih)
    _fill(cell.recurrent_initializer, cell.weight_hh)
    if cell.weight_hr is not None:
        _fill(cell.kernel_initializer, cell.weight_hr)
    for name, initializer in cell.vectors.items():
        resolve_initializer(name, initializer)(getattr(cell, name))
    if cell.bias is not None:
        _draw_biases(cell)
    for gain in (cell.norm_ih, cell.norm_hh):
        if gain is not None:
            gain.fill_(1.0)


def _fill(initializer: Callable[[Tensor], None], weight: Tensor) -> None:
    kernel = torch.empty_like(weight.T, memory_format=torch.contiguous_format)
    initializer(kernel)
    weight.copy_(kernel.T)


def _draw_biases(cell: Any) -> None:
    """Fill the biases in the pieces in which Keras draws them."""
    if cell.recurrent_bias is not None:
        both = torch.empty_like(torch.stack([cell.bias, cell.recurrent_bias]))
        cell.bias_initializer(both)
        cell.bias.copy_(both[0])
        cell.recurrent_bias.copy_(both[1])
    elif cell.unit_forget_bias:
        start = cell.gates.index("forget") * cell.hidden_size
        for piece in (cell.bias[:start], cell.bias[start + cell.hidden_size :]):
            if len(piece):
                cell.bias_initializer(piece)
    else:
        cell.bias_initializer(cell.bias)
    if cell.unit_forget_bias:
        cell.gate_rows(cell.bias, "forget").fill_(1.0)


def penalties(cell: Any) -> Tensor:
    """The sum of what the regularizers of a gated cell's weights ask for: a scalar."""
    total: Tensor = cell.weight_ih.new_zeros(())
    for part, parameters in _parts(cell):
        regularizer = getattr(cell, f"{part}_regularizer")
        if regularizer is not None:
            total = total + regularizer(_seen(part, parameters))
    return total


def keep_constraints(cell: Any) -> None:
    """Replace each constrained parameter of a gated cell by its projection, in place."""
    for part, parameters in _parts(cell):
        constraint = getattr(cell, f"{part}_constraint")
        if constraint is None:
            continue
        allowed = constraint(_seen(part, parameters))
        if part != "bias":
            allowed = allowed.T
        for parameter, value in zip(
            parameters, allowed if len(parameters) > 1 else [allowed], strict=True
        ):
            parameter.copy_(value)


def _parts(cell: Any) -> Iterator[tuple[str, list[Tensor]]]:
    """The kinds of weights that have a regularizer and a constraint, with their parameters."""
    yield "kernel", [cell.weight_ih]
    yield "recurrent", [cell.weight_hh]
    if cell.bias is not None:
        both = (cell.bias, cell.recurrent_bias)
        yield "bias", [bias for bias in both if bias is not None]


def _seen(part: str, parameters: list[Tensor]) -> Tensor:
    """The parameters of a kind as Keras sees them."""
    if len(parameters) > 1:
        return torch.stack(parameters)
    return parameters[0] if part == "bias" else parameters[0].T
