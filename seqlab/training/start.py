"""The key ``start`` of a run: which weights it begins with, and how they are trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqlab.console import is_primary
from seqlab.data.data_spec import DataSpec
from seqlab.data.known_vocabularies import KnownVocabularies
from seqlab.data.processor import Processor
from seqlab.model import SequenceModel
from seqlab.schema import read
from seqlab.start.origin import Origin
from seqlab.start.spec import StartSpec
from seqlab.start.table import show_start
from seqlab.start.training_plan import TrainingPlan, plan_of


class Start:
    """What a run begins with.

    Args:
        spec: the run's spec.

    Attributes:
        vocabularies: what the vocabularies of the data go on from, or None.
        told: for ``result.json``: the bundle, and how many weights are its; None without one.

    Raises:
        BundleError: the bundle cannot be loaded.
        ConfigError: the start does not fit the run.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._run = spec
        given = spec.get("start") or {}
        self.spec = read(StartSpec, {"bundle": given} if isinstance(given, str) else given, "start")
        self._origin = None if self.spec.bundle is None else Origin(self.spec)
        self.told: dict[str, Any] | None = None
        self.vocabularies: KnownVocabularies | None = None
        if self._origin is not None:
            self.vocabularies = self._origin.vocabularies(DataSpec.from_mapping(spec["data"]))

    def begin(self, model: SequenceModel, processor: Processor) -> TrainingPlan:
        """Give a new model its weights, and say how they are trained.

        Raises:
            ConfigError: a part is unknown or does not fit.
        """
        plan = plan_of(self.spec, model)
        taken = [] if self._origin is None else self._origin.give(model, processor, self._run)
        if self._origin is not None:
            given = sum(one.numbers for one in taken)
            self.told = {
                "bundle": self.spec.bundle,
                "weights": self._origin.digest,
                "taken": given,
                "new": sum(tensor.numel() for tensor in model.parameters()) - given,
            }
        if (taken or plan.epochs or plan.rates) and is_primary():
            title = f"start: {self._origin or 'new weights'}"
            show_start(title, model, taken, plan)
        self._origin = None  # its weights are not needed any more
        return plan
