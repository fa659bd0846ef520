"""The contract of every layer: sequence in, sequence and final state out."""

from __future__ import annotations

import copy
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from seqlab.cells.base import Cell, leaves
from seqlab.cells.redraw import redraw_parts
from seqlab.errors import EngineError, ShapeError
from seqlab.layers.level import Level
from seqlab.types import Device, DType, State, lengths_to_mask


def torch_forms() -> Any:
    """By name: what knows torch's forms stands above the layers, and is seldom needed."""
    return importlib.import_module("seqlab.compat.torch")


class Layer(nn.Module, ABC):
    """Runs over whole sequences.

    Attributes:
        input_size: D.
        output_size: E, the width of one output step.
        final_size: S, the width of ``final_output``.
        directions: the widths of the output's parts, in turn along the layer's direction of
            running and against it: ``(E,)``, or ``(F, B)`` for two directions side by side.
        reverse: whether it runs from the last step to the first.
        joins: False when the output is a pair of tensors, which only a user's code can take.
    """

    input_size: int
    output_size: int
    final_size: int
    directions: tuple[int, ...]
    joins: bool = True

    def to_torch(self) -> nn.RNNBase:
        """The module of ``torch.nn`` with the layer's form and weights, batch-first.

        Raises:
            OptionError: torch has none of that form; the message says why.

        >>> import seqlab
        >>> seqlab.Stacked([seqlab.GRU(3, 4), seqlab.GRU(4, 4)]).to_torch()
        GRU(3, 4, num_layers=2, batch_first=True)
        """
        module: nn.RNNBase = torch_forms().to_torch(self)
        return module

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Names of ``torch.nn.LSTM``, ``GRU`` and ``RNN`` are understood beside the layer's own."""
        if f"{prefix}weight_ih_l0" in state_dict:
            torch_forms().rename_torch_state(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @abstractmethod
    def forward(
        self,
        x_BTD: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Run over all steps.

        Args:
            x_BTD: input ``[B, T, D]``; T may be 0. What stands at masked steps never matters.
            state: the state before the first step; None for the initial state.
            lengths: ``[B]`` real steps from the left, 0 to T; None when all are real.
            mask: ``[B, T]`` bool, True = real, holes allowed. With both, a step is real if both
                say so.
            reset: ``[B, T]`` bool, True = the state is the initial one before this step, masked or
                not. So a row is as many rows on their own, in both directions of time: what runs
                backward begins anew at the last step before it.

        Returns:
            output ``[B, T, E]``, zero at masked steps, and the final state, which masked steps
            leave as it was.

        Raises:
            ShapeError: an argument has another shape; the message gives both.
        """

    @abstractmethod
    def initial_state(
        self, batch_size: int, *, device: Device = None, dtype: DType = None
    ) -> State:
        """The state before the first step, for ``batch_size`` rows."""

    @abstractmethod
    def final_output(self, state: State) -> Tensor:
        """``[B, S]``: the last layer's hidden part of a final state, directions joined."""

    @abstractmethod
    def step(
        self, x_BD: Tensor, state: State, noise: Any = None, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """One step: ``[B, D]`` to ``[B, E]``.

        Args:
            x_BD: the input of the step.
            state: the state before it.
            noise: its random masks, ``sample_noise(...).at(t)``; without them nothing is random,
                in training neither.
            mask: ``[B]`` bool, True = real; other rows keep their state and give zeros. None when
                all are real.

        Raises:
            EngineError: the layer needs the future (it runs backward in time).
        """

    def sample_noise(
        self, batch_size: int, steps: int, *, device: torch.device, dtype: torch.dtype
    ) -> Any:
        """The random masks of one sequence that is to be run by ``step``; None for none.

        ``forward`` draws its own. What this returns has a method ``at(t)``, which gives what step
        ``t`` needs:

            noise = layer.sample_noise(B, T, device=x.device, dtype=x.dtype)
            for t in range(T):
                y, state = layer.step(x[:, t], state, noise and noise.at(t))
        """
        del batch_size, steps, device, dtype

    @property
    @abstractmethod
    def reverse(self) -> bool:
        """Whether the layer runs from the last step to the first.

        Of layers on top of each other it is the last one's direction, which is the output's.
        """

    @property
    def causal(self) -> bool:
        """Whether no output depends on a later input, so that the layer can be streamed."""
        return not self.reverse

    def sides(self) -> Sides:
        """The layers inside that alone compute the output's forward and its backward parts.

        The forward one depends on no later step, the backward one on no earlier step. None for a
        direction that the output has not, or whose part sees both sides, as above a bidirectional
        layer.
        """
        return Sides(self if self.causal else None, None)

    def carried(self, state: State, *, reverse: bool) -> State:
        """What the next chunk of rows begins with, of the final state of the one before.

        Args:
            state: the final state.
            reverse: whether chunks come from the last to the first. A layer that runs the other
                way begins anew, as what it needs has not been read yet.
        """
        if self.sides()[reverse] is self:
            return state
        first = leaves(state)[0]
        return self.initial_state(first.shape[0], device=first.device)

    @abstractmethod
    def reverse_(self) -> None:
        """Turn the direction of time around, in place."""

    def level(self) -> Level | None:
        """The layer as cells that one call of a vendor's kernel may run together with others.

        None, as here, for a layer that must run by itself.
        """
        return None

    def runs(self) -> list[list[Level]]:
        """The levels that this layer would put into one call each, if the planner agrees."""
        return []

    def fresh(self) -> Self:
        """A layer of the same form with newly drawn parameters."""
        twin = copy.deepcopy(self)
        twin.reset_parameters()
        return twin

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the parameters of every part anew, however deep it stands.

        A layer with parameters of its own overrides it, and draws them after this.

        Raises:
            OptionError: a parameter that nothing draws anew; the message names it.
        """
        redraw_parts(self, own=type(self).reset_parameters is Layer.reset_parameters)

    def cells(self) -> list[Cell]:
        """Every cell inside, in order."""
        return [part for part in self.modules() if isinstance(part, Cell)]

    def regularization_loss(self) -> Tensor:
        """The sum of all penalties the layer's parts ask for: a scalar.

        Penalties of outputs are those of the training calls since the last call of this method.
        """
        penalties = [cell.regularization_loss() for cell in self.cells()]
        for part in self.modules():
            activity = part.take_activity() if isinstance(part, Layer) else None
            if activity is not None:
                penalties.append(activity)
        return torch.stack(penalties).sum() if penalties else torch.zeros(())

    def take_activity(self) -> Tensor | None:
        """The output penalties since the last call, which are then forgotten; None for none."""
        return None

    def apply_constraints(self) -> None:
        """Put every constrained parameter where its constraint allows, in place."""
        for cell in self.cells():
            cell.apply_constraints()


class Sides(NamedTuple):
    """The layers of the two directions of time; see ``Layer.sides``."""

    forward: Layer | None
    backward: Layer | None


def step_with(
    layer: Layer, x_BD: Tensor, state: State, noise: Any, mask: Tensor | None
) -> tuple[Tensor, State]:
    """One step of a layer, with noise and mask where there are any."""
    if noise is None and mask is None:
        return layer.step(x_BD, state)
    return layer.step(x_BD, state, noise, mask)


def run_with(
    layer: Layer,
    x_BTD: Tensor,
    state: State | None,
    *,
    lengths: Tensor | None,
    mask: Tensor | None,
    reset: Tensor | None,
) -> tuple[Tensor, State]:
    """A layer over all steps, with resets where there are any."""
    found: tuple[Tensor, State]
    if reset is None:
        found = layer(x_BTD, state, lengths, mask)
    else:
        found = layer(x_BTD, state, lengths, mask, reset)
    return found


def check_input(x_BTD: Tensor, input_size: int, owner: Callable[[], str]) -> None:
    """Refuse an input that is not ``[B, T, D]``."""
    if not isinstance(x_BTD, Tensor) or x_BTD.dim() != 3 or x_BTD.shape[2] != input_size:
        got = tuple(x_BTD.shape) if isinstance(x_BTD, Tensor) else type(x_BTD).__name__
        raise ShapeError(f"{owner()}: the input must be [B, T, {input_size}], got {got}")


def combined_mask(x_BTD: Tensor, lengths: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """One ``[B, T]`` mask from both descriptions, or None when every step is real.

    Raises:
        ShapeError: wrong shapes, a mask that is not boolean, or lengths outside 0..T.
    """
    batch, steps = x_BTD.shape[:2]
    if lengths is not None:
        # where they are, whatever the default device is
        lengths = torch.as_tensor(lengths, device=getattr(lengths, "device", "cpu"))
        if lengths.shape != (batch,) or lengths.is_floating_point():
            raise ShapeError(
                f"lengths must be ({batch},) integers, got {tuple(lengths.shape)} {lengths.dtype}"
            )
        # a graph that is being exported cannot ask for values
        if lengths.device.type == "cpu" and not torch.compiler.is_exporting() and batch:
            low, high = (int(v) for v in lengths.aminmax())
            if low < 0 or high > steps:
                raise ShapeError(f"lengths must lie in 0..{steps}, got {low}..{high}")
            if low == steps:
                lengths = None
    if lengths is not None:
        from_lengths = lengths_to_mask(_beside(lengths, x_BTD), steps)
        if mask is None:
            return from_lengths
    if mask is None:
        return None
    if mask.shape != (batch, steps) or mask.dtype != torch.bool:
        raise ShapeError(
            f"mask must be ({batch}, {steps}) bool, got {tuple(mask.shape)} {mask.dtype}"
        )
    return mask if lengths is None else mask & from_lengths


def _beside(lengths: Tensor, x_BTD: Tensor) -> Tensor:
    """Lengths on the device of the input, which is not waited for where that can be."""
    if lengths.device == x_BTD.device:
        return lengths
    # CUDA reads ordinary memory before the call returns; pinned memory may change before it is read
    waits = lengths.device.type != "cpu" or lengths.is_pinned()
    return lengths.to(x_BTD.device, non_blocking=not waits)


def refuse_streaming(owner: str) -> EngineError:
    """The error for a layer that cannot run step by step."""
    return EngineError(
        f"{owner} cannot be streamed: it runs backward in time, so its first output needs the "
        "last input"
    )


def check_state(given: State, expected: State, owner: str) -> State:
    """A state given by a user, in the expected structure.

    Raises:
        ShapeError: another number of parts, or a tensor of another shape; both are named.
    """
    if isinstance(expected, Tensor):
        if not isinstance(given, Tensor) or given.shape != expected.shape:
            got = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ShapeError(f"{owner}: a state tensor must be {tuple(expected.shape)}, got {got}")
        return given
    if isinstance(given, Tensor) and len(expected) == 1:
        given = (given,)
    if not isinstance(given, tuple | list) or len(given) != len(expected):
        got = f"{len(given)} parts" if isinstance(given, tuple | list) else type(given).__name__
        fields = getattr(expected, "_fields", None)
        names = f" ({', '.join(fields)})" if fields else ""
        raise ShapeError(f"{owner}: the state must have {len(expected)} parts{names}, got {got}")
    parts = [check_state(g, e, owner) for g, e in zip(given, expected, strict=True)]
    return type(expected)(*parts) if hasattr(expected, "_fields") else type(expected)(parts)
