"""A run whose rows are in memory, and which leaves nothing but a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqlab import console, progress
from seqlab.bundle import TrainedModel
from seqlab.data.sources.base import Source
from seqlab.devices import check_device, global_settings
from seqlab.locks import temporary_folder
from seqlab.training.folder import open_folder
from seqlab.training.lightning_advice import quiet
from seqlab.training.run import Run


def fit_rows(
    spec: Mapping[str, Any],
    source: Source,
    *,
    weights: str | None = None,
    verbose: bool = False,
) -> TrainedModel:
    """Train a model on the rows of a source.

    Checkpoints lie in a temporary folder, which goes when the model is there.

    Args:
        spec: a run's spec; its key ``source`` does not count.
        source: where the rows come from.
        weights: the column with the weights of rows in the loss; None: each counts once.
        verbose: print a line an epoch.

    Raises:
        SeqlabError: bad input, in one line.
    """
    options = spec["trainer"]
    check_device(options)
    with (
        quiet(),
        console.silent(not verbose),
        progress.muted(not verbose),
        global_settings(options.get("num_threads")),
        temporary_folder() as place,
        open_folder(place / "run", spec) as folder,
    ):
        run = Run(spec, folder, source=source, weights=weights)
        run.fit()
        run.take_best()
        return TrainedModel(run.model.cpu().eval(), run.data.processor, dict(spec))
