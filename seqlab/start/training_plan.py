"""How the weights of a run are trained: which never, which from a later epoch, at which rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from seqlab.errors import ConfigError
from seqlab.model import SequenceModel
from seqlab.start.parts import levels, tensors_of
from seqlab.start.spec import StartSpec

N = TypeVar("N", int, float)
#: An epoch that never comes.
NEVER = 0


@dataclass(frozen=True)
class TrainingPlan:
    """When each parameter is trained, and how fast.

    Attributes:
        epochs: parameter to the epoch from which on it is trained, counted from 1; ``NEVER``: none.
            One that is missing is trained from the first.
        rates: parameter to what its learning rate is multiplied by, where that is not 1.
    """

    epochs: Mapping[str, int] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)

    @property
    def changes(self) -> bool:
        """Whether some parameters begin to be trained in the course of the run."""
        return any(epoch > 1 for epoch in self.epochs.values())

    def trains(self, name: str, epoch: int) -> bool:
        """Whether a parameter is trained in an epoch, counted from 1."""
        return NEVER < self.epochs.get(name, 1) <= epoch

    def ever_trains(self, name: str) -> bool:
        """Whether a parameter is trained at some time."""
        return self.epochs.get(name, 1) != NEVER

    def apply(self, model: SequenceModel, epoch: int) -> None:
        """Let gradients reach the parameters that are trained in an epoch, counted from 1."""
        for name, parameter in model.named_parameters():
            if name in self.epochs:
                parameter.requires_grad_(self.trains(name, epoch))

    def drop_gradients(self, model: SequenceModel, epoch: int) -> None:
        """Forget the gradients of the parameters that are not trained in an epoch."""
        for name, parameter in model.named_parameters():
            if not self.trains(name, epoch):
                parameter.grad = None


def plan_of(spec: StartSpec, model: SequenceModel) -> TrainingPlan:
    """The plan that a run's key ``start`` asks for.

    Raises:
        ConfigError: a part is unknown, or there is nothing to train in the first epoch.
    """
    parameters = dict(model.named_parameters())
    epochs: dict[str, int] = {}
    if spec.unfreeze == "gradual":
        for step, level in enumerate(reversed([level for level in levels(model) if level]), 1):
            epochs |= dict.fromkeys(level, step)
    for part, epoch in _inside_last(model, spec.unfreeze, "start.unfreeze").items():
        epochs[part] = epoch
    for part in spec.freeze:
        # a part inside it may have an epoch of its own
        for name in tensors_of(model, part, "start.freeze"):
            if not isinstance(spec.unfreeze, Mapping) or name not in epochs:
                epochs[name] = NEVER
    epochs = {name: epoch for name, epoch in epochs.items() if name in parameters}
    plan = TrainingPlan(epochs, _rates(spec, model))
    if not any(plan.trains(name, 1) for name in parameters):
        raise ConfigError(
            "start: nothing is trained in the first epoch; leave a part out of start.freeze or "
            "start.unfreeze"
        )
    return plan


def _rates(spec: StartSpec, model: SequenceModel) -> dict[str, float]:
    """What learning rates are multiplied by: the decay of the level, and the part's own."""
    rates: dict[str, float] = {}
    for below, level in enumerate(reversed([level for level in levels(model) if level])):
        rates |= dict.fromkeys(level, spec.decay**below)
    for name, rate in _inside_last(model, spec.rates, "start.rates").items():
        rates[name] *= rate
    return {name: rate for name, rate in rates.items() if rate != 1}


def _inside_last(
    model: SequenceModel, given: Mapping[str, N] | str | None, key: str
) -> dict[str, N]:
    """A value for each tensor; of parts inside each other the inner one's."""
    if not isinstance(given, Mapping):
        return {}
    reached = {part: tensors_of(model, part, key) for part in given}
    found: dict[str, N] = {}
    for part in sorted(given, key=lambda part: -len(reached[part])):
        found |= dict.fromkeys(reached[part], given[part])
    return found
