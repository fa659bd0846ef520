"""The base of almost every recurrent net: a recurrent matrix and elementwise equations.

An author writes ``gates``, ``State`` and ``update``; this class owns the weights and every option.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlab.cells.base import state_fields
from seqlab.cells.chrono import memory_gates, reset_chrono
from seqlab.cells.noise import Noise, dropout_mask, masked_product
from seqlab.cells.weights import GatedWeights
from seqlab.errors import OptionError
from seqlab.options.resolve import check_flag, check_fraction, plain_spec, resolve_activation
from seqlab.types import State as StateTree


class GatedCell(GatedWeights):
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

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        untied_dropout: bool = False,
        zoneout: float | Mapping[str, float] = 0.0,
        weight_dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.activation = resolve_activation("activation", activation)
        self.recurrent_activation = resolve_activation("recurrent_activation", recurrent_activation)
        self.activation_spec = plain_spec(activation)
        self.recurrent_activation_spec = plain_spec(recurrent_activation)
        self.dropout = check_fraction("dropout", dropout)
        self.recurrent_dropout = check_fraction("recurrent_dropout", recurrent_dropout)
        self.untied_dropout = check_flag("untied_dropout", untied_dropout)
        self.weight_dropout = check_fraction("weight_dropout", weight_dropout)
        self.zoneout = self._check_zoneout(zoneout)
        if self.chrono is not None and not memory_gates(self):
            raise OptionError(f"chrono: {type(self).__name__} has no gate that keeps its memory")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew with the initializers, in the order of declaration."""
        super().reset_parameters()
        if self.chrono is not None and self.bias is not None:
            reset_chrono(self, self.bias, self.chrono)

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

    # -- randomness --------------------------------------------------------------------------

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
        keep = tuple(
            dropout_mask(like, (steps, batch_size, width), rate, scale=False) if rate else None
            for width, rate in zip(self.state_sizes, self.zoneout, strict=True)
        )
        untied = (len(self.gates),) if self.untied_dropout and len(self.gates) > 1 else ()
        return Noise(
            dropout_mask(like, (batch_size, *(untied or (1,)), self.input_size), self.dropout),
            dropout_mask(like, (batch_size, *untied, self.recurrent_size), self.recurrent_dropout),
            dropout_mask(self.weight_hh.detach(), self.weight_hh.shape, self.weight_dropout),
            keep if any(rate for rate in self.zoneout) else None,
        )

    # -- running -----------------------------------------------------------------------------

    @property
    def first_rows(self) -> int:
        """The number of weight rows of the first recurrent product."""
        return (len(self.gates) - len(self.second_gates)) * self.hidden_size

    def project(self, x_BTD: Tensor, noise: Noise | None = None) -> Tensor:
        """``W_ih x + b`` for all times in one matrix product: ``[B, T, G*H]``."""
        mask = None if noise is None else noise.input_mask
        if mask is not None:
            mask = mask.unsqueeze(1) if mask.shape[1] > 1 else mask
        if self.norm_ih is None:
            return masked_product(x_BTD, self.weight_ih, mask, self.bias)
        return self._normalise(masked_product(x_BTD, self.weight_ih, mask), self.norm_ih, self.bias)

    def step(
        self, projected_t: Tensor, state: StateTree, noise: Noise | None = None
    ) -> tuple[Tensor, StateTree]:
        """One step; ``projected_t`` is ``[B, G*H]``. Without noise it is deterministic."""
        x = self._gate_type(*projected_t.chunk(len(self.gates), -1))
        weight: Tensor = self.weight_hh
        mask = None
        if noise is not None:
            mask = noise.recurrent_mask
            weight = weight if noise.weight_mask is None else weight * noise.weight_mask
        first = self.first_rows
        if not self.second_gates:
            h = self._gate_type(*self._product(state[0], weight, mask, 0, first))
        else:
            h = self._first_type(*self._product(state[0], weight, mask, 0, first))
            second = self.second_input(x, h, state)
            rest = self._product(second, weight, mask, first, weight.shape[0])
            h = self._gate_type(*h, *rest)
        output, new = self.update(x, h, state)
        return self._finish(output, new, state, noise)

    def _product(
        self, vector: Tensor, weight: Tensor, mask: Tensor | None, start: int, stop: int
    ) -> tuple[Tensor, ...]:
        """The gates' parts of one recurrent product, from the weight rows start to stop."""
        size = self.hidden_size
        if self.weight_hr is not None and not self.projects_state:
            vector = F.linear(vector, self.weight_hr)
        if mask is not None and mask.dim() == 3:
            mask = mask[:, start // size : stop // size]
        bias = None if self.recurrent_bias is None else self.recurrent_bias[start:stop]
        if self.norm_hh is None:
            product = masked_product(vector, weight[start:stop], mask, bias)
        else:
            product = masked_product(vector, weight[start:stop], mask)
            product = self._normalise(product, self.norm_hh[start:stop], bias)
        return product.chunk((stop - start) // size, -1)

    @staticmethod
    def _normalise(value: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
        return F.layer_norm(value, (value.shape[-1],), gain, bias)

    def _finish(
        self, output: Tensor, new: Any, old: Any, noise: Noise | None
    ) -> tuple[Tensor, Any]:
        """What stands around the equations: projection and zoneout."""
        if self.weight_hr is not None and self.projects_state:
            output = F.linear(output, self.weight_hr)
            new = self.State(output, *new[1:])
        output, new = self._zone_out(output, new, old, noise)
        if self.weight_hr is not None and not self.projects_state:
            output = F.linear(output, self.weight_hr)
        return output, new

    def _zone_out(
        self, output: Tensor, new: Any, old: Any, noise: Noise | None
    ) -> tuple[Tensor, Any]:
        if not any(self.zoneout):
            return output, new
        mixed = []
        for index, rate in enumerate(self.zoneout):
            keep = None if noise is None or noise.zoneout is None else noise.zoneout[index]
            if not rate:
                mixed.append(new[index])
            elif keep is None:
                mixed.append(torch.lerp(new[index], old[index], rate))
            else:
                mixed.append(torch.where(keep > 0, new[index], old[index]))
        shown = next((m for m, n in zip(mixed, new, strict=True) if n is output), output)
        return shown, self.State(*mixed)
