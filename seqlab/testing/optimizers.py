"""The checks of optimisers and learning-rate schedules."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from seqlab.testing.case import Case
from seqlab.testing.check_table import Table
from seqlab.testing.compare import require
from seqlab.testing.contract import require_docstring, require_refusal, require_subclass
from seqlab.testing.result import Failure, Numbers, Skip
from seqlab.testing.sample import normal
from seqlab.training.schedules import RunLength, Schedule

#: Steps of a check, and the one after which it begins again from what was saved.
STEPS, BREAK = 20, 7


def saved(state: Any) -> Any:
    """A state after a file: only tensors and plain values come back.

    Raises:
        Failure: it holds something else.
    """
    stream = io.BytesIO()
    torch.save(state, stream)
    stream.seek(0)
    try:
        return torch.load(stream, weights_only=True)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise Failure(f"its state cannot be read again: {reason}") from error


@dataclass(frozen=True)
class OptimizerCase(Case):
    """An optimiser with its options, on a small linear regression."""

    kind: ClassVar[str] = "optimizer"

    def start(self, weight: Tensor | None = None, bias: Tensor | None = None) -> nn.Linear:
        """A model to train, in float64, with given weights or the kit's."""
        model = nn.Linear(4, 3).double()
        with torch.no_grad():
            model.weight.copy_(normal(3, 4, seed=41) if weight is None else weight)
            model.bias.copy_(normal(3, seed=42) if bias is None else bias)
        return model

    def new(self, model: nn.Linear, **options: Any) -> Optimizer:
        """The optimiser over two groups: the matrix, and the vector."""
        groups = [{"params": [model.weight]}, {"params": [model.bias]}]
        made: Optimizer = self.part(groups, **{**self.options, **options})
        return made

    def step(self, model: nn.Linear, optimizer: Optimizer, index: int) -> float:
        """One step on a batch of its own; the loss of all batches before it."""
        x = normal(8, 4, seed=50 + index % 4)
        optimizer.zero_grad()
        loss = (model(x) - x[:, :3]).square().mean()
        loss.backward()
        optimizer.step()
        return float(loss.detach())


OPTIMIZER_CHECKS = Table()


@OPTIMIZER_CHECKS.check(gate=True)
def constructor(case: OptimizerCase) -> None:
    """It is documented and makes a torch optimizer from groups and options; others are refused.

    Catches: options that are swallowed without effect.
    """
    require_docstring(case.part)
    made = case.new(case.start())
    require(isinstance(made, Optimizer), f"it makes {made!r:.80}, which is no torch optimizer")
    require(len(made.param_groups) == 2, f"{len(made.param_groups)} groups of the two given")
    require("lr" in made.param_groups[0], "its groups have no 'lr', which schedules change")
    require_refusal(case, [nn.Parameter(torch.zeros(2))])


@OPTIMIZER_CHECKS.check()
def loss_falls(case: OptimizerCase) -> Numbers:
    """With its own options it lowers the loss of a small regression in 200 steps.

    Catches: steps up the gradient; defaults that do not train.
    """
    model = case.start()
    optimizer = case.new(model)
    losses = [case.step(model, optimizer, index) for index in range(200)]
    first, last = sum(losses[:4]) / 4, sum(losses[-4:]) / 4
    require(last < first, f"the loss is {first:.4g} at first and {last:.4g} after 200 steps")
    return {"first": first, "last": last}


@OPTIMIZER_CHECKS.check()
def goes_on_as_if_never_stopped(case: OptimizerCase) -> None:
    """Made again from its saved state, it takes the very steps it would have taken.

    Catches: state outside of ``state_dict``, with which no run can be resumed.
    """
    model = case.start()
    optimizer = case.new(model)
    for index in range(STEPS):
        if index == BREAK:
            state = saved(optimizer.state_dict())
            weights = [parameter.detach().clone() for parameter in model.parameters()]
        case.step(model, optimizer, index)
    again = case.start(*weights)
    optimizer = case.new(again)
    optimizer.load_state_dict(state)
    for index in range(BREAK, STEPS):
        case.step(again, optimizer, index)
    same = all(map(torch.equal, model.parameters(), again.parameters()))
    require(same, f"other weights {STEPS - BREAK} steps after its state was saved and loaded")


