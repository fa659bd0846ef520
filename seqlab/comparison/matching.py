"""Equal terms: sizes that give the same number of parameters, steps that take the same time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from seqlab.comparison.contestants import Contestant, key_of
from seqlab.comparison.models import Cost, DataSets, parameter_count
from seqlab.errors import ConfigError, MachineError, OptionError

SIZE = "encoder.cell.hidden_size"
#: No cell is made wider than this.
_WIDEST = 1 << 16


def match_parameters(
    contestants: Sequence[Contestant], data: DataSets, parameters: int | None
) -> list[Contestant]:
    """Set the hidden size of each so that the whole models have as many weights as they can alike.

    Models are counted whole, without memory for them: embeddings and heads grow with the hidden
    size too, so the formulas of a cell alone would miss.

    Args:
        contestants: to be changed; the first keeps its size where no number is given.
        data: what models are built for.
        parameters: how many there should be; None: as many as the first contestant has.

    Raises:
        ConfigError: the contestants differ in just that size, or no size fits.
    """
    if any(key_of(word) == SIZE for other in contestants for word in _own(other, contestants)):
        raise ConfigError(
            f"match=parameters sets {SIZE}, by which the contestants differ; give match=none"
        )
    if parameters is None:
        first = contestants[0]
        parameters = parameter_count(first.spec, data.of(first).info)
    return [_sized(contestant, data, parameters) for contestant in contestants]


def _own(contestant: Contestant, others: Sequence[Contestant]) -> set[str]:
    shared = set(contestant.overrides).intersection(*(set(other.overrides) for other in others))
    return set(contestant.overrides) - shared


def _sized(contestant: Contestant, data: DataSets, parameters: int) -> Contestant:
    info = data.of(contestant).info

    def count(size: int) -> int | None:
        try:
            return parameter_count(contestant.with_option(SIZE, size).spec, info)
        except (OptionError, ValueError):  # such as an odd size for two heads
            return None

    size = nearest_size(count, parameters)
    if size is None:
        raise ConfigError(
            f"match=parameters: no {SIZE} gives '{contestant.name}' about {parameters:,} parameters"
        )
    return contestant.with_option(SIZE, size)


def nearest_size(count: Callable[[int], int | None], wanted: int) -> int | None:
    """The size whose count is nearest to the one wanted; counts grow with sizes.

    Args:
        count: of a size; None where there is no such size.
        wanted: the count.

    >>> nearest_size(lambda n: 3 * n * n, 1000), nearest_size(lambda n: None if n % 4 else n, 9)
    (18, 8)
    """
    low, high = 1, 2
    while high < _WIDEST and (_there(count, high, 1) or (0, wanted))[1] < wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        found = _there(count, middle, 1)
        if found is None or found[1] >= wanted:
            high = middle
        else:
            low = middle
    near = [found for found in (_there(count, low, -1), _there(count, high, 1)) if found]
    return min(near, key=lambda pair: abs(pair[1] - wanted))[0] if near else None


def _there(count: Callable[[int], int | None], size: int, step: int) -> tuple[int, int] | None:
    """The first size from this one on, up or down, that exists, with its count."""
    for other in range(size, max(0, size + 16 * step), step):
        if (found := count(other)) is not None:
            return other, found
    return None


def match_seconds(
    contestants: Sequence[Contestant], costs: Sequence[Cost], seconds: float | None
) -> tuple[list[Contestant], float]:
    """Give each as many steps as fit into the same time of training.

    The time of a step was measured in turns, so the number of steps does not depend on what else
    the machine did, and a repeated or resumed run has the same.

    Args:
        contestants: to be changed.
        costs: of each.
        seconds: of training, validation not counted; None: those of the first as it is configured.

    Returns:
        The contestants, and the seconds.

    Raises:
        ConfigError: nobody knows how long the first one trains.
    """
    milliseconds = [cost.step_ms or math.inf for cost in costs]
    if seconds is None:
        if costs[0].steps is None:
            raise ConfigError("match=seconds: give seconds=NUMBER, the training time of a run")
        seconds = costs[0].steps * milliseconds[0] / 1000
    found = []
    for contestant, step_ms in zip(contestants, milliseconds, strict=True):
        steps = int(seconds * 1000 / step_ms)
        if steps < 1:
            raise MachineError(
                f"match=seconds: '{contestant.name}' takes {step_ms / 1000:.3g} s for one "
                f"step, and a run has {seconds:g} s; give more seconds"
            )
        changed = contestant.with_option("trainer.max_epochs", None)
        changed = changed.with_option("trainer.max_seconds", None)
        found.append(changed.with_option("trainer.max_steps", steps))
    return found, round(seconds, 3)
