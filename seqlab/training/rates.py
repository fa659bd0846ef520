"""A rate to begin with, by a range test: the rate rises step by step, and the loss is watched.

The method is Smith's (2017), the work that of Lightning's ``Tuner.lr_find``. It trains a model of
its own, which is thrown away: a run itself stays as its spec says.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytorch_lightning.tuner.tuning import Tuner
from torch import Tensor

from seqlab import console
from seqlab.construct import construct
from seqlab.devices import check_device, global_settings
from seqlab.errors import RunError
from seqlab.locks import temporary_folder
from seqlab.training.folder import RunFolder
from seqlab.training.lightning_advice import quiet
from seqlab.training.module import LossMeter
from seqlab.training.run import Run
from seqlab.training.trainer import make_trainer

#: From the first rate to the last, so many steps.
LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100
#: The share of the mean that a new loss leaves.
_KEPT = 0.9


@dataclass(frozen=True)
class Rates:
    """What a range test saw.

    Attributes:
        rates: the rate of each step.
        losses: the loss after it, smoothed.
        suggestion: a tenth of the rate at which the loss was lowest.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


def find_rate(spec: Mapping[str, Any]) -> Rates:
    """Try rates from 1e-6 to 1 in 100 steps.

    It ends earlier where the loss has become four times the lowest.

    Args:
        spec: of the run that the rate is for.

    Raises:
        SeqlabError: bad input; or the loss never fell, so that no rate can be told.
    """
    check_device(spec["trainer"])
    source = construct("source", spec["source"], where="source")
    with (
        quiet(),
        console.silent(),
        global_settings(spec["trainer"].get("num_threads")),
        temporary_folder() as place,
        contextlib.redirect_stderr(io.StringIO()),  # a progress bar
    ):
        run = Run(spec, RunFolder(place, dict(spec)), source=source)
        alone = {**spec["trainer"], "accumulate_grad_batches": 1}
        run.trainer = make_trainer({**spec, "trainer": alone, "logger": {}}, run.folder, [])
        callbacks: Any = run.trainer
        callbacks.callbacks.clear()  # Lightning's own checkpoints
        run.batches.trainer = run.trainer
        run.module.meter = noted = _Noted()
        found: Any = Tuner(run.trainer).lr_find(
            run.module, train_dataloaders=run.batches.train(), min_lr=LOWEST, max_lr=HIGHEST,
            num_training=STEPS, update_attr=False,
        )  # fmt: skip
    # its own losses are smoothed by a mean that is too small in the first steps
    losses = tuple(smoothed(noted.losses))
    rates = tuple(found.results["lr"])[: len(losses)]
    return Rates(rates, losses, suggested(rates, losses))


class _Noted(LossMeter):
    """Keeps the loss of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def add(self, loss: Tensor) -> None:
        """Keep one."""
        super().add(loss)
        self.losses.append(float(loss.detach()))


def smoothed(losses: Sequence[float]) -> Iterator[float]:
    """Exponential means of the losses so far, each weighed by weights that add to one.

    >>> [round(value, 3) for value in smoothed([1.0, 1.0, 0.0])]
    [1.0, 1.0, 0.631]
    """
    mean = weight = 0.0
    for loss in losses:
        mean, weight = _KEPT * mean + (1 - _KEPT) * loss, _KEPT * weight + 1 - _KEPT
        yield mean / weight


def suggested(rates: Sequence[float], losses: Sequence[float]) -> float:
    """A tenth of the rate at which the loss was lowest, with two digits.

    Where the loss falls fastest is no good rule: at the small rates of the beginning that is left
    to which rows the batches have.

    >>> suggested([1e-4, 1e-3, 1e-2, 0.1, 1.0], [0.7, 0.69, 0.5, 0.4, 1.3])
    0.01

    Raises:
        RunError: the loss was lowest at the first rate.
    """
    known = [(loss, rate) for rate, loss in zip(rates, losses, strict=True) if math.isfinite(loss)]
    loss, best = min(known, default=(math.inf, 0.0))
    if not known or loss >= known[0][0]:
        raise RunError("the loss never fell in the range test; no rate can be told from it")
    return float(f"{best / 10:.1e}")
