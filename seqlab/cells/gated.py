"""The base of almost every recurrent net: a recurrent matrix and elementwise equations.

An author writes ``gates``, ``State`` and ``update``; this class owns the weights and every option.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections import namedtuple
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.cells.base import Cell, state_fields
from seqlab.cells.noise import Noise, dropout_mask
from seqlab.errors import OptionError
from seqlab.options.resolve import (
    check_flag,
    check_fraction,
    resolve_activation,
    resolve_initializer,
    resolve_object,
)
from seqlab.types import State as StateTree


@functools.cache
def gate_tuple(names: tuple[str, ...]) -> Any:
    """A named tuple type with one field per gate."""
    return namedtuple("Gates", names)  # noqa: PYI024  # the fields are known at run time only


class GatedCell(Cell):
    """A cell whose step is one recurrent matrix product and elementwise equations.

    With ``x = W_ih x_t + b`` (all times at once) and ``h = W_hh h_{t-1} (+ b_h)``, both split into
    the named gates, a subclass computes the next state from ``x.<gate>``, ``h.<gate>`` and the
    state. A gate in ``second_gates`` multiplies ``second_input(x, h, state)`` instead of
    ``h_{t-1}``, as the candidate of a GRU with ``reset_after=False`` does.

    Class attributes:
        gates: the gates in the order of the weight rows, those of ``second_gates`` last.
        State: a NamedTuple; its first field is what the recurrent matrix multiplies.
        second_gates: gates of the second recurrent product; none for most cells.
        recurrent_bias_gates: True gives the recurrent product a bias of its own.
        default_unit_forget_bias: the default of ``unit_forget_bias``.

    Parameters: ``weight_ih [G*H, D]``, ``weight_hh [G*H, H]``, ``bias [G*H]``, and
    ``recurrent_bias [G*H]`` where the cell asks for one.

    Args:
        input_size: D.
        hidden_size: H.
        activation: the candidate's (and output's) function, by name or as a function.
        recurrent_activation: the gates' function.
        use_bias: whether there are biases.
        kernel_initializer: fills the input matrix, seen as Keras does: ``[D, G*H]``.
        recurrent_initializer: fills the recurrent matrix, ``[H, G*H]``.
        bias_initializer: fills the biases.
        unit_forget_bias: whether the forget gate's bias starts at 1 (Jozefowicz et al., 2015).
        kernel_regularizer: penalty of the input matrix.
        recurrent_regularizer: penalty of the recurrent matrix.
        bias_regularizer: penalty of the biases.
        activity_regularizer: penalty of the layer's output, divided by the batch size.
        kernel_constraint: applied to the input matrix after each optimiser step.
        recurrent_constraint: applied to the recurrent matrix after each optimiser step.
        bias_constraint: applied to the biases after each optimiser step.
        dropout: rate on the input; one mask for all steps of a sequence.
        recurrent_dropout: rate on what the recurrent matrix multiplies; one mask for all steps
            of a sequence (Gal and Ghahramani, 2016).
        layer_norm: normalise both matrix products (Ba et al., 2016), each with its own gain.
        zoneout: probability that a unit keeps its old state (Krueger et al., 2017): a number,
            or one per state field; its expectation is used outside training.
        weight_dropout: rate on the recurrent matrix, one mask a sequence (Merity et al., 2018).

    Raises:
        OptionError: an option has a wrong type or value; the message names it.
    """

    gates: ClassVar[tuple[str, ...]] = ()
    second_gates: tuple[str, ...] = ()
    recurrent_bias_gates: bool = False
    default_unit_forget_bias: ClassVar[bool] = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
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
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        layer_norm: bool = False,
        zoneout: float | Mapping[str, float] = 0.0,
        weight_dropout: float = 0.0,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self._check_declaration()
        self.activation = resolve_activation("activation", activation)
        self.recurrent_activation = resolve_activation("recurrent_activation", recurrent_activation)
        self.activation_spec, self.recurrent_activation_spec = activation, recurrent_activation
        self.use_bias = check_flag("use_bias", use_bias)
        self.kernel_initializer = resolve_initializer("kernel_initializer", kernel_initializer)
        self.recurrent_initializer = resolve_initializer(
            "recurrent_initializer", recurrent_initializer
        )
        self.bias_initializer = resolve_initializer("bias_initializer", bias_initializer)
        self.unit_forget_bias = self._check_forget_bias(unit_forget_bias)
        self.kernel_regularizer = resolve_object(
            "regularizer", "kernel_regularizer", kernel_regularizer
        )
        self.recurrent_regularizer = resolve_object(
            "regularizer", "recurrent_regularizer", recurrent_regularizer
        )
        self.bias_regularizer = resolve_object("regularizer", "bias_regularizer", bias_regularizer)
        self.activity_regularizer = resolve_object(
            "regularizer", "activity_regularizer", activity_regularizer
        )
        self.kernel_constraint = resolve_object(
            "constraint", "kernel_constraint", kernel_constraint
        )
        self.recurrent_constraint = resolve_object(
            "constraint", "recurrent_constraint", recurrent_constraint
        )
        self.bias_constraint = resolve_object("constraint", "bias_constraint", bias_constraint)
        self.dropout = check_fraction("dropout", dropout)
        self.recurrent_dropout = check_fraction("recurrent_dropout", recurrent_dropout)
        self.weight_dropout = check_fraction("weight_dropout", weight_dropout)
        self.layer_norm = check_flag("layer_norm", layer_norm)
        self.zoneout = self._check_zoneout(zoneout)
        self._make_parameters()
        self.reset_parameters()

    # -- what an author writes ---------------------------------------------------------------

    @abstractmethod
    def update(self, x: Any, h: Any, state: Any) -> tuple[Tensor, Any]:
        """The equations: elementwise, pure, without parameters but declared elementwise ones.

        Args:
            x: a named tuple of the gates' input parts, each ``[B, H]``.
            h: a named tuple of the gates' recurrent parts, each ``[B, H]``.
            state: the ``State`` before the step.

        Returns:
            The output ``[B, output_size]`` and the next ``State``.
        """

    def second_input(self, x: Any, h: Any, state: Any) -> Tensor:
        """What the second recurrent product multiplies, ``[B, H]``; elementwise and pure.

        ``h`` holds the gates of the first product only.
        """
        raise NotImplementedError(f"{type(self).__name__} has second_gates but no second_input")

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
        self._gate_type = gate_tuple(self.gates)
        self._first_type = gate_tuple(self.gates[:split])

    def _check_forget_bias(self, value: bool | None) -> bool:
        if value is None:
            return self.default_unit_forget_bias
        if check_flag("unit_forget_bias", value) and "forget" not in self.gates:
            raise OptionError(f"unit_forget_bias: {type(self).__name__} has no forget gate")
        return value

    def _check_zoneout(self, value: float | Mapping[str, float]) -> tuple[float, ...]:
        fields = state_fields(self.State)
        if not isinstance(value, Mapping):
            return (check_fraction("zoneout", value),) * len(fields)
        unknown = set(value) - set(fields)
        if unknown:
            raise OptionError(
                f"zoneout: no state field {', '.join(sorted(unknown))}; fields: {', '.join(fields)}"
            )
        return tuple(check_fraction(f"zoneout.{f}", value.get(f, 0.0)) for f in fields)

    def _make_parameters(self) -> None:
        rows = len(self.gates) * self.hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, self.input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, self.state_sizes[0]))
        has_second = self.use_bias and self.recurrent_bias_gates
        self.bias = nn.Parameter(torch.empty(rows)) if self.use_bias else None
        self.recurrent_bias = nn.Parameter(torch.empty(rows)) if has_second else None
        self.norm_ih = nn.Parameter(torch.empty(rows)) if self.layer_norm else None
        self.norm_hh = nn.Parameter(torch.empty(rows)) if self.layer_norm else None

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all parameters anew with the initializers, in the order of declaration."""
        self._fill(self.kernel_initializer, self.weight_ih)
        self._fill(self.recurrent_initializer, self.weight_hh)
        if self.bias is not None:
            self.bias_initializer(self.bias)
            if self.unit_forget_bias:
                start = self.gates.index("forget") * self.hidden_size
                self.bias[start : start + self.hidden_size] = 1.0
        if self.recurrent_bias is not None:
            self.bias_initializer(self.recurrent_bias)
        for gain in (self.norm_ih, self.norm_hh):
            if gain is not None:
                gain.fill_(1.0)

    @staticmethod
    def _fill(initializer: Any, weight: Tensor) -> None:
        kernel = torch.empty_like(weight.T, memory_format=torch.contiguous_format)
        initializer(kernel)
        weight.copy_(kernel.T)

    # -- running -----------------------------------------------------------------------------

    @property
    def first_rows(self) -> int:
        """The number of weight rows of the first recurrent product."""
        return (len(self.gates) - len(self.second_gates)) * self.hidden_size

    def sample_noise(
        self, batch_size: int, steps: int, *, device: torch.device, dtype: torch.dtype
    ) -> Noise | None:
        """The masks of one sequence: input, recurrent, recurrent matrix, zoneout."""
        if not self.training:
            return None
        rates = (self.dropout, self.recurrent_dropout, self.weight_dropout, *self.zoneout)
        if not any(rates):
            return None
        like = torch.empty(0, device=device, dtype=dtype)
        widths = self.state_sizes
        keep = tuple(
            dropout_mask(like, (steps, batch_size, width), rate, scale=False) if rate else None
            for width, rate in zip(widths, self.zoneout, strict=True)
        )
        return Noise(
            dropout_mask(like, (batch_size, 1, self.input_size), self.dropout),
            dropout_mask(like, (batch_size, widths[0]), self.recurrent_dropout),
            dropout_mask(self.weight_hh.detach(), self.weight_hh.shape, self.weight_dropout),
            keep if any(rate for rate in self.zoneout) else None,
        )

    def project(self, x_BTD: Tensor, noise: Noise | None = None) -> Tensor:
        """``W_ih x + b`` for all times in one matrix product: ``[B, T, G*H]``."""
        if noise is not None and noise.input_mask is not None:
            x_BTD = x_BTD * noise.input_mask
        if self.norm_ih is None:
            return F.linear(x_BTD, self.weight_ih, self.bias)
        return self._normalise(F.linear(x_BTD, self.weight_ih), self.norm_ih, self.bias)

    def step(
        self, projected_t: Tensor, state: StateTree, noise: Noise | None = None
    ) -> tuple[Tensor, StateTree]:
        """One step; ``projected_t`` is ``[B, G*H]``. Without noise it is deterministic."""
        x = self._gate_type(*projected_t.chunk(len(self.gates), -1))
        hidden, mask = state[0], None
        weight: Tensor = self.weight_hh
        if noise is not None:
            mask = noise.recurrent_mask
            weight = weight if noise.weight_mask is None else weight * noise.weight_mask
        first = self.first_rows
        if not self.second_gates:
            h = self._gate_type(*self._product(hidden, weight, mask, 0, first))
        else:
            h = self._first_type(*self._product(hidden, weight, mask, 0, first))
            second = self.second_input(x, h, state)
            rest = self._product(second, weight, mask, first, weight.shape[0])
            h = self._gate_type(*h, *rest)
        output, new = self.update(x, h, state)
        return self._zone_out(output, new, state, noise)

    def _product(
        self, vector: Tensor, weight: Tensor, mask: Tensor | None, start: int, stop: int
    ) -> tuple[Tensor, ...]:
        """The gates' parts of one recurrent product, from the weight rows start to stop."""
        if mask is not None:
            vector = vector * mask
        bias = None if self.recurrent_bias is None else self.recurrent_bias[start:stop]
        if self.norm_hh is None:
            product = F.linear(vector, weight[start:stop], bias)
        else:
            product = F.linear(vector, weight[start:stop])
            product = self._normalise(product, self.norm_hh[start:stop], bias)
        return product.chunk((stop - start) // self.hidden_size, -1)

    @staticmethod
    def _normalise(value: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
        return F.layer_norm(value, (value.shape[-1],), gain, bias)

    def _zone_out(
        self, output: Tensor, new: Any, old: Any, noise: Noise | None
    ) -> tuple[Tensor, Any]:
        if not any(self.zoneout):
            return output, new
        mixed = []
        for index, rate in enumerate(self.zoneout):
            keep = None if noise is None or noise.zoneout is None else noise.zoneout[index]
            # noise.zoneout holds 1 where the new value is taken; its mean is 1 - rate
            take: Tensor | float = keep if keep is not None else 1.0 - rate
            mixed.append(old[index] + take * (new[index] - old[index]) if rate else new[index])
        shown = next((m for m, n in zip(mixed, new, strict=True) if n is output), output)
        return shown, self.State(*mixed)

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

    def extra_repr(self) -> str:
        """Sizes, for ``print(cell)``."""
        return f"{self.input_size}, {self.hidden_size}"
