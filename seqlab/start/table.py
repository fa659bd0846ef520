"""What a run begins with, as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from seqlab import console
from seqlab.model import SequenceModel
from seqlab.start.fitting import Taken
from seqlab.start.parts import spoken
from seqlab.start.training_plan import NEVER, TrainingPlan

_WORDS = {"taken": "taken", "entries": "entries", "resized": "resized", "new": "new"}


def show_start(
    title: str, model: SequenceModel, taken: Sequence[Taken], plan: TrainingPlan
) -> None:
    """Print what was taken, resized and left new, and how it is trained.

    Args:
        title: the line above.
        model: the new model.
        taken: what became of each weight; none: all are new.
        plan: how they are trained.
    """
    sizes = {name: tensor.numel() for name, tensor in model.state_dict().items()}
    taken = taken or [Taken(name, "new", "", 0) for name, _ in model.named_parameters()]
    rows: dict[tuple[str, ...], list[int]] = {}
    for one in taken:
        how = f"{_WORDS[one.how]}: {one.detail}" if one.detail else _WORDS[one.how]
        if one.how == "resized":
            how = _WORDS[one.how]
        key = (spoken(model, one.tensor), how, _training(one.tensor, plan))
        counted = rows.setdefault(key, [0, 0])
        counted[0] += sizes[one.tensor]
        counted[1] += one.numbers
    console.table(
        title,
        ["part", "weights", "of the bundle", "how", "trained"],
        [
            [part, f"{total:,}", f"{given:,}", how, trained]
            for (part, how, trained), (total, given) in rows.items()
        ],
    )


def _training(name: str, plan: TrainingPlan) -> str:
    epoch, rate = plan.epochs.get(name, 1), plan.rates.get(name, 1.0)
    if epoch == NEVER:
        return "no"
    when = "yes" if epoch == 1 else f"from epoch {epoch}"
    return when if rate == 1 else f"{when}, rate x {rate:.3g}"
