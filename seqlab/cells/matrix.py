"""Recurrences with a matrix for a state: rank-one writes, decays, and products to read."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from seqlab.cells.around import OptionNoise, dropped
from seqlab.cells.base import Cell, first_parameter
from seqlab.cells.zoneout import zone_out
from seqlab.errors import OptionError, ShapeError
from seqlab.schema import Count, checked
from seqlab.types import Device, DType


class MatrixState(NamedTuple):
    """``hidden [B, H]``, the output; ``memory [B, heads, K, V]``, a matrix for each head."""

    hidden: Tensor
    memory: Tensor


class StabilisedState(NamedTuple):
    """As ``MatrixState``, with ``memory`` over ``exp(stabiliser)``; ``stabiliser [B, heads]``."""

    hidden: Tensor
    memory: Tensor
    stabiliser: Tensor


class Writes(NamedTuple):
    """What a matrix recurrence makes of the input, for all times at once.

    ``query`` and ``key`` are ``[B, T, N, K]``, ``value`` is ``[B, T, N, V]`` (N heads).
    ``log_decay`` is ``[B, T, N, K]``, one for each row of the matrix, or ``[B, T, N, 1]``, the
    only form for cells with ``exponential = True``, and not above 0; None stands for no decay.
    ``log_input`` is ``[B, T, N]``, the logarithm of what a write is multiplied by, for cells with
    ``exponential = True``. ``rate`` is ``[B, T, N]``, for cells with ``delta = True``.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    log_decay: Tensor | None = None
    log_input: Tensor | None = None
    rate: Tensor | None = None


class MatrixInput(NamedTuple):
    """The input and its ``Writes``, of which none is missing; what steps are given."""

    x: Tensor
    query: Tensor
    key: Tensor
    value: Tensor
    log_decay: Tensor
    log_input: Tensor
    rate: Tensor


