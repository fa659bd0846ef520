"""A rate to begin with, by a range test: the rate rises step by step, and the loss is watched.

The method is Smith's (2017), the work Lightning's ``Tuner.lr_find``. It trains a model of its own,
which is thrown away: a run itself stays as its spec says.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytorch_lightning.tuner import Tuner

from seqlab import console
from seqlab.construct import construct
from seqlab.devices import check_device, global_settings
from seqlab.errors import RunError
from seqlab.locks import temporary_folder
from seqlab.training.folder import RunFolder
from seqlab.training.lightning_advice import quiet
from seqlab.training.run import Run
from seqlab.training.trainer import make_trainer

#: From the first rate to the last, so many steps.
LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100


@dataclass(frozen=True)
class Rates:
    """What a range test saw.

    Attributes:
        rates: the rate of each step.
        losses: the loss after it, smoothed.
        suggestion: where the loss falls fastest, with two digits.
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
        run.trainer = make_trainer({**spec, "logger": {}}, run.folder, [])
        run.batches.trainer = run.trainer
        found: Any = Tuner(run.trainer).lr_find(
            run.module, train_dataloaders=run.batches.train(), min_lr=LOWEST, max_lr=HIGHEST,
            num_training=STEPS, update_attr=False,
        )  # fmt: skip
    rates, losses = found.results["lr"], found.results["loss"]
    suggestion = found.suggestion()
    if suggestion is None or not math.isfinite(suggestion):
        raise RunError("the loss never fell in the range test; no rate can be told from it")
    return Rates(tuple(rates), tuple(losses), float(f"{suggestion:.1e}"))
