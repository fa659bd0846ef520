"""A cell run over time: the layer every other layer is made of."""

from __future__ import annotations

import functools
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seqlab.cells.base import Cell, map_state, next_state
from seqlab.cells.redraw import redraw_parts
from seqlab.engines.base import NotPreparedError, Sequence
from seqlab.engines.instances import check_engine_name
from seqlab.engines.over_time import at_time, select
from seqlab.engines.plan import Plan, Planner
from seqlab.engines.plan_stack import Member
from seqlab.errors import OptionError
from seqlab.layers.base import (
    Layer,
    Sides,
    check_input,
    check_state,
    combined_mask,
    refuse_streaming,
)
from seqlab.layers.hooks import run_hooks
from seqlab.layers.joined import check_type, draws_noise, is_plain, single
from seqlab.layers.level import Level
from seqlab.layers.masked import carry_last
from seqlab.layers.segments import check_reset, run_segments
from seqlab.schema import checked
from seqlab.types import Device, DType, State

#: What stands at masked steps.
MaskedOutput = Literal["zeros", "carry"]
#: Where a layer begins.
InitialState = Literal["zeros", "trained"]


class Recurrent(Layer):
    """Runs any cell over time with the fastest engine that gives the same numbers.

    Args:
        cell: the cell; it is owned by this layer from now on.
        engine: ``auto``, or the name of a registered engine.
        reverse: run from the last step to the first; outputs stay at their input's time.
        masked_output: what stands at masked steps: ``zeros``, or ``carry`` to repeat the last
            output of the direction of running, as Keras does.
        initial_state: ``zeros``, or ``trained`` for a parameter, which begins there. It is added
            to the cell's own initial state, which of nearly every cell is zero.

    Example:
        >>> import torch, seqlab
        >>> layer = seqlab.Recurrent(seqlab.get("cell", "gru")(3, 4))
        >>> output, state = layer(torch.zeros(2, 5, 3), lengths=torch.tensor([5, 0]))
        >>> output.shape, state.hidden.shape
        (torch.Size([2, 5, 4]), torch.Size([2, 4]))
    """

    @checked
    def __init__(
        self,
        cell: Cell,
        *,
        engine: str = "auto",
        reverse: bool = False,
        masked_output: MaskedOutput = "zeros",
        initial_state: InitialState = "zeros",
    ) -> None:
        super().__init__()
        if not isinstance(cell, Cell):
            raise OptionError(f"Recurrent needs a seqlab.Cell, got {type(cell).__name__}")
        self.cell = cell
        self.engine = check_engine_name(engine)
        self._reverse = reverse
        self.masked_output = masked_output
        self.input_size, self.output_size = cell.input_size, cell.output_size
        self.final_size = cell.state_sizes[0]
        self.directions = (self.output_size,)
        self._activity: Tensor | None = None
        self._planner = Planner()
        self.initial = _parameters(cell) if initial_state == "trained" else None

    def forward(
        self,
        x_BTD: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Run over all steps; see ``Layer.forward``."""
        run_hooks(self._modules["cell"], x_BTD)
        if reset is None:
            found = self._again(x_BTD, state, lengths, mask)
            if found is not None:
                return found
        check_input(x_BTD, self.input_size, self._title)
        self._check_type(x_BTD)
        mask = combined_mask(x_BTD, lengths, mask)
        state = self.start(x_BTD, state)
        if reset is not None:
            check_reset(reset, x_BTD)
        if x_BTD.shape[0] == 0 or x_BTD.shape[1] == 0:
            return x_BTD.new_zeros(*x_BTD.shape[:2], self.output_size), state
        if reset is None:
            output, state = self._over(x_BTD, state, mask)
        else:
            fresh = functools.partial(self.initial_state, device=x_BTD.device)
            output, state = run_segments(
                self._over, x_BTD, state, mask=mask, reset=reset, fresh=fresh,
                reverse=self._reverse,
            )  # fmt: skip
        self.remember_activity(output)
        return output, state

    def _again(
        self, x_BTD: Tensor, state: State | None, lengths: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, State] | None:
        """A run like one before, where nothing has changed and it draws and remembers nothing."""
        if torch.compiler.is_compiling() or (self.training and self._remembers()):
            return None
        if self.initial is not None and state is None:
            return None
        cell: Any = self._modules["cell"]  # quicker than the module's attribute
        masked = lengths is not None or mask is not None
        call = self._planner.ready_run(
            self.engine, cell, x_BTD, reverse=self._reverse, masked=masked
        )
        if call is None or not masked:
            return None if call is None else call(x_BTD, state, None)
        real = combined_mask(x_BTD, lengths, mask)
        if real is None:
            return self._again(x_BTD, state, None, None)
        found = call(without_padding(x_BTD, real), state, real)
        if found is None or self.masked_output == "zeros":
            return found
        return carry_last(found[0], real, reverse=self._reverse), found[1]

    def _over(self, x_BTD: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        """All steps of rows that begin with a state and run to their end."""
        if mask is not None:
            x_BTD = without_padding(x_BTD, mask)
        noise = self._noise(x_BTD)
        run = Recurrent._run if torch.compiler.is_exporting() else _run_outside_the_graph
        output, state = run(self, x_BTD, state, mask, noise)
        if mask is not None and self.masked_output == "carry":
            output = carry_last(output, mask, reverse=self._reverse)
        return output, state

    def _run(
        self, x_BTD: Tensor, state: State, mask: Tensor | None, noise: Any
    ) -> tuple[Tensor, State]:
        """All steps by the engine of the plan."""
        run = Sequence(x_BTD, state, mask, self._reverse, noise)
        cell, planner = self.cell, self._planner
        plan = planner.plan(self.engine, cell, run)
        planner.note(plan)
        try:
            found = plan.engine.run(cell, run)
        except NotPreparedError:
            planner.forget()
            return planner.plan(self.engine, cell, run).engine.run(cell, run)
        if _runs_as_written(type(self)) and not draws_noise(cell):
            planner.settle(plan, self.engine, cell, run)
        return found

    def _check_type(self, x: Tensor) -> None:
        check_type(self.cell, x, self._title)

    def _title(self) -> str:
        return f"{type(self).__name__}({self.cell.extra_repr()})"

    def start(self, x_BTD: Tensor, state: State | None) -> State:
        """The state a run of this input starts from: the one given, checked, or the initial one.

        Raises:
            ShapeError: the state has another form than the cell's.
        """
        expected = self.initial_state(x_BTD.shape[0], device=x_BTD.device)
        return expected if state is None else check_state(state, expected, self._title())

    def level(self) -> Level | None:
        """The layer's cell, where a run draws and remembers nothing; see ``Layer.level``."""
        if self.masked_output != "zeros" or not is_plain(self, Recurrent):
            return None
        member = Member(self.cell, self.engine, self._planner)
        at_rest = self.initial is None
        return single(member, self.start, reverse=self._reverse, at_rest=at_rest)

    def _noise(self, x_BTD: Tensor) -> Any:
        batch, steps = x_BTD.shape[:2]
        return self.sample_noise(batch, steps, device=x_BTD.device, dtype=x_BTD.dtype)

    def remember_activity(self, output: Tensor) -> None:
        """Keep the penalty of this training call until ``regularization_loss`` takes it."""
        if not self.training:
            return
        regularizer = self._remembers()
        if regularizer is not None:
            penalty = regularizer(output) / output.shape[0]
            self._activity = penalty if self._activity is None else self._activity + penalty

    def _remembers(self) -> Any:
        """What a training run keeps penalties of its output by, or None."""
        return getattr(self.cell, "activity_regularizer", None)

    def take_activity(self) -> Tensor | None:
        """The output penalties since the last call, which are then forgotten."""
        activity, self._activity = self._activity, None
        return activity

    def __getstate__(self) -> dict[str, Any]:
        """Copies of the layer start without penalties of calls that were not theirs."""
        return {**self.__dict__, "_activity": None}

    def initial_state(
        self, batch_size: int, *, device: Device = None, dtype: DType = None
    ) -> State:
        """The cell's initial state, and what is trained of it."""
        state = self.cell.initial_state(batch_size, device=device, dtype=dtype)
        if self.initial is None:
            return state
        trained = iter(self.initial)
        return map_state(lambda p: p + next(trained).to(p) if _trains(p) else p, state)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the cell's parameters anew; a trained initial state begins at zero again."""
        for part in self.initial or ():
            part.zero_()
        redraw_parts(self, own=type(self).reset_parameters is Recurrent.reset_parameters)

    def final_output(self, state: State) -> Tensor:
        """The first field of the state."""
        hidden: Tensor = state[0]
        return hidden

    def step(
        self, x_BD: Tensor, state: State, noise: Any = None, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """One step of the cell; see ``Layer.step``."""
        if self._reverse:
            raise refuse_streaming(type(self).__name__)
        run_hooks(self._modules["cell"], x_BD)
        if mask is not None:
            x_BD = x_BD.masked_fill(~mask.unsqueeze(-1), 0.0)
        output, after = self._step(x_BD, state, noise)
        if mask is not None:
            after = map_state(lambda new, old: select(mask, new, old), after, state)
            output = select(mask, output, torch.zeros_like(output))
        self.remember_activity(output)
        return output, after

    def _step(self, x_BD: Tensor, state: State, noise: Any) -> tuple[Tensor, State]:
        """By the engine's own step where there is no noise and it has one, else by the cell's."""
        cell: Any = self._modules["cell"]  # quicker than the module's attribute
        ready = self._planner.ready_step(self.engine, cell, x_BD) if noise is None else None
        # a graph's operator over time cannot look into planners
        if ready is not None or (noise is None and not torch.compiler.is_exporting()):
            if ready is not None:
                fast = ready(x_BD, state)
            else:
                fast = self._planner.step(self.engine, cell, x_BD, state, check=self._check_type)
            if fast is not None:
                return fast
            made = cell.step(at_time(cell.project(x_BD.unsqueeze(1)), 0), state)
            return next_state(cell, made, state)
        self._check_type(x_BD)
        given = () if noise is None else (noise,)
        projected = at_time(cell.project(x_BD.unsqueeze(1), *given), 0)
        return next_state(cell, cell.step(projected, state, *given), state)

    def sample_noise(
        self, batch_size: int, steps: int, *, device: torch.device, dtype: torch.dtype
    ) -> Any:
        """The cell's masks; None outside training."""
        cell = self.cell
        return (
            cell.sample_noise(batch_size, steps, device=device, dtype=dtype)
            if cell.training
            else None
        )

    @property
    def reverse(self) -> bool:
        """Whether the layer runs from the last step to the first."""
        return self._reverse

    def sides(self) -> Sides:
        """The layer itself; see ``Layer.sides``."""
        return Sides(None, self) if self._reverse else Sides(self, None)

    def reverse_(self) -> None:
        """Turn the direction of time around, in place."""
        self._reverse = not self._reverse

    def explain(self, x_BTD: Tensor, *, masked: bool = False) -> Plan:
        """Which engine would run this input now, with masked steps or without; why not others."""
        check_input(x_BTD, self.input_size, self._title)
        noise = self._noise(x_BTD)
        mask = x_BTD.new_ones(x_BTD.shape[:2], dtype=torch.bool) if masked else None
        run = Sequence(x_BTD, self.start(x_BTD, None), mask, self._reverse, noise)
        return self._planner.explain(self.engine, self.cell, run)

    def extra_repr(self) -> str:
        """Options that differ from the default."""
        return f"engine={self.engine}, reverse={self._reverse}"


@functools.cache
def _runs_as_written(kind: type[Recurrent]) -> bool:
    """Whether a class has nothing of its own around a run."""
    names = ("forward", "_over", "_run", "_noise", "start", "initial_state", "sample_noise",
             "remember_activity")  # fmt: skip
    return all(getattr(kind, name) is getattr(Recurrent, name) for name in names)


def _parameters(cell: Cell) -> nn.ParameterList:
    """A parameter for each tensor of a cell's initial state, zero, without rows."""
    return nn.ParameterList(
        nn.Parameter(torch.zeros_like(part[0])) for part in cell.initial_state(1) if _trains(part)
    )


def _trains(part: Tensor) -> bool:
    return part.is_floating_point() or part.is_complex()


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch's own
def _run_outside_the_graph(
    layer: Recurrent, x_BTD: Tensor, state: State, mask: Tensor | None, noise: Any
) -> tuple[Tensor, State]:
    """A run that ``torch.compile`` leaves alone: it cannot look into engines and need not."""
    return layer._run(x_BTD, state, mask, noise)  # noqa: SLF001  # of this module


def without_padding(x_BTD: Tensor, mask: Tensor) -> Tensor:
    """Zeros at masked steps: a NaN there would turn a zero gradient into NaN."""
    return x_BTD.masked_fill(~mask.unsqueeze(-1), 0.0)
