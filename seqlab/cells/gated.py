"""The base of almost every recurrent net: a recurrent matrix and elementwise equations.

An author writes ``gates``, ``State`` and ``update``; this class owns the weights and every option.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.cells.base import Cell, map_state, next_state, state_fields
from seqlab.cells.chrono import check_chrono, reset_chrono
from seqlab.cells.declaration import check_declaration, gate_tuple
from seqlab.cells.noise import Noise, draw_noise
from seqlab.cells.products import input_product, recurrent_product
from seqlab.cells.weights import draw_weights, keep_constraints, make_weights, penalties
from seqlab.cells.zoneout import zone_out, zoneout_rates
from seqlab.errors import OptionError
from seqlab.options.resolve import (
    plain_spec,
    resolve_activation,
    resolve_initializer,
    resolve_object,
)
from seqlab.schema import Count, Fraction, Range, checked
from seqlab.types import State as StateTree

#: The longest dependence that is expected.
Steps = Annotated[int, Range(least=2)]


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
        vectors: parameters ``[H]`` that ``update`` may use elementwise, as ``self.<name>``; a
            mapping from name to initializer.
        projects_state: True if the first state field serves the recurrent product alone, so that
            ``proj_size`` may narrow it.

    Parameters: ``weight_ih [G*H, D]``, ``weight_hh [G*H, H]``, ``bias [G*H]``,
    ``recurrent_bias [G*H]`` where the cell asks for one, the gains ``norm_ih`` and ``norm_hh
    [G*H]`` with ``layer_norm``, ``weight_hr [P, H]`` with ``proj_size`` (``weight_hh`` is then
    ``[G*H, P]``), and the declared vectors.

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
        untied_dropout: whether both kinds of dropout draw a mask for each gate, as Keras does
            with ``recurrent_dropout``, instead of one for all gates (the untied and tied variants
            of Gal and Ghahramani, 2016).
        layer_norm: normalise both matrix products (Ba et al., 2016), each with its own gain.
        zoneout: probability that a unit keeps its old state (Krueger et al., 2017): a number,
            or one per state field; its expectation is used outside training.
        weight_dropout: rate on the recurrent matrix, one mask a sequence (Merity et al., 2018).
        chrono: T, the longest dependence expected, in steps: the bias of a gate that keeps the
            memory starts at ``log u``, u uniform in [1, T - 1], that of a gate that overwrites
            it, or is called ``input``, at ``-log u`` (Tallec and Ollivier, 2018). Which gates
            those are is read off ``update``.
        proj_size: P; the output, and what the recurrent matrix multiplies, is ``W_hr h [B, P]``
            (Sak et al., 2014).

    Raises:
        OptionError: an option has a wrong type or value, or contradicts another; the message
            names it.
    """

    gates: tuple[str, ...] = ()
    second_gates: tuple[str, ...] = ()
    recurrent_bias_gates: bool = False
    default_unit_forget_bias: bool = False
    vectors: Mapping[str, Any] = {}
    projects_state: ClassVar[bool] = False
    made_in_setup = (
        "weight_ih", "weight_hh", "bias", "recurrent_bias", "norm_ih", "norm_hh", "weight_hr",
    )  # fmt: skip

    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias: nn.Parameter | None
    recurrent_bias: nn.Parameter | None
    norm_ih: nn.Parameter | None
    norm_hh: nn.Parameter | None
    weight_hr: nn.Parameter | None

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
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
        dropout: Fraction = 0.0,
        recurrent_dropout: Fraction = 0.0,
        untied_dropout: bool = False,
        layer_norm: bool = False,
        zoneout: Fraction | Mapping[str, Fraction] = 0.0,
        weight_dropout: Fraction = 0.0,
        chrono: Steps | None = None,
        proj_size: Count | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.activation = resolve_activation("activation", activation)
        self.activation_spec = plain_spec(activation)
        self.recurrent_activation = resolve_activation("recurrent_activation", recurrent_activation)
        self.recurrent_activation_spec = plain_spec(recurrent_activation)
        self.use_bias = use_bias
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
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        self.untied_dropout, self.layer_norm = untied_dropout, layer_norm
        self.weight_dropout, self.proj_size, self.chrono = weight_dropout, proj_size, chrono
        # what they may be, the declaration says, which is complete in setup
        self._zoneout_asked, self._forget_bias_asked = zoneout, unit_forget_bias
        self._is_set_up = False

    # -- construction ------------------------------------------------------------------------

    def setup(self) -> None:
        """Check the declaration and what depends on it, make the parameters and draw them."""
        check_declaration(self)
        self._make_types()
        self.zoneout = zoneout_rates(self._zoneout_asked, state_fields(self.State))
        check_chrono(self.chrono, use_bias=self.use_bias, forget_bias=self._forget_bias_asked)
        self.unit_forget_bias = self._check_forget_bias()
        super().setup()
        self._is_set_up = True
        self._set_time_scale()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._make_types()

    def _make_types(self) -> None:
        _ = self.gate_type, self.first_type

    def _check_forget_bias(self) -> bool:
        asked = self._forget_bias_asked
        if asked is None:
            return self.default_unit_forget_bias and self.chrono is None
        if asked and "forget" not in self.gates:
            raise OptionError(f"unit_forget_bias: {type(self).__name__} has no forget gate")
        return asked

    def make_parameters(self) -> None:
        """Matrices, biases, gains and the declared vectors; see the class."""
        make_weights(self)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all parameters anew with the initializers, in the order of declaration."""
        draw_weights(self)
        if self._is_set_up:
            self._set_time_scale()

    def _set_time_scale(self) -> None:
        # asks `update`, so a subclass's own parameters must be drawn first
        if self.chrono is not None and self.bias is not None:
            reset_chrono(self, self.bias, self.chrono)

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

    def gate_rows(self, parameter: Tensor, gate: str) -> Tensor:
        """The rows of a ``[G*H, ...]`` parameter that belong to a gate, as a view."""
        start = self.gates.index(gate) * self.hidden_size
        return parameter[start : start + self.hidden_size]

    def regularization_loss(self) -> Tensor:
        """The sum of the weight penalties, a scalar; matrices are seen as Keras sees them."""
        return penalties(self)

    @torch.no_grad()
    def apply_constraints(self) -> None:
        """Replace each constrained parameter by its projection, seen as Keras sees it."""
        keep_constraints(self)

    # -- what an author writes ---------------------------------------------------------------

    @abstractmethod
    def update(self, x: Any, h: Any, state: Any) -> tuple[Tensor, Any]:
        """The equations: elementwise, pure, with no parameters but the declared ``vectors``.

        Args:
            x: a named tuple of the gates' input parts, each ``[B, H]``.
            h: a named tuple of the gates' recurrent parts, each ``[B, H]``.
            state: the ``State`` before the step.

        Returns:
            The output ``[B, H]`` and the next ``State``.
        """

    def second_input(self, x: Any, h: Any, state: Any) -> Tensor:
        """What the second recurrent product multiplies, ``[B, H]``; elementwise and pure.

        ``h`` holds the gates of the first product only.
        """
        raise NotImplementedError(f"{type(self).__name__} has second_gates but no second_input")

    # -- running -----------------------------------------------------------------------------

    def sample_noise(
        self, batch_size: int, steps: int, *, device: torch.device, dtype: torch.dtype
    ) -> Noise | None:
        """The masks of one sequence: input, recurrent, recurrent matrix, zoneout."""
        if not self.training:
            return None
        return draw_noise(self, batch_size, steps, device=device, dtype=dtype)

    @property
    def gate_type(self) -> Any:
        """The named tuple of all gates; made at run time, so it is looked up and never kept."""
        return gate_tuple(tuple(self.gates))

    @property
    def first_type(self) -> Any:
        """The named tuple of the gates of the first product."""
        return gate_tuple(tuple(self.gates[: len(self.gates) - len(self.second_gates)]))

    @property
    def first_rows(self) -> int:
        """The number of weight rows of the first recurrent product."""
        return (len(self.gates) - len(self.second_gates)) * self.hidden_size

    def project(self, x_BTD: Tensor, noise: Noise | None = None) -> Tensor:
        """``W_ih x + b`` for all times in one matrix product: ``[B, T, G*H]``."""
        return input_product(self, x_BTD, None if noise is None else noise.input_mask)

    def step(
        self, projected_t: Tensor, state: StateTree, noise: Noise | None = None
    ) -> tuple[Tensor, StateTree]:
        """One step; ``projected_t`` is ``[B, G*H]``. Without noise it is deterministic."""
        x = self.gate_type(*projected_t.chunk(len(self.gates), -1))
        weight: Tensor = self.weight_hh
        mask = None
        if noise is not None:
            mask = noise.recurrent_mask
            weight = weight if noise.weight_mask is None else weight * noise.weight_mask
        first = self.first_rows
        if not self.second_gates:
            h = self.gate_type(*recurrent_product(self, state[0], weight, mask, slice(0, first)))
        else:
            h = self.first_type(*recurrent_product(self, state[0], weight, mask, slice(0, first)))
            second = self.second_input(x, h, state)
            rest = recurrent_product(self, second, weight, mask, slice(first, weight.shape[0]))
            h = self.gate_type(*h, *rest)
        output, new = next_state(self, self.update(x, h, state), state)
        return self._finish(output, new, state, noise)

    def _finish(
        self, output: Tensor, new: Any, old: Any, noise: Noise | None
    ) -> tuple[Tensor, Any]:
        """What stands around the equations: projection and zoneout."""
        if self.weight_hr is not None and self.projects_state:
            output = F.linear(output, self.weight_hr)
            new = self.State(output, *new[1:])
        if any(self.zoneout):
            keep = None if noise is None else noise.zoneout
            output, new = zone_out(output, new, old, self.zoneout, keep)
        if self.weight_hr is not None and not self.projects_state:
            output = F.linear(output, self.weight_hr)
        if new[0].dtype != old[0].dtype:  # products under autocast are of fewer digits
            new = map_state(lambda after, before: after.to(before.dtype), new, old)
        return output, new


def _regularizer(part: str, spec: Any) -> Any:
    return resolve_object("regularizer", f"{part}_regularizer", spec)


def _constraint(part: str, spec: Any) -> Any:
    return resolve_object("constraint", f"{part}_constraint", spec)
