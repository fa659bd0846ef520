"""The model of a contestant before it is trained: its size, and what a step of training costs."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab import progress
from seqlab.build import build_model
from seqlab.comparison.contestants import Contestant
from seqlab.construct import construct
from seqlab.data.module import DataModule
from seqlab.devices import global_settings, pick_device
from seqlab.engines.calls import expected_calls
from seqlab.training.optimizers import build_optimizer
from seqlab.training.randomness import reseed
from seqlab.training.start import Start
from seqlab.training.start_vectors import known_with_vectors, with_vector_sizes
from seqlab.training.trainer import run_length
from seqlab.types import Batch, DataInfo

#: Batches of a measurement, and how often all contestants take their turn.
_BATCHES, _ROUNDS = 5, 7
_DTYPES = {"64": torch.float64, "bf16": torch.bfloat16, "16": torch.float16}
#: No more seconds than this are measured for each contestant.
_PATIENCE = 4.0


class Cost(NamedTuple):
    """What training costs before anything is learnt.

    Attributes:
        step_ms: milliseconds of a step: forward, backward, update; None: nobody measured it.
        memory: bytes of weights, gradients, optimiser, and what a batch keeps for the backward;
            None likewise.
        steps: of a whole run as it is configured; None: nobody knows.
    """

    step_ms: float | None
    memory: int | None
    steps: int | None


class DataSets:
    """The prepared data of contestants; those that read the same share it."""

    def __init__(self) -> None:
        self._found: dict[str, DataModule] = {}

    def of(self, contestant: Contestant) -> DataModule:
        """The data of one."""
        spec = contestant.spec
        start = spec.get("start") or {}
        parts = [spec["source"], spec["data"], start if start.get("bundle") else None]
        parts.append(known_with_vectors(spec, None).files)
        key = json.dumps(parts, sort_keys=True)
        if key not in self._found:
            source = construct("source", spec["source"], where="source")
            known = known_with_vectors(spec, Start(spec).vocabularies)
            self._found[key] = DataModule(source, spec["data"], seed=spec["seed"], known=known)
            self._found[key].prepare()
        return self._found[key]


def parameter_count(spec: Mapping[str, Any], info: DataInfo) -> int:
    """The weights of the whole model: embeddings, layers and head."""
    spec = with_vector_sizes(spec)
    try:
        with torch.device("meta"):
            return _count(build_model(spec, info))
    except (NotImplementedError, RuntimeError):  # a part that cannot be built without memory
        return _count(build_model(spec, info))


def _count(model: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


def costs(contestants: Sequence[Contestant], data: DataSets) -> list[Cost]:
    """Measure a step of each, in turns, so that whatever else the machine does slows all alike.

    Args:
        contestants: with their sizes.
        data: of all of them.
    """
    trials = [_Trial(contestant, data.of(contestant)) for contestant in contestants]
    patience = time.monotonic() + _PATIENCE * len(trials)
    with progress.stage("measuring steps", _ROUNDS, unit="rounds", lines=False) as stage:
        for number in range(_ROUNDS + 1):  # the first sets engines up and counts for nothing
            for trial in trials:
                trial.take_turn()
            stage.advance(number > 0)
            if number > 1 and time.monotonic() > patience:
                break
    return [trial.cost() for trial in trials]


class _Trial:
    """A model that takes a few steps of training again and again."""

    def __init__(self, contestant: Contestant, data: DataModule) -> None:
        spec = with_vector_sizes(contestant.spec)
        options = spec["trainer"]
        self.threads = options.get("num_threads")
        self.precision = str(options.get("precision") or "32-true")
        self.device = pick_device(options.get("accelerator") or "auto")
        self.batches = [batch.to(self.device) for batch in islice(data.loader("train"), _BATCHES)]
        self.steps = run_length(spec, data.steps_per_epoch).steps
        reseed(spec["seed"])
        dtype = _DTYPES.get(self.precision.removesuffix("-true"), torch.float32)
        self.model = build_model(spec, data.info).to(self.device, dtype).train()
        self.optimizer = build_optimizer(spec["optimizer"], self.model)
        self.seconds: list[float] = []

    def take_turn(self) -> None:
        """One step on each batch."""
        with global_settings(self.threads), expected_calls(self.steps or 0):
            begin = time.perf_counter()
            for batch in self.batches:
                self.optimizer.zero_grad()
                self._loss(batch).backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
                self.model.apply_constraints()
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            self.seconds.append((time.perf_counter() - begin) / len(self.batches))

    def _loss(self, batch: Batch) -> Tensor:
        kind, _, mixed = self.precision.partition("-")
        dtype = _DTYPES.get(kind, torch.float32)
        with torch.autocast(self.device.type, dtype, enabled=mixed == "mixed"):
            return self.model.loss(batch)

    def cost(self) -> Cost:
        """The median of all turns but the first, which set the engines up."""
        weights = 2 * sum(p.numel() * p.element_size() for p in self.model.parameters())
        state = sum(
            value.numel() * value.element_size()
            for values in self.optimizer.state.values()
            for value in values.values()
            if isinstance(value, Tensor)
        )
        step_ms = round(1000 * statistics.median(self.seconds[1:]), 4)
        return Cost(step_ms, weights + state + max(map(self._kept, self.batches)), self.steps)

    def _kept(self, batch: Batch) -> int:
        """Bytes that a forward keeps for its backward, the weights left out."""
        sizes: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with (
            expected_calls(self.steps or 0),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            loss = self._loss(batch)
        for weight in self.model.parameters():
            sizes.pop(weight.untyped_storage().data_ptr(), None)
        del loss  # kept alive until all was counted
        return sum(sizes.values())
