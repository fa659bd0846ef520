"""Weights of classes in a loss: given by hand, or so that rare classes count as much as others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from seqlab.errors import OptionError
from seqlab.schema import NonNegative, check_value, with_defaults
from seqlab.types import TargetInfo

#: What ``class_weights`` of a head may be.
ClassWeights: TypeAlias = Sequence[float] | Mapping[str, float] | Literal["balanced"] | None


def class_weights(value: ClassWeights, target: TargetInfo) -> Tensor | None:
    """Weights by class ``[C]``; None for none.

    Args:
        value: a list in the order of ids, a mapping by class name (1 for those it leaves out), or
            ``balanced``: by the counts n_c of the training rows, ``N / (C n_c)`` for one class a
            row or step (King and Zeng 2001), and for several labels ``(N - n_c) / n_c``, which
            makes the positive answers of each label weigh as much as its negative ones.
        target: the classes.

    Raises:
        OptionError: another number of weights, an unknown class, a weight that is negative, or
            ``balanced`` where nothing was counted.

    >>> target = TargetInfo("label", 2, ("ham", "spam"))
    >>> class_weights({"spam": 3}, target)
    tensor([1., 3.])
    """
    if value is None:
        return None
    if isinstance(value, str):
        return _balanced(value, target)
    weights = list(value)
    if isinstance(value, Mapping):
        given = {str(name): weight for name, weight in value.items()}
        names = dict.fromkeys(target.names, 1.0)
        weights = list(with_defaults(given, names, "class_weights").values())
    if len(weights) != target.size:
        raise OptionError(
            f"class_weights: expected {target.size} numbers, one a class, got {len(weights)}"
        )
    check_value(weights, list[NonNegative], "class_weights")
    return torch.tensor(weights, dtype=torch.float32)


def _balanced(value: str, target: TargetInfo) -> Tensor:
    if value != "balanced":
        raise OptionError(
            f"class_weights: expected a list, a mapping of class name to number, or 'balanced', "
            f"got {value!r}"
        )
    counts, total = target.statistics.counts, target.statistics.total
    if not counts:
        raise OptionError(
            "class_weights=balanced needs the counts of the training rows, and this target has "
            "none; give the weights as a list or by name"
        )
    # a class of held-out rows alone never meets its weight in training
    n = torch.tensor(counts, dtype=torch.float64).clamp(min=1)
    weights = (total - n) / n if target.kind == "labels" else total / (target.size * n)
    return weights.float()
