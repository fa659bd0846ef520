"""After training: the temperature of a classifier, and how far its probabilities are off."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from seqlab.console import is_primary, say
from seqlab.data.module import DataModule
from seqlab.errors import OptionError
from seqlab.heads.base import Head
from seqlab.heads.calibration import calibration_error, fit_temperature, reliability
from seqlab.heads.classification import ClassificationHead
from seqlab.model import SequenceModel
from seqlab.types import Batch


def calibrate(model: SequenceModel, data: DataModule) -> dict[str, Any]:
    """Fit the head's temperature on the validation rows, if it asks for that.

    Args:
        model: with the weights that are kept; its head has the temperature afterwards.
        data: has validation rows.

    Returns:
        ``{"temperature", "validation": {"before", "after"}, "test": {"before", "after"},
        "reliability": {"before": [...], "after": [...]}}``: expected calibration errors, and the
        bins of the test rows (without those, of the validation rows). Empty where nothing is asked.
    """
    head = model.head
    if not isinstance(head, ClassificationHead) or not head.fits_temperature:
        return {}
    scores = {split: _scores(model, data.loader(split)) for split in ("validation", "test")
              if split in data.splits}  # fmt: skip
    temperature = fit_temperature(*scores["validation"])
    head.temperature = temperature
    found: dict[str, Any] = {"temperature": round(temperature, 6)}
    if temperature == 1.0 and is_primary():
        say("every validation row is answered right, so no temperature fits: it stays 1")
    for split, (raw, gold) in scores.items():
        ways = {"before": raw.softmax(1), "after": (raw / temperature).softmax(1)}
        found[split] = {way: round(calibration_error(p, gold), 6) for way, p in ways.items()}
        found["reliability"] = {way: reliability(p, gold) for way, p in ways.items()}
    return found


def check_calibration(head: Head, *, validates: bool) -> None:
    """See that there are rows to fit a temperature on.

    Raises:
        OptionError: there are none.
    """
    if isinstance(head, ClassificationHead) and head.fits_temperature and not validates:
        raise OptionError(
            "head.temperature=fitted needs validation rows, and this run has none: give "
            "data.validation=0.1, or leave it out"
        )


def _scores(model: SequenceModel, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """Scores ``[N, C]`` before any temperature, and the right classes ``[N]``."""
    device = next(model.parameters()).device
    head = model.head
    model.eval()
    scores, gold = [], []
    with torch.inference_mode():
        for batch in batches:
            found = head.scores(model.encode(batch.to(device)))
            if found is not None:
                scores.append(found.cpu())
                gold.append(head.target_of(batch).cpu())
    return torch.cat(scores), torch.cat(gold)
