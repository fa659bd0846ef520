"""Temperature scaling: probabilities that say how often they are right (Guo et al. 2017).

    p(class) = softmax(scores / T)

with the one number T that makes held-out rows most probable. No answer changes by it, only how sure
it is.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from seqlab.heads.metrics.base import Outcome
from seqlab.heads.metrics.classes import CalibrationError
from seqlab.types import TargetInfo

#: T stays between these.
LEAST, MOST = 0.05, 20.0
#: Parts of the range of probabilities in a picture.
BINS = 15
_HALVINGS = 60


def fit_temperature(scores_NC: Tensor, gold_N: Tensor) -> float:
    """The T of least ``mean -log softmax(scores / T)[gold]``.

    The loss is convex in 1 / T, so the zero of its slope is found by halving. Where every answer is
    right there is none, as the surer the better, and T is 1; so it is without rows.

    Args:
        scores_NC: before the softmax.
        gold_N: the right classes.

    >>> import torch
    >>> scores = torch.tensor([[2.0, 0.0]] * 4)
    >>> t = fit_temperature(scores, torch.tensor([0, 0, 0, 1]))
    >>> round(float((scores[0] / t).softmax(0)[0]), 4)
    0.75
    """
    if bool((scores_NC.argmax(1) == gold_N).all()):
        return 1.0
    scores = scores_NC.double()
    right = scores.gather(1, gold_N.unsqueeze(1)).squeeze(1)
    low, high = 1 / MOST, 1 / LEAST
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        expected = ((scores * middle).softmax(1) * scores).sum(1)
        if float((expected - right).mean()) < 0:
            low = middle
        else:
            high = middle
    return 1.0 / math.sqrt(low * high)


def calibration_error(probabilities_NC: Tensor, gold_N: Tensor) -> float:
    """The expected calibration error: see ``seqlab.heads.metrics.classes.CalibrationError``."""
    metric = CalibrationError(TargetInfo("label", probabilities_NC.shape[1]))
    metric.update(Outcome(probabilities_NC.argmax(1), gold_N, probabilities_NC))
    return float(metric.compute())


def reliability(probabilities_NC: Tensor, gold_N: Tensor) -> list[dict[str, Any]]:
    """Rows by how sure their answer is: ``{"confidence", "accuracy", "rows"}`` for each bin.

    ``confidence`` is the mean probability of the answers of the bin, ``accuracy`` the share that
    is right; bins without rows are left out.
    """
    sure, answer = probabilities_NC.double().max(1)
    right = (answer == gold_N).double()
    place = (sure * BINS).long().clamp(max=BINS - 1)
    found = []
    for index in sorted(set(place.tolist())):
        here = place == index
        means = {"confidence": sure[here].mean(), "accuracy": right[here].mean()}
        rounded = {name: round(float(value), 6) for name, value in means.items()}
        found.append({**rounded, "rows": int(here.sum())})
    return found
