"""One LightningModule for every head: it owns the step, and nothing of the task."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torchmetrics import Metric

from seqlab.heads.metrics.class_table import ClassTables
from seqlab.measures import read_metrics
from seqlab.model import SequenceModel
from seqlab.start.training_plan import TrainingPlan
from seqlab.training.optimizers import build_optimizer
from seqlab.training.randomness import reseed
from seqlab.training.schedules import RunLength, build_schedule
from seqlab.training.sharding import fill, gather, release, shard
from seqlab.training.unused import GradientWatch, gradient_watch
from seqlab.types import Batch

#: More classes make no table for people.
_CLASSES = 100


@dataclass
class LossMeter:
    """The mean training loss since it was last read, kept on the device until then."""

    total: Tensor | None = None
    count: int = 0
    lr: float = 0.0

    def add(self, loss: Tensor) -> None:
        """Count one batch."""
        self.total = loss.detach() if self.total is None else self.total + loss.detach()
        self.count += 1

    def mean(self) -> float | None:
        """The mean since the last ``take``; None where there is no loss yet."""
        return None if self.total is None else float(self.total) / self.count

    def take(self) -> tuple[float, int]:
        """The sum and the number of the losses since the last call."""
        taken = (0.0 if self.total is None else float(self.total)), self.count
        self.total, self.count = None, 0
        return taken


@dataclass(frozen=True)
class TrainingOptions:
    """How the weights are changed: see ``seqlab.training.optimizers`` and ``schedules``."""

    seed: int
    optimizer: Mapping[str, Any]
    scheduler: Mapping[str, Any] = field(default_factory=lambda: {"name": "none"})
    total_steps: int | None = None
    steps_per_epoch: int = 1
    monitor: tuple[str, str] = ("loss", "min")
    fused: bool = False
    plan: TrainingPlan = field(default_factory=TrainingPlan)


class TrainingModule(pl.LightningModule):
    """Trains a ``SequenceModel``.

    Before each batch the random generators are set to a function of (seed, epoch, batch), where
    batches count over all processes. So a resumed run draws what the unbroken one would have drawn,
    and several processes draw what one process draws that accumulates their batches.

    Args:
        model: what is trained.
        options: optimiser, schedule and seed.
    """

    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(self, model: SequenceModel, options: TrainingOptions) -> None:
        super().__init__()
        self.model = model
        self.options = options
        # here, because processes that train together agree once which parameters they train, before
        # they are asked for optimisers
        for name, parameter in model.named_parameters():
            if name in options.plan.epochs:
                parameter.requires_grad_(options.plan.ever_trains(name))
        self.meter = LossMeter()
        self.carry, self.measured_carry = model.new_carry(), model.new_carry()
        self.validation_metrics = nn.ModuleDict(_with_loss(model))
        self.test_metrics = nn.ModuleDict(_with_loss(model))
        self.class_tables = ClassTables(model.head.target_info, model.head.metrics(), _CLASSES)
        self.classes: dict[str, Any] = {}
        self.class_text = ""
        self.results: dict[str, dict[str, float]] = {}
        self.identity: dict[str, Any] = {}
        self.watch: GradientWatch | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the running hook about 40 times a step; nn.Module's way would take
        # longer than all the rest of its bookkeeping
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def configure_model(self) -> None:
        """Share the weights out for training, where the strategy does so."""
        if self.trainer.state.fn == TrainerFn.FITTING:
            shard(self.model, self.trainer.strategy)

    def configure_optimizers(self) -> Any:
        """The optimiser and, unless the rate is constant, its schedule."""
        options = self.options
        optimizer = build_optimizer(
            options.optimizer, self.model, fused=options.fused, rates=options.plan.rates
        )
        run = RunLength(
            lr=optimizer.param_groups[0]["lr"],
            total_steps=options.total_steps,
            steps_per_epoch=options.steps_per_epoch,
            mode=options.monitor[1],
        )
        schedule = build_schedule(options.scheduler, optimizer, run)
        return optimizer if schedule is None else ([optimizer], [schedule])

    def make_whole(self, model: SequenceModel) -> None:
        """Go on with a whole model that has the weights which were trained in shares."""
        fill(model, self.model)
        self.model = model
        self.carry, self.measured_carry = model.new_carry(), model.new_carry()

    def on_train_start(self) -> None:
        """A run that goes on inside an epoch trains what that epoch trains."""
        self.watch = gradient_watch(self.trainer, self.model)
        self.on_train_epoch_start()

    def on_train_epoch_start(self) -> None:
        """Train what this epoch trains; several processes leave it to the step."""
        if self.trainer.world_size == 1:
            self.options.plan.apply(self.model, self.trainer.current_epoch + 1)

    def on_after_backward(self) -> None:
        """Refuse a missing gradient that other processes would wait for."""
        if self.watch is not None:
            self.watch.check()

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Change only what this epoch trains, where processes exchange the gradients of all."""
        del optimizer
        if self.trainer.world_size > 1 and self.options.plan.changes:
            self.options.plan.drop_gradients(self.model, self.trainer.current_epoch + 1)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """The batch on the model's device; nothing to do on the CPU."""
        del dataloader_idx
        return batch if device.type == "cpu" else batch.to(device, non_blocking=True)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch, regularization included."""
        trainer = self.trainer
        batch_of_all = batch_idx * trainer.world_size + trainer.global_rank
        reseed(self.options.seed, trainer.current_epoch, batch_of_all, 0)
        loss = self.model.loss(batch, self.carry)
        self.meter.add(loss)
        return loss

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """One step of the optimiser, then the constraints on the weights."""
        self.meter.lr = optimizer.param_groups[0]["lr"]
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.model.apply_constraints()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state of rows in chunks, losses not logged yet, what the run was begun with."""
        checkpoint["carried"] = self.carry.tensors()
        checkpoint["identity"] = self.identity
        checkpoint["meter"] = {"total": self.meter.total, "count": self.meter.count}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with that state and those losses."""
        self.carry.restore(checkpoint.get("carried", []))
        if "meter" in checkpoint:
            total, self.meter.count = checkpoint["meter"]["total"], checkpoint["meter"]["count"]
            self.meter.total = None if total is None else total.to(self.device)

    def on_validation_start(self) -> None:
        """Have all weights here."""
        gather(self.model)

    def on_validation_end(self) -> None:
        """Have this process's share."""
        release(self.model)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count one validation batch."""
        del batch_idx
        self._measure(self.validation_metrics, batch, final=False)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Count one test batch, decoded as ``predict`` decodes."""
        del batch_idx
        self._measure(self.test_metrics, batch, final=True)

    def _measure(self, metrics: nn.ModuleDict, batch: Batch, *, final: bool) -> None:
        named: dict[str, Any] = dict(metrics.items())
        mean = named.pop("loss")
        if final:
            named |= self.class_tables.metrics()
        terms = self.model.measure_terms(named, batch, final=final, carry=self.measured_carry)
        mean.update(terms)

    def on_validation_epoch_end(self) -> None:
        """Publish the validation metrics, for early stopping and the plateau schedule.

        A sanity check only proves that validation runs: what it measured counts for nothing.
        """
        if self.trainer.sanity_checking:
            read_metrics(dict(self.validation_metrics.items()))
            return
        values = self._publish("validation", self.validation_metrics)
        self.log_dict({f"val_{k}": v for k, v in values.items()}, logger=False)
        if self.trainer.state.fn == TrainerFn.FITTING:
            for config in self.trainer.lr_scheduler_configs:
                if config.reduce_on_plateau:
                    watched: Any = config.scheduler
                    watched.step(values[self.options.monitor[0]])

    def on_test_epoch_end(self) -> None:
        """Keep the test metrics, and which classes were taken for which."""
        self._publish("test", self.test_metrics)
        tables = self.class_tables.tables().values()
        with contextlib.ExitStack() as synced:
            for table in tables:
                synced.enter_context(table.sync_context())
            self.classes, self.class_text = self.class_tables.content(), self.class_tables.text()
        for table in tables:
            table.reset()

    def _publish(self, split: str, metrics: nn.ModuleDict) -> dict[str, float]:
        values = read_metrics(dict(metrics.items()))
        self.results[split] = values
        return values


def validation_results(module: pl.LightningModule) -> dict[str, float]:
    """The metrics of the validation that just ended.

    Raises:
        TypeError: the module is not a ``TrainingModule``.
    """
    if not isinstance(module, TrainingModule):
        raise TypeError(f"expected a TrainingModule, got {type(module).__name__}")
    return module.results["validation"]


def _with_loss(model: SequenceModel) -> dict[str, Metric]:
    return {**model.metrics(), "loss": model.loss_mean()}
