"""What an engine is: a way to run a cell over time, and what it asks for it."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from seqlab.cells.base import Cell, first_parameter
from seqlab.types import State


class Sequence(NamedTuple):
    """What a cell is run over.

    Attributes:
        x: input ``[B, T, D]``, T >= 1, finite everywhere (masked steps are already zero).
        state: the state before the first step.
        mask: ``[B, T]`` bool, True = real, or None when all steps are real. A masked step leaves
            the state as it was and outputs zeros.
        reverse: run from the last step to the first; outputs stay at their input's time.
        noise: what ``cell.sample_noise`` returned.
    """

    x: Tensor
    state: State
    mask: Tensor | None = None
    reverse: bool = False
    noise: Any = None


class Stack(NamedTuple):
    """Cells with nothing between them, from the input to the output.

    Attributes:
        levels: one cell, or a forward and a backward one over the same input; the next level
            takes their outputs side by side.
        at_rest: whether every initial state is known to be zero.
    """

    levels: tuple[tuple[Cell, ...], ...]
    at_rest: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, level by level."""
        return tuple(cell for level in self.levels for cell in level)


class Offer(NamedTuple):
    """What an engine asks for one run of a cell; the planner takes the cheapest.

    Estimates need not be exact, as all engines give the same numbers. They must depend on the
    cell's options and the input's form alone, so that a run that is repeated chooses as before.

    Attributes:
        setup_seconds: paid once for a layer, such as compiling.
        call_seconds: of one call, forward and backward.
        why: the engine's strength in a few words.
        kept_seconds: of setting up where an earlier process has kept what that makes (see
            ``Engine.kept``); None where nothing is kept.
        by_name: why ``auto`` leaves the engine out, so that it runs only where it is asked for by
            name; None where it may be chosen.
    """

    setup_seconds: float
    call_seconds: float
    why: str
    kept_seconds: float | None = None
    by_name: str | None = None


class NotPreparedError(Exception):
    """A run came for which the engine can do nothing any more, since the cell has changed."""


#: One step of streaming: ``[B, D]`` and the state before it to ``[B, E]`` and the state after it;
#: None where the engine has no way of its own.
StepCall = Callable[[Tensor, State], "tuple[Tensor, State] | None"]
#: A run of inputs of one form, from a state or, where it is None, from the initial one, with a mask
#: or, where all steps are real, None; None where it cannot be done so.
RunCall = Callable[[Tensor, "State | None", "Tensor | None"], "tuple[Tensor, State] | None"]


