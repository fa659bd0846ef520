"""One training run from its spec to its folder: checks, fit, test, result, bundle."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seqlab import console, progress
from seqlab.build import build_model
from seqlab.console import is_primary
from seqlab.construct import construct
from seqlab.data.module import DataModule
from seqlab.data.sources.base import Source
from seqlab.devices import check_device, global_settings
from seqlab.engines.calls import expected_calls
from seqlab.errors import ConfigError, MachineError, RunError
from seqlab.failures import machine_failure
from seqlab.files import reading
from seqlab.model import SequenceModel
from seqlab.registry import spoken
from seqlab.training import summary
from seqlab.training.calibration import calibrate, check_calibration
from seqlab.training.callbacks import Callback
from seqlab.training.checkpoint_io import AtomicCheckpointIO
from seqlab.training.checkpoints import is_before_a_batch
from seqlab.training.folder import Complete, RunFolder, open_folder
from seqlab.training.identity import check_identity, identity_of
from seqlab.training.lightning_advice import quiet
from seqlab.training.loaders import RunData
from seqlab.training.module import TrainingModule, TrainingOptions
from seqlab.training.monitor import monitor_of
from seqlab.training.outcome import Outcome
from seqlab.training.randomness import reseed
from seqlab.training.resuming import check_length_left
from seqlab.training.schedules import check_length
from seqlab.training.sharding import check_parts, is_sharded, leaves_unused
from seqlab.training.size_check import check_size
from seqlab.training.start import Start
from seqlab.training.start_vectors import (
    known_with_vectors,
    start_with_vectors,
    with_vector_sizes,
)
from seqlab.training.stopping import TERMINATED, end_others
from seqlab.training.trainer import (
    check_strategy,
    has_length,
    make_callbacks,
    make_trainer,
    run_length,
)
from seqlab.training.watched import Watch, Watched


@dataclass(frozen=True)
class Result:
    """What a finished run leaves.

    Attributes:
        values: the content of ``result.json``.
        objective: the monitored metric of the best weights; NaN without validation rows.
        folder: the run's folder.
    """

    values: dict[str, Any]
    objective: float
    folder: Path


def train(
    spec: Mapping[str, Any],
    run_dir: str | Path,
    begin: Callable[[], None] | None = None,
    complete: Complete = dict,
    watch: Watch | None = None,
) -> Result:
    """Carry out a run.

    Args:
        spec: the resolved spec, plain values only (see ``docs/architecture.md``).
        run_dir: where it writes ``metrics.csv``, ``checkpoints/``, ``result.json``, ``bundle/``.
        begin: called when the folder is checked and held by this process.
        complete: fills in what the spec of a run of an earlier version lacks.
        watch: told the monitored value after each validation; True halts the run.

    Raises:
        SeqlabError: bad input, in one line; found before training where it can be.
        HaltedError: ``watch`` asked for it.
    """
    options = spec["trainer"]
    check_device(options)
    check_strategy(options)
    with (
        quiet(),
        progress.muted(not options.get("enable_progress_bar", True)),
        global_settings(options.get("num_threads")),
        open_folder(Path(run_dir), spec, begin, complete) as folder,
        _in_one_line(folder),
    ):
        run = Run(spec, folder, watch)
        run.fit()
        return run.finish()


@contextlib.contextmanager
def _in_one_line(folder: RunFolder) -> Iterator[None]:
    """Failures of the machine say what failed and how to go on."""
    try:
        yield
    except Exception as error:
        failure = machine_failure(error)
        if failure is None:
            raise
        hint = folder.how_to_go_on if folder.resume_checkpoint.is_file() else ""
        raise MachineError(f"{failure}{hint}") from error


class Run:
    """The objects of one run: data, model, trainer; made, then ``fit``, then ``finish``.

    Args:
        spec: the resolved spec.
        folder: where it writes.
        watch: see ``train``.
        source: where the rows come from, in place of the spec's.
        weights: the column of the training rows with their weights in the loss; None: none.

    Raises:
        SeqlabError: bad input, in one line.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        folder: RunFolder,
        watch: Watch | None = None,
        source: Source | None = None,
        weights: str | None = None,
    ) -> None:
        self.spec, self.folder = with_vector_sizes(spec), folder
        check_length(spec.get("scheduler") or {"name": "none"}, known=has_length(spec["trainer"]))
        self.start = Start(spec)
        self.data = self._data(source or construct("source", spec["source"], where="source"))
        self._check_size()
        reseed(spec["seed"])
        self.model = self._built()
        start_with_vectors(self.model, self.data, self.spec)
        self.plan = self.start.begin(self.model, self.data.processor)
        if str(spec["trainer"].get("precision")) in ("64-true", "64"):
            # Lightning does so only when it has loaded a checkpoint, which would round it
            self.model.double()
        if weights is not None and not self.model.head.weighs_rows:
            raise ConfigError(
                f"the loss of {spoken('head', self.model.head)} knows no weights of rows; "
                "leave them out"
            )
        if self.model.head.refuses_rows:
            self.data.check_batches(self.model.head.refusal)
        if self.data.spec.chunks is not None:
            self.data.read_in_chunks(self.model.chunk_reading())
        overfit = spec["trainer"].get("overfit_batches") or 0
        validates = bool(overfit) or "validation" in self.data.splits
        check_calibration(self.model.head, validates="validation" in self.data.splits)
        self.recorder, self.keeper, callbacks = make_callbacks(
            spec, folder, self.model.head, validates=validates
        )
        if watch is not None:
            callbacks.insert(0, Watched(self.keeper, watch))
        self.engine = summary.engines_used(self.model)
        unused = leaves_unused(self.model)
        self.trainer = make_trainer(spec, folder, callbacks, unused=unused)
        check_parts(self.trainer.strategy, self.model, callbacks)
        self.batches = RunData(self.data, self.trainer, overfit=overfit, weights=weights)
        self.batches.check_limits(spec["trainer"])
        self.length = run_length(spec, len(self.batches.train()))
        if self.length.epochs is not None:
            self.trainer.fit_loop.max_epochs = self.length.epochs
        if is_primary() and spec["trainer"].get("max_epochs") == "auto" and self.length.epochs:
            console.say(f"trainer.max_epochs=auto: {self.length}")
        self.module = TrainingModule(self.model, self._options())
        self.module.identity = identity_of(self.data, spec, self.trainer.world_size)
        if not validates and is_primary():
            console.say("no validation rows: the last weights are kept, not the best")

    def _data(self, source: Source) -> DataModule:
        known = known_with_vectors(self.spec, self.start.vocabularies)
        data = DataModule(source, self.spec["data"], seed=self.spec["seed"], known=known)
        data.prepare()
        return data

    def _built(self) -> SequenceModel:
        model = build_model(self.spec, self.data.info)
        model.head.write_with(self.data.processor.writers())
        return model

    def _check_size(self) -> None:
        device = torch.device("cpu")
        if self.spec["trainer"].get("accelerator") in ("gpu", "cuda") and torch.cuda.is_available():
            device = torch.device("cuda")
        check_size(self.spec, self.data.info, device)

    def _options(self) -> TrainingOptions:
        length = self.length
        kept = (self.spec.get("callbacks") or {}).get("checkpoint") or {}
        device = self.trainer.strategy.root_device.type
        mixed = str(self.spec["trainer"].get("precision")) in ("16-mixed", "bf16-mixed", "16")
        return TrainingOptions(
            seed=self.spec["seed"],
            optimizer=self.spec["optimizer"],
            scheduler=self.spec.get("scheduler") or {"name": "none"},
            total_steps=length.steps,
            steps_per_epoch=length.per_epoch,
            monitor=monitor_of(kept, self.model.head, "callbacks.checkpoint"),
            # Lightning does not clip the gradients of a fused optimiser in mixed precision
            # and torch has no fused steps of shares for all
            fused=device in ("cpu", "cuda") and not (mixed or is_sharded(self.trainer.strategy)),
            plan=self.plan,
        )

    def fit(self) -> None:
        """Train, from the resume checkpoint if there is one; an interrupted run can go on."""
        checkpoint = self._resume_point()
        if checkpoint == "finished":
            return
        # 0 for an open end: engines must not depend on what this process has run so far
        with self._stopped(), expected_calls(self.length.steps or 0) as engines:
            self.trainer.fit(
                self.module,
                self.batches.train(),
                self.batches.validation(),
                ckpt_path=checkpoint,
            )
        self.engine = ", ".join(sorted(engines)) or self.engine
        if is_sharded(self.trainer.strategy):
            self.model = self._built()
            self.module.make_whole(self.model)

    @contextlib.contextmanager
    def _stopped(self) -> Iterator[None]:
        """Say how to go on when the block is stopped by a signal."""
        try:
            yield
        except (SystemExit, KeyboardInterrupt) as stop:
            if is_primary():
                console.say(f"stopped{self.folder.how_to_go_on}")
            if isinstance(stop, KeyboardInterrupt):
                raise
            end_others(self.trainer)
            if isinstance(stop.__context__, KeyboardInterrupt):
                signal.signal(signal.SIGINT, signal.default_int_handler)
                raise KeyboardInterrupt from None
            raise SystemExit(TERMINATED) from stop

    def _resume_point(self) -> str | None:
        """The checkpoint to go on from, None to begin, ``finished`` when only the test is left."""
        path = self.folder.resume_checkpoint
        if not self.folder.resumed:
            if self.spec.get("resume") and is_primary():
                console.say("nothing to resume yet: starting from the beginning")
            return None
        state = AtomicCheckpointIO().load_checkpoint(path)
        with reading(path, RunError, "a checkpoint of this run"):
            check_length_left(self.spec["trainer"], state)
            self._check_reopened(state)
            changes = check_identity(state.get("identity"), self.module.identity)
        self.folder.describe()
        if is_primary():
            console.say(f"resuming at step {state['global_step']}")
            for line in [*self.folder.carried, *changes]:
                console.say(line)
        callbacks = state["callbacks"]
        if self.folder.reopened or not callbacks[self.keeper.state_key]["finished"]:
            return str(path)
        for callback in self._callbacks():
            callback.load_state_dict(callbacks.get(callback.state_key, callback.state_dict()))
        self.keeper.load_state_dict(callbacks[self.keeper.state_key])
        self.recorder.load_state_dict(callbacks[self.recorder.state_key])
        self.module.load_state_dict(state["state_dict"])
        return "finished"

    def _check_reopened(self, state: Mapping[str, Any]) -> None:
        """Refuse to train a finished run further where that would not be the same run."""
        if not self.folder.reopened:
            return
        begin = f"begin another run with start={self.folder.bundle}"
        if not is_before_a_batch(state["loops"]["fit_loop"]):
            raise RunError(f"resume: an earlier version finished this run; {begin}")
        if self.trainer.world_size > 1:
            raise RunError(f"resume: one process alone can train a finished run further; {begin}")

    def _callbacks(self) -> list[Callback]:
        return [c for c in self.trainer.callbacks if isinstance(c, Callback)]  # type: ignore[attr-defined]

    def take_best(self) -> None:
        """Put the best weights into the model, or what a callback ends a run with."""
        if self.keeper.best_path is not None:
            best = AtomicCheckpointIO().load_checkpoint(self.keeper.best_path)
            self.module.load_state_dict(best["state_dict"])
        else:
            for callback in self._callbacks():
                callback.end_with(self.module)

    def finish(self) -> Result:
        """Test with the best weights and write what the run leaves."""
        seconds = self.recorder.final_seconds
        self.take_best()
        if is_primary():
            summary.show_ending(self.recorder.ended, self.keeper.choice)
            summary.warn_of_weights(self.model)
        self.calibration = calibrate(self.model, self.data)
        begin = time.monotonic()
        if (batches := self.batches.test()) is not None:
            reseed(self.spec["seed"], -1)
            with self._stopped():
                self.trainer.test(self.module, batches, verbose=False)
        outcome = self._outcome()
        values = outcome.values(seconds)
        values["test_seconds"] = round(time.monotonic() - begin, 3)
        if is_primary():
            self.folder.check_there()
            self.keeper.drop_replaced(self.trainer)
            with self._stopped():
                outcome.write(values)
        score = self.keeper.best.get("score", math.nan)
        return Result(values, score, self.folder.path)

    def _outcome(self) -> Outcome:
        return Outcome(
            spec=self.spec,
            folder=self.folder,
            data=self.data,
            model=self.model,
            module=self.module,
            keeper=self.keeper,
            recorder=self.recorder,
            engine=self.engine,
            calibration=self.calibration,
            begun=self.start.told,
        )
