"""The parameters of a gated cell: how they start, what they cost, where they are kept."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from seqlab.cells.base import Cell, positive_int, state_fields
from seqlab.errors import OptionError
from seqlab.options.resolve import check_flag, resolve_initializer, resolve_object


@functools.cache
def gate_tuple(names: tuple[str, ...]) -> Any:
    """A named tuple type with one field per gate."""
    return namedtuple("Gates", names)  # noqa: PYI024  # the fields are known at run time only


class GatedWeights(Cell):
    """Owns what ``GatedCell`` describes: matrices, biases, gains and declared vectors."""

    gates: tuple[str, ...] = ()
    second_gates: tuple[str, ...] = ()
    recurrent_bias_gates: bool = False
    default_unit_forget_bias: bool = False
    vectors: Mapping[str, Any] = {}
    projects_state: ClassVar[bool] = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool | None = None,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        layer_norm: bool = False,
        chrono: int | None = None,
        proj_size: int | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self._check_declaration()
        self.use_bias = check_flag("use_bias", use_bias)
        self.kernel_initializer = resolve_initializer("kernel_initializer", kernel_initializer)
        self.recurrent_initializer = resolve_initializer(
            "recurrent_initializer", recurrent_initializer
        )
        self.bias_initializer = resolve_initializer("bias_initializer", bias_initializer)
        self.kernel_regularizer = _regularizer("kernel", kernel_regularizer)
        self.recurrent_regularizer = _regularizer("recurrent", recurrent_regularizer)
        self.bias_regularizer = _regularizer("bias", bias_regularizer)
        self.activity_regularizer = _regularizer("activity", activity_regularizer)
        self.kernel_constraint = _constraint("kernel", kernel_constraint)
        self.recurrent_constraint = _constraint("recurrent", recurrent_constraint)
        self.bias_constraint = _constraint("bias", bias_constraint)
        self.layer_norm = check_flag("layer_norm", layer_norm)
        self.proj_size = None if proj_size is None else positive_int("proj_size", proj_size)
        self.chrono = self._check_chrono(chrono, unit_forget_bias)
        self.unit_forget_bias = self._check_forget_bias(unit_forget_bias)
        self._make_parameters()

    # -- construction ------------------------------------------------------------------------

    def _check_declaration(self) -> None:
        owner = type(self).__name__
        if not self.gates or len(set(self.gates)) != len(self.gates):
            raise OptionError(f"{owner}.gates must name at least one gate, each once")
        split = len(self.gates) - len(self.second_gates)
        if self.gates[split:] != tuple(self.second_gates):
            raise OptionError(f"{owner}.second_gates must be the last of gates {self.gates}")
        if not state_fields(self.State):
            raise OptionError(f"{owner}.State must be a NamedTuple of tensors")
        self._gate_type = gate_tuple(tuple(self.gates))
        self._first_type = gate_tuple(tuple(self.gates[:split]))

    def _check_chrono(self, value: int | None, unit_forget_bias: bool | None) -> int | None:
        if value is None:
            return None
        if type(value) is not int or value < 2:
            raise OptionError(f"chrono must be an int of at least 2 (time steps), got {value!r}")
        if not self.use_bias:
            raise OptionError("chrono sets biases, so it contradicts use_bias=False")
        if unit_forget_bias:
            raise OptionError("chrono contradicts unit_forget_bias=True: both set one bias")
        return value

    def _check_forget_bias(self, value: bool | None) -> bool:
        if value is None:
            return self.default_unit_forget_bias and self.chrono is None
        if check_flag("unit_forget_bias", value) and "forget" not in self.gates:
            raise OptionError(f"unit_forget_bias: {type(self).__name__} has no forget gate")
        return value

    @property
    def output_size(self) -> int:
        """H, or ``proj_size``."""
        return self.hidden_size if self.proj_size is None else self.proj_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """H for each field of ``State``; ``proj_size`` for the first where it is projected."""
        sizes = super().state_sizes
        return (self.output_size, *sizes[1:]) if self.projects_state else sizes

    @property
    def recurrent_size(self) -> int:
        """The width of what the recurrent matrix multiplies."""
        return self.state_sizes[0] if self.proj_size is None else self.proj_size

    def _make_parameters(self) -> None:
        rows = len(self.gates) * self.hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, self.input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, self.recurrent_size))
        has_second = self.use_bias and self.recurrent_bias_gates
        self.bias = nn.Parameter(torch.empty(rows)) if self.use_bias else None
        self.recurrent_bias = nn.Parameter(torch.empty(rows)) if has_second else None
        self.norm_ih = nn.Parameter(torch.empty(rows)) if self.layer_norm else None
        self.norm_hh = nn.Parameter(torch.empty(rows)) if self.layer_norm else None
        self.weight_hr = (
            None
            if self.proj_size is None
            else nn.Parameter(torch.empty(self.proj_size, self.hidden_size))
        )
        for name in self.vectors:
            if hasattr(self, name):
                raise OptionError(f"{type(self).__name__}.vectors: the name {name!r} is taken")
            self.register_parameter(name, nn.Parameter(torch.empty(self.hidden_size)))

    # -- starting values ---------------------------------------------------------------------

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all parameters anew with the initializers, in the order of declaration."""
        self._fill(self.kernel_initializer, self.weight_ih)
        self._fill(self.recurrent_initializer, self.weight_hh)
        if self.weight_hr is not None:
            self._fill(self.kernel_initializer, self.weight_hr)
        for name, initializer in self.vectors.items():
            resolve_initializer(name, initializer)(getattr(self, name))
        self._reset_biases()
        for gain in (self.norm_ih, self.norm_hh):
            if gain is not None:
                gain.fill_(1.0)

    @staticmethod
    def _fill(initializer: Any, weight: Tensor) -> None:
        kernel = torch.empty_like(weight.T, memory_format=torch.contiguous_format)
        initializer(kernel)
        weight.copy_(kernel.T)

    def _reset_biases(self) -> None:
        """Fill the biases in the pieces in which Keras draws them."""
        if self.bias is None:
            return
        if self.recurrent_bias is not None:
            both = torch.empty_like(torch.stack([self.bias, self.recurrent_bias]))
            self.bias_initializer(both)
            self.bias.copy_(both[0])
            self.recurrent_bias.copy_(both[1])
        elif self.unit_forget_bias:
            start = self.gates.index("forget") * self.hidden_size
            for piece in (self.bias[:start], self.bias[start + self.hidden_size :]):
                if len(piece):
                    self.bias_initializer(piece)
        else:
            self.bias_initializer(self.bias)
        if self.unit_forget_bias:
            self.gate_rows(self.bias, "forget").fill_(1.0)

    def gate_rows(self, parameter: Tensor, gate: str) -> Tensor:
        """The rows of a ``[G*H, ...]`` parameter that belong to a gate, as a view."""
        start = self.gates.index(gate) * self.hidden_size
        return parameter[start : start + self.hidden_size]

    # -- penalties and constraints -----------------------------------------------------------

    def _bias_matrix(self) -> Tensor | None:
        """The biases as Keras sees them: ``[G*H]``, or ``[2, G*H]`` with a recurrent bias."""
        if self.bias is None or self.recurrent_bias is None:
            return self.bias
        return torch.stack([self.bias, self.recurrent_bias])

    def regularization_loss(self) -> Tensor:
        """The sum of the weight penalties, a scalar; matrices are seen as Keras sees them."""
        total = self.weight_ih.new_zeros(())
        if self.kernel_regularizer is not None:
            total = total + self.kernel_regularizer(self.weight_ih.T)
        if self.recurrent_regularizer is not None:
            total = total + self.recurrent_regularizer(self.weight_hh.T)
        biases = self._bias_matrix()
        if self.bias_regularizer is not None and biases is not None:
            total = total + self.bias_regularizer(biases)
        return total

    @torch.no_grad()
    def apply_constraints(self) -> None:
        """Replace each constrained parameter by its projection, seen as Keras sees it."""
        if self.kernel_constraint is not None:
            self.weight_ih.copy_(self.kernel_constraint(self.weight_ih.T).T)
        if self.recurrent_constraint is not None:
            self.weight_hh.copy_(self.recurrent_constraint(self.weight_hh.T).T)
        biases = self._bias_matrix()
        if self.bias_constraint is not None and biases is not None and self.bias is not None:
            allowed = self.bias_constraint(biases)
            if self.recurrent_bias is None:
                self.bias.copy_(allowed)
            else:
                self.bias.copy_(allowed[0])
                self.recurrent_bias.copy_(allowed[1])


def _regularizer(part: str, spec: Any) -> Any:
    return resolve_object("regularizer", f"{part}_regularizer", spec)


def _constraint(part: str, spec: Any) -> Any:
    return resolve_object("constraint", f"{part}_constraint", spec)