class Engine(ABC):
    """Runs a cell over a sequence. Engines are stateless; one instance serves all layers.

    Class attributes:
        name: the registered name.
        differentiable: whether results have the loop's gradients. An engine that sets it to False
            is for inference: where gradients are wanted it is refused, as in training, and the
            conformance kit compares its outputs and states alone.
        transformable: whether it works inside ``torch.func``'s transforms (vmap, grad, jvp) and
            forward-mode differentiation: true for plain torch operations, false for kernels,
            ``autograd.Function``s and anything that asks for values.
        exportable: whether ``torch.export`` can trace it.
    """

    name: ClassVar[str]
    differentiable: ClassVar[bool] = True
    transformable: ClassVar[bool] = False
    exportable: ClassVar[bool] = False

    def unavailable(self) -> str | None:
        """Why this engine cannot work on this machine at all; None if it can."""
        return None

    @abstractmethod
    def offer(self, cell: Cell, run: Sequence) -> Offer | str:
        """What a run would cost, or why this engine cannot run it, in a few words.

        It is asked for every new form of input, so it must be quick; dear work that an offer's
        ``setup_seconds`` stand for is done in ``prepare``.
        """

    def prepare(self, cell: Cell, run: Sequence) -> str | None:
        """Do once what ``setup_seconds`` pay for; why it cannot be done, or None.

        It is called when the planner has chosen the engine, and again for new forms of input.
        """
        del cell, run
        return None

    def prepare_behind(self, cell: Cell, run: Sequence) -> Callable[[], object] | None:
        """What of ``prepare`` takes long, to be done while steps go on; None where nothing can.

        A stream must not wait for a compiler, so the planner runs what is returned in a thread of
        its own and then asks for offers again. It must not touch the cell, which is in use;
        what must is done before it is returned.
        """
        del cell, run
        return None

    def kept(self, cell: Cell, run: Sequence, *, look: bool) -> Literal["here", "stored"] | None:
        """Whether what ``setup_seconds`` pay for was made before.

        The planner asks for calls without gradients alone: a training that is resumed must choose
        as it did before, whatever a cache holds.

        Args:
            cell: as for ``offer``.
            run: as for ``offer``.
            look: whether finding out may take as long as the offer's ``kept_seconds``.

        Returns:
            ``here``: in this process, so that nothing is left to do; ``stored``: what is left takes
            ``kept_seconds``; None: nothing was made, or nobody has looked.
        """
        del cell, run, look
        return None

    @abstractmethod
    def run(self, cell: Cell, run: Sequence) -> tuple[Tensor, State]:
        """Run all steps.

        Returns:
            ``[B, T, output_size]`` and the final state.

        Raises:
            NotPreparedError: the cell has changed since the engine was chosen and cannot be run
                any more; the planner then chooses anew.
        """

    def ready_run(self, cell: Cell, run: Sequence) -> RunCall:
        """``run`` for many inputs of this form, without gradients and noise.

        The calls have a mask each, ``[B, T]`` bool, if ``run`` had one, else None.

        The planner uses it as long as no attribute of the cell is set, the engine is the one
        chosen, and nothing surrounds the call (``seqlab.engines.settled.undisturbed``). Parameters
        may change between the calls. An engine whose runs cost little beside what it does before
        each of them overrides it.

        Args:
            cell: the cell.
            run: a run that was done.
        """
        start, reverse = starts(cell, run), run.reverse

        def again(
            x_BTD: Tensor, state: State | None, mask: Tensor | None
        ) -> tuple[Tensor, State] | None:
            state = start(x_BTD, state)
            if state is None:
                return None
            try:
                return self.run(cell, Sequence(x_BTD, state, mask, reverse))
            except NotPreparedError:
                return None

        return again

    def ready_training_run(self, cell: Cell, run: Sequence) -> RunCall:
        """The same with gradients, for an engine that is ``differentiable``.

        The rules are those of ``ready_run``, which this does not call: an engine's own may be for
        runs without gradients.
        """
        return Engine.ready_run(self, cell, run)

    def step(self, cell: Cell, x_BD: Tensor, state: State) -> tuple[Tensor, State] | None:
        """One step of streaming; None where the engine has no faster way than the cell's own."""
        del cell, x_BD, state
        return None

    def offer_step(self, cell: Cell, run: Sequence) -> Offer | str:
        """As ``offer``, for steps that are taken one by one; ``run`` has one."""
        return self.offer(cell, run)

    def ready_step(self, cell: Cell) -> StepCall:
        """``step`` for many steps of one cell with inputs of one shape and type.

        No attribute of the cell is set meanwhile, and gradients and autocast stay as they are. So
        an engine that looks at a cell's options in each step may look once, here; numbers of
        parameters may change between the steps.
        """
        return functools.partial(self.step, cell)

    def stack_form(self, cell: Cell) -> Hashable | None:
        """Cells of equal, not None, form may stand in one stack that this engine runs at once."""
        del cell
        return None

    def offer_stack(self, stack: Stack, run: Sequence) -> Offer | str:
        """As ``offer``, for several cells in one run; ``run.state`` is not looked at."""
        del stack, run
        return "it runs one cell at a time"

    def run_stack(self, stack: Stack, run: Sequence) -> tuple[Tensor, list[State]]:
        """Run a stack for which ``offer_stack`` has made an offer.

        Args:
            stack: the cells.
            run: ``state`` is a list with the initial state of each cell; with ``reverse`` the
                forward cells run from the last step to the first, the backward ones against them.

        Returns:
            ``[B, T, E]``, the last level's outputs with the directions side by side, and the
            final state of each cell.
        """
        raise NotImplementedError(f"{type(self).__name__} makes no offers for stacks")

    def refusal_of_gradients(self, cell: Cell, x_BTD: Tensor) -> str | None:
        """Why this engine cannot give the gradients that are wanted now; None if it can."""
        if self.differentiable or not torch.is_grad_enabled() or torch.compiler.is_exporting():
            return None
        if not any(part.requires_grad for part in (x_BTD, *cell.parameters())):
            return None
        return "it gives no gradients, so it needs torch.no_grad()"


def starts(
    cell: Cell, run: Sequence, *, only_read: bool = False
) -> Callable[[Tensor, State | None], State | None]:
    """What runs of one form start from, given an input and a state or None for the initial one.

    It gives None for a state of another form.

    Args:
        cell: the cell.
        run: a run of that form.
        only_read: nobody writes to the state, so that runs may share their zeros; on a GPU to fill
            them takes as long as a small product.
    """
    kind, shapes = type(run.state), [getattr(part, "shape", None) for part in run.state]
    like = first_parameter(cell)
    shared = only_read and type(cell).initial_state is Cell.initial_state and like is not None

    def start(x_BTD: Tensor, state: State | None) -> State | None:
        if state is None:
            if like is not None and shared:
                return kind(*[zeros(s, like.dtype, x_BTD.device) for s in shapes if s is not None])
            return cell.initial_state(len(x_BTD), device=x_BTD.device)
        same = type(state) is kind and [getattr(part, "shape", ()) for part in state] == shapes
        return state if same else None

    return start


def zeros(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros that nobody may write to, for calls may share them; where those are ``undisturbed``."""
    stream = stream_of(device)
    if stream is None:
        return torch.zeros(shape, dtype=dtype, device=device)
    return _zeros(shape, dtype, device, stream)


def stream_of(device: torch.device) -> Hashable | None:
    """The queue of a device's work, in whose order kept memory was filled and may be read.

    None where a CUDA graph is being captured: it would go on reading memory that is not its own,
    and what is filled there is filled when it is replayed.
    """
    if device.type != "cuda":
        return 0
    if torch.cuda.is_current_stream_capturing():
        return None
    stream: int = torch.cuda.current_stream(device).cuda_stream
    return stream


@functools.lru_cache(maxsize=16)
def _zeros(shape: torch.Size, dtype: torch.dtype, device: torch.device, stream: Hashable) -> Tensor:
    del stream
    with torch.inference_mode(mode=False):
        return torch.zeros(shape, dtype=dtype, device=device)
