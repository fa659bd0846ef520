"""The weights of a gated cell: which there are, how they start, what they cost, where they stay.

Initializers, regularizers and constraints see them as Keras does: kernels are the transposes of
torch's, ``[D, G*H]`` and ``[H, G*H]``, and two biases of as many gates are one ``[2, G*H]``.
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
        OptionError: a declared vector or scalar has a name that the cell uses for something else.
    """
    size = cell.hidden_size
    rows, recurrent = len(cell.input_gates) * size, len(cell.recurrent_gates) * size
    has_second = cell.use_bias and cell.recurrent_bias_gates and recurrent
    cell.weight_ih = _parameter(rows, cell.kernel_size)
    cell.weight_hh = _parameter(recurrent, cell.recurrent_size // cell.heads) if recurrent else None
    cell.bias = _parameter(rows) if cell.use_bias else None
    cell.recurrent_bias = _parameter(recurrent) if has_second else None
    cell.norm_ih = _parameter(rows) if cell.layer_norm else None
    cell.norm_hh = _parameter(recurrent) if cell.layer_norm and recurrent else None
    projects = cell.proj_size is not None
    cell.weight_hr = _parameter(cell.proj_size, size) if projects else None
    for kind, width in (("vectors", size), ("scalars", 1)):
        for name in getattr(cell, kind):
            if hasattr(cell, name):
                raise OptionError(f"{type(cell).__name__}.{kind}: the name {name!r} is taken")
            cell.register_parameter(name, _parameter(width))


def _parameter(*sizes: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(*sizes))


def draw_weights(cell: Any) -> None:
    """Fill all parameters of a gated cell with its initializers, in the order of declaration."""
    _fill(cell.kernel_initializer, cell.weight_ih)
    if cell.weight_hh is not None:
        _fill(cell.recurrent_initializer, cell.weight_hh)
    if cell.weight_hr is not None:
        _fill(cell.kernel_initializer, cell.weight_hr)
    for name, initializer in cell.vectors.items():
        resolve_initializer(name, initializer)(getattr(cell, name))
    for name, value in cell.scalars.items():
        getattr(cell, name).fill_(value)
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
    if cell.recurrent_bias is not None and cell.recurrent_bias.shape != cell.bias.shape:
        cell.bias_initializer(cell.bias)
        cell.bias_initializer(cell.recurrent_bias)
    elif cell.recurrent_bias is not None:
        both = torch.empty_like(torch.stack([cell.bias, cell.recurrent_bias]))
        cell.bias_initializer(both)
        cell.bias.copy_(both[0])
        cell.recurrent_bias.copy_(both[1])
    elif cell.unit_forget_bias:
        start = cell.input_gates.index("forget") * cell.hidden_size
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
    """Replace each constrained parameter of a gated cell by its projection, in place.

    Frozen ones stay as they are to the bit: rounding would move them a little each time.
    """
    for part, parameters in _parts(cell):
        constraint = getattr(cell, f"{part}_constraint")
        if constraint is None or not any(parameter.requires_grad for parameter in parameters):
            continue
        allowed = constraint(_seen(part, parameters))
        if part != "bias":
            allowed = allowed.T
        for parameter, value in zip(
            parameters, allowed if len(parameters) > 1 else [allowed], strict=True
        ):
            if parameter.requires_grad:
                parameter.copy_(value)


def _parts(cell: Any) -> Iterator[tuple[str, list[Tensor]]]:
    """The kinds of weights that have a regularizer and a constraint, with their parameters."""
    yield "kernel", [cell.weight_ih]
    if cell.weight_hh is not None:
        yield "recurrent", [cell.weight_hh]
    biases = [bias for bias in (cell.bias, cell.recurrent_bias) if bias is not None]
    if len({bias.shape for bias in biases}) == 1:
        yield "bias", biases
    else:
        yield from (("bias", [bias]) for bias in biases)


def _seen(part: str, parameters: list[Tensor]) -> Tensor:
    """The parameters of a kind as Keras sees them."""
    if len(parameters) > 1:
        return torch.stack(parameters)
    return parameters[0] if part == "bias" else parameters[0].T