class MatrixStateCell(Cell):
    """A cell whose state is a matrix for each head, and linear in what it was before.

    With decay a, key k, value v and query q of each step, all made of its input alone,

        S_t = a_t S_{t-1} + k_t v_t^T                          (the rows of S fade)
        S_t = a_t S_{t-1} + r_t k_t (v_t - a_t S_{t-1}^T k_t)^T     with ``delta``
        y_t = S_t^T q_t

    A subclass writes ``writes`` and, where the output is not y with its heads side by side,
    ``readout``. The loop runs these equations as they stand; the ``scan`` engine takes chunks of
    steps at once (Hua et al., "Transformer quality in linear time", 2022; Yang et al., "Gated
    linear attention transformers with hardware-efficient training", 2024, and "Parallelizing
    linear transformers with the delta rule over sequence length", 2024).

    Zoneout keeps columns of the matrix, which are the units of its values, each on its own:

        S_t = keep_t S_{t-1} + (1 - keep_t) (S_t of above)

    by masks in training and by the rate outside of it. A chunk of steps has one decay for all
    columns, and under the delta rule no decay that is the mean of both, so such a cell is run by
    the loop. Of ``exponential`` cells the extra columns are units too, and the stabiliser is never
    kept.

    Class attributes:
        delta: a write replaces what the key reads, at a rate (Widrow and Hoff, 1960).
        exponential: writes are multiplied by ``exp(log_input)``, of any size; the state is then
            kept divided by ``exp(stabiliser)``, the largest of these so far.
        extra_values: columns of the matrix beside the V of a head, such as 1 for a normaliser.

    Args:
        input_size: D.
        hidden_size: H, the width of all heads' values together.
        heads: N, which divides H; K = V = H / N.
        dropout: rate on the input, also where ``readout`` sees it; one mask for all steps of a
            sequence.
        zoneout: probability that a column of the memory stays as it was.

    Raises:
        OptionError: ``heads`` does not divide ``hidden_size``, or zoneout is asked for another
            field than ``memory``.
    """

    State: Any = MatrixState
    wraps_options = False
    delta: ClassVar[bool] = False
    exponential: ClassVar[bool] = False
    extra_values: ClassVar[int] = 0

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, *, heads: Count = 1, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        if hidden_size % heads:
            raise OptionError(f"heads: {heads} does not divide hidden_size {hidden_size}")
        self.heads, self.head_size = heads, hidden_size // heads
        if self.exponential:
            self.State = StabilisedState

    @abstractmethod
    def writes(self, x_BTD: Tensor) -> Writes:
        """Queries, keys, values, decays and rates of all steps, each from its own input."""

    def readout(self, x_BTD: Tensor, y_BTNV: Tensor, stabiliser_BTN: Tensor) -> Tensor:
        """The output ``[B, T, output_size]``; here y, its heads side by side.

        Args:
            x_BTD: the input.
            y_BTNV: what the queries read; of ``exponential`` cells, over ``exp(stabiliser)``.
            stabiliser_BTN: zeros for other cells.
        """
        del x_BTD, stabiliser_BTN
        return y_BTNV.flatten(-2)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The last dimension of each field: H, V, and the number of heads."""
        sizes = (self.output_size, self.head_size + self.extra_values, self.heads)
        return sizes[: 2 + self.exponential]

    def initial_state(self, batch_size: int, *, device: Device = None, dtype: DType = None) -> Any:
        """Zeros, where the parameters live."""
        like = first_parameter(self)
        if like is not None:
            device = device if device is not None else like.device
            dtype = dtype if dtype is not None else like.dtype
        units, *widths = self.state_sizes
        shapes = [(units,), (self.heads, self.head_size, widths[0]), (self.heads,)]
        fields = [(batch_size, *shape) for shape in shapes[: 2 + self.exponential]]
        return self.State(*(torch.zeros(shape, device=device, dtype=dtype) for shape in fields))

    @property
    def zoneout_fields(self) -> tuple[str, ...]:
        """The memory: the output does not come back, and the stabiliser is a scale."""
        return ("memory",)

    def zoneout_shapes(self) -> list[tuple[int, ...]]:
        """One number a column."""
        return [(self.heads, 1, self.head_size + self.extra_values)]

    def project(self, x_BTD: Tensor, noise: OptionNoise | None = None) -> MatrixInput:
        """The input, behind dropout, with its writes, for all times at once.

        Raises:
            ShapeError: an ``exponential`` cell has a decay for each row of its matrix.
        """
        x_BTD = dropped(x_BTD, noise)
        query, key, value, decay, log_input, rate = self.writes(x_BTD)
        shape = query.shape[:-1]
        if self.exponential and decay is not None and decay.shape[-1] != 1:
            # the stabiliser is one number a head
            raise ShapeError(
                f"{type(self).__name__} is exponential, and its log_decay must be one number for "
                f"each head, {(*shape, 1)}, not one for each row of the matrix: got "
                f"{tuple(decay.shape)}"
            )
        return MatrixInput(
            x_BTD, query, key, value,
            query.new_zeros((*shape, 1)) if decay is None else decay,
            query.new_zeros(shape) if log_input is None else log_input,
            query.new_ones(shape) if rate is None else rate,
        )  # fmt: skip

    def step(
        self, projected_t: MatrixInput, state: Any, noise: OptionNoise | None = None
    ) -> tuple[Tensor, Any]:
        """The equations of the class, one step; see there."""
        x, query, key, value, log_decay, log_input, rate = projected_t
        stabiliser = log_input
        weight, before = torch.ones_like(log_input), state.memory
        (zoneout,) = self.option_rates.zoneout
        if self.exponential:
            carried = log_decay.squeeze(-1) + state.stabiliser
            stays = _mean_of_logarithms(state.stabiliser, carried, zoneout)
            stabiliser = torch.maximum(stays, log_input)
            weight = torch.exp(log_input - stabiliser)
            log_decay = (carried - stabiliser).unsqueeze(-1)
            if zoneout:
                before = torch.exp(state.stabiliser - stabiliser).view(*stays.shape, 1, 1) * before
        memory = torch.exp(log_decay).unsqueeze(-1) * state.memory
        if self.delta:
            value = value - torch.einsum("bnk,bnkv->bnv", key, memory)
            weight = weight * rate
        memory = memory + (weight.unsqueeze(-1) * key).unsqueeze(-1) * value.unsqueeze(-2)
        if zoneout:
            keep = None if noise is None else noise.zoneout
            _, (memory,) = zone_out(memory, _Memory(memory), _Memory(before), (zoneout,), keep)
        y = torch.einsum("bnk,bnkv->bnv", query, memory)
        output = self.readout(x.unsqueeze(1), y.unsqueeze(1), stabiliser.unsqueeze(1)).squeeze(1)
        hidden = output.to(state.hidden.dtype)
        rest = (stabiliser,) if self.exponential else ()
        return output, self.State(hidden, memory, *rest)


class _Memory(NamedTuple):
    """The field of a state that zoneout is for."""

    memory: Tensor


def _mean_of_logarithms(old: Tensor, new: Tensor, rate: float) -> Tensor:
    """``log(rate exp(old) + (1 - rate) exp(new))``: where zoneout leaves a memory on average.

    A stabiliser that took ``new`` alone would let columns that stay grow without end beside it.
    """
    if not rate:
        return new
    return torch.logaddexp(old + math.log(rate), new + math.log1p(-rate))