@OPTIMIZER_CHECKS.check()
def rate_of_a_group_is_heeded(case: OptimizerCase) -> None:
    """A group whose ``lr`` is 0 stays as it is, and the other does not.

    Catches: rates that are read once, which no schedule can change.
    """
    model = case.start()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = case.new(model)
    optimizer.param_groups[1]["lr"] = 0.0
    case.step(model, optimizer, 0)
    require(torch.equal(model.bias, before[1]), "a group with lr = 0 was changed")
    require(not torch.equal(model.weight, before[0]), "a group with its own lr was not changed")


@dataclass(frozen=True)
class ScheduleCase(Case):
    """A schedule with its options."""

    kind: ClassVar[str] = "schedule"

    def new(self, total: int | None = STEPS, *, per_epoch: int = 5) -> Schedule:
        """For a run of so many steps."""
        run = RunLength(lr=0.1, total_steps=total, steps_per_epoch=per_epoch)
        made: Schedule = self.part(run, **self.options)
        return made

    def factors(self, schedule: Schedule, steps: int = STEPS) -> list[float]:
        """The factors of all steps.

        Raises:
            Skip: torch's own scheduler is used, which has none.
        """
        if type(schedule).factor is Schedule.factor:
            raise Skip("it gives a scheduler of torch's, and no factor")
        return [schedule.factor(step) for step in range(steps)]

    def rates(self, *, stop: int | None = None) -> list[float]:
        """The rates of a run; with ``stop``, of one that is saved there and goes on."""
        optimizer, scheduler = self._scheduled()
        found = []
        for step in range(STEPS):
            if step == stop:
                state = saved((optimizer.state_dict(), scheduler.state_dict()))
                optimizer, scheduler = self._scheduled()
                optimizer.load_state_dict(state[0])
                scheduler.load_state_dict(state[1])
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            value = () if self.new().stepped == "step" else (float(step % 7),)
            scheduler.step(*value)
        return found

    def _scheduled(self) -> tuple[Optimizer, Any]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=0.1)
        scheduler = self.new().scheduler(optimizer)
        if scheduler is None:
            raise Skip("the rate stays as it is")
        return optimizer, scheduler


SCHEDULE_CHECKS = Table()


@SCHEDULE_CHECKS.check(gate=True)
def schedule_constructor(case: ScheduleCase) -> None:
    """It is a documented ``Schedule`` made from a run's length and options; others are refused.

    Catches: options that are swallowed without effect.
    """
    require_subclass(case.part, Schedule)
    require_docstring(case.part)
    stepped = case.new().stepped
    require(stepped in ("step", "validation"), f"stepped is {stepped!r}, not step or validation")
    require_refusal(case, RunLength(lr=0.1, total_steps=STEPS))


@SCHEDULE_CHECKS.check()
def factors_are_finite(case: ScheduleCase) -> Numbers:
    """Every step of the run, and one beyond, has a finite factor of at least 0.

    Catches: divisions by nothing at the ends; rates that climb the loss.
    """
    found = case.factors(case.new(), STEPS + 2)
    for step, factor in enumerate(found):
        require(math.isfinite(factor) and factor >= 0, f"the factor of step {step} is {factor}")
    return {"lowest": min(found), "highest": max(found)}


@SCHEDULE_CHECKS.check()
def factor_is_a_function_of_the_step(case: ScheduleCase) -> None:
    """Asked backward and by a new object, each step has the same factor.

    Catches: counters inside, which a resumed run would begin anew.
    """
    forward, other = case.factors(case.new()), case.new()
    backward = [other.factor(step) for step in reversed(range(STEPS))]
    require(forward == backward[::-1], "the factors depend on what was asked before")


@SCHEDULE_CHECKS.check()
def length_is_used_as_it_says(case: ScheduleCase) -> None:
    """Without ``needs_length`` the factors are the same for any length of the run.

    Catches: runs that are made longer and change what was done already.
    """
    if case.part.needs_length:
        raise Skip("it says that it needs the length of the run")
    short, open_end = (case.factors(case.new(total)) for total in (STEPS, None))
    require(short == open_end, "the factors depend on the length: set needs_length = True")


@SCHEDULE_CHECKS.check()
def resumed_rates_are_the_same(case: ScheduleCase) -> None:
    """Saved in the middle and made again, it gives the rates of the unbroken run.

    Catches: state that ``state_dict`` does not hold.
    """
    require(case.rates() == case.rates(stop=BREAK), "other rates after its state was loaded")
