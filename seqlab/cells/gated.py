"""The base of almost every recurrent net: a recurrent matrix and elementwise equations.

An author writes ``gates``, ``State`` and ``update``; this class owns the weights and every option.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from seqlab.cells.base import state_fields
from seqlab.cells.chrono import check_chrono, reset_chrono
from seqlab.cells.declaration import (
    Product,
    declare,
    make_types,
    raw_columns,
    refuse_without_matrix,
)
from seqlab.cells.gated_step import GatedStep
from seqlab.cells.modifiers import Modifier, make_modifier
from seqlab.cells.weights import draw_weights, keep_constraints, make_weights, penalties
from seqlab.cells.zoneout import zoneout_rates
from seqlab.errors import OptionError
from seqlab.options.resolve import (
    plain_spec,
    resolve_activation,
    resolve_initializer,
    resolve_object,
)
from seqlab.registry import spoken
from seqlab.schema import Count, Fraction, Range, checked

#: Options that act on the recurrent matrix alone.
_OF_THE_MATRIX = (
    "recurrent_dropout", "weight_dropout", "recurrent_regularizer", "recurrent_constraint",
    "proj_size",
)  # fmt: skip
#: The longest dependence that is expected.
Steps = Annotated[int, Range(least=2)]


class GatedCell(GatedStep):
    """A cell whose step is one recurrent matrix product and elementwise equations.

    With ``x = W_ih x_t + b`` (all times at once) and ``h = W_hh h_{t-1} (+ b_h)``, both split into
    the named gates, a subclass computes the next state from ``x.<gate>``, ``h.<gate>`` and the
    state. A gate in ``second_gates`` multiplies ``second_input(x, h, state)`` instead of
    ``h_{t-1}``, as the candidate of a GRU with ``reset_after=False`` does; ``products`` is the
    same for any number of products, one after the other.

    Class attributes:
        gates: the gates in the order of the weight rows, those of ``second_gates`` last.
        State: a NamedTuple; its first field is what the recurrent matrix multiplies.
        input_gates: the gates that have rows in the input matrix, and so fields in ``x``; all.
        recurrent_gates: those that have rows in the recurrent matrix, and fields in ``h``; all.
            ``()`` is a cell without a recurrent matrix, such as IndRNN.
        second_gates: gates of the second recurrent product; none for most cells.
        products: the recurrent products in order, each with its gates: ``{"hidden": ("reset",),
            "mixed": ("candidate",)}``. A key is a field of the state, or a method
            ``mixed(self, x, h, state)`` that returns what is multiplied ``[B, H]``, where ``h``
            holds the gates made so far.
        recurrent_bias_gates: True gives the recurrent product a bias of its own.
        default_unit_forget_bias: the default of ``unit_forget_bias``.
        vectors: parameters ``[H]`` that ``update`` may use elementwise, as ``self.<name>``; a
            mapping from name to initializer.
        scalars: parameters of one number ``[1]``, likewise; a mapping from name to first value.
        raw: inputs that ``update`` sees without a matrix, as ``x.<name> [B, H]``: a mapping from
            name to 1 or H, the number of last input columns (one column is spread over the
            units), or to ``"all"``, the whole input, which needs D = H.
        state_widths: the width of state fields that are not H wide: a number, or ``"D"``.
        projects_state: True if the first state field serves the recurrent product alone, so that
            ``proj_size`` may narrow it.

    Parameters, where G counts the gates of each matrix: ``weight_ih [G*H, D]``, ``weight_hh
    [G*H, H]`` (``[G*H, H / heads]`` with ``heads``), ``bias [G*H]``, ``recurrent_bias [G*H]``
    where the cell asks for one, the gains ``norm_ih`` and ``norm_hh [G*H]`` with ``layer_norm``,
    ``weight_hr [P, H]`` with ``proj_size`` (``weight_hh`` is then ``[G*H, P]``), and the declared
    vectors and scalars.

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
        heads: the number of blocks of a block-diagonal recurrent matrix, which divides H; with H
            of them it is diagonal.
        modifier: what changes ``x`` and ``h`` before the equations are given them, such as
            ``multiplicative_integration``: a name, a mapping with ``name`` and options, or a class.

    Raises:
        OptionError: an option has a wrong type or value, or contradicts another; the message
            names it.
    """

    gates: tuple[str, ...] = ()
    # None in a class stands for all gates; a cell has its own
    input_gates: tuple[str, ...] = None  # type: ignore[assignment]
    recurrent_gates: tuple[str, ...] = None  # type: ignore[assignment]
    second_gates: tuple[str, ...] = ()
    products: Mapping[str, tuple[str, ...]] = {}
    recurrent_bias_gates: bool = False
    default_unit_forget_bias: bool = False
    vectors: Mapping[str, Any] = {}
    scalars: Mapping[str, float] = {}
    raw: Mapping[str, int | str] = {}
    state_widths: Mapping[str, int | str] = {}
    chain: tuple[Product, ...]
    projects_state: ClassVar[bool] = False
    made_in_setup = (
        "weight_ih", "weight_hh", "bias", "recurrent_bias", "norm_ih", "norm_hh", "weight_hr",
    )  # fmt: skip

    weight_ih: nn.Parameter
    weight_hh: nn.Parameter  # None where there are no recurrent gates
    bias: nn.Parameter | None
    recurrent_bias: nn.Parameter | None
    norm_ih: nn.Parameter | None
    norm_hh: nn.Parameter | None
    weight_hr: nn.Parameter | None
    modifier: Modifier | None

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
        heads: Count = 1,
        modifier: Any = None,
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
        self.heads, self._modifier_asked = heads, modifier
        # what they may be, the declaration says, which is complete in setup
        self._zoneout_asked, self._forget_bias_asked = zoneout, unit_forget_bias
        self._is_set_up = False

    # -- construction ------------------------------------------------------------------------

    def setup(self) -> None:
        """Check the declaration and what depends on it, make the parameters and draw them."""
        declare(self)
        self._make_types()
        self._check_matrix()
        self.modifier = make_modifier(self, self._modifier_asked)
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
        make_types(self)

    def _check_matrix(self) -> None:
        refuse_without_matrix(self, _OF_THE_MATRIX)
        owner = spoken("cell", self)
        made = type(self).recurrent_matrix is not GatedCell.recurrent_matrix
        if made and self.proj_size is not None:
            raise OptionError(f"proj_size: {owner} makes its recurrent matrix itself")
        if self.heads == 1:
            return
        if made or not self.recurrent_gates:
            raise OptionError(f"heads: {owner} has no recurrent matrix of which to make blocks")
        if self.proj_size is not None:
            raise OptionError("heads contradicts proj_size: blocks are square")
        if self.hidden_size % self.heads:
            raise OptionError(f"heads: {self.heads} does not divide hidden_size {self.hidden_size}")

    def _check_forget_bias(self) -> bool:
        asked = self._forget_bias_asked
        if asked is None:
            return self.default_unit_forget_bias and self.chrono is None
        if asked and "forget" not in self.input_gates:
            owner = spoken("cell", self)
            raise OptionError(f"unit_forget_bias: {owner} has no forget gate")
        return asked

    def make_parameters(self) -> None:
        """Matrices, biases, gains and the declared vectors; see the class."""
        make_weights(self)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all parameters anew with the initializers, in the order of declaration."""
        draw_weights(self)
        if self.modifier is not None:
            self.modifier.reset_parameters()
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
        """H, or what ``state_widths`` says; ``proj_size`` for the first where it is projected."""
        sizes: tuple[int, ...] = super().state_sizes
        if self.state_widths:
            pairs = zip(state_fields(self.State), sizes, strict=True)
            asked = [self.state_widths.get(name, size) for name, size in pairs]
            sizes = tuple(self.input_size if n == "D" else int(n) for n in asked)
        return (self.output_size, *sizes[1:]) if self.projects_state else sizes

    @property
    def recurrent_size(self) -> int:
        """The width of what the recurrent matrix multiplies."""
        return self.state_sizes[0] if self.proj_size is None else self.proj_size

    @property
    def kernel_size(self) -> int:
        """The number of inputs that the input matrix sees: D without the ``raw`` columns."""
        return self.input_size - sum(raw_columns(self)) if self.raw else self.input_size

    def gate_rows(self, parameter: Tensor, gate: str) -> Tensor:
        """The rows of one of the cell's ``[G*H, ...]`` parameters that belong to a gate, a view."""
        recurrent = (self.weight_hh, self.recurrent_bias, self.norm_hh)
        of_those = any(parameter is own for own in recurrent)
        start = (self.recurrent_gates if of_those else self.input_gates).index(gate)
        start *= self.hidden_size
        return parameter[start : start + self.hidden_size]

    def regularization_loss(self) -> Tensor:
        """The sum of the weight penalties, a scalar; matrices are seen as Keras sees them."""
        return penalties(self)

    @torch.no_grad()
    def apply_constraints(self) -> None:
        """Replace each constrained parameter by its projection, seen as Keras sees it."""
        keep_constraints(self)


def _regularizer(part: str, spec: Any) -> Any:
    return resolve_object("regularizer", f"{part}_regularizer", spec)


def _constraint(part: str, spec: Any) -> Any:
    return resolve_object("constraint", f"{part}_constraint", spec)
