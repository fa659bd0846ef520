"""Parts of a training run with one bug each. Do not use them; the kit must find them."""

from __future__ import annotations

import torch
from seqlab import Callback, Logger, Schedule


class _Steps(torch.optim.Optimizer):
    def __init__(self, params, *, lr: float = 0.1):
        super().__init__(params, {"lr": lr})
        self.taken = 0

    @torch.no_grad()
    def step(self, _=None):
        self.taken += 1
        for group in self.param_groups:
            for weight in group["params"]:
                weight.sub_(self.length(group) * self.direction(weight))

    def length(self, group):
        return group["lr"]

    def direction(self, weight):
        return weight.grad


class ClimbsTheLoss(_Steps):
    """A wrong sign."""

    def direction(self, weight):
        return -weight.grad


class CountsOutside(_Steps):
    """Its count of steps is not saved."""

    def length(self, group):
        return group["lr"] / self.taken**0.5


class KeepsItsFirstRate(_Steps):
    """No schedule can change the rate."""

    def length(self, _):
        return self.defaults["lr"]


class GoesBelowNothing(Schedule):
    """A rate below 0 at the end."""

    def factor(self, step):
        return 1.0 - 0.1 * step


class CountsItsCalls(Schedule):
    """Its factor depends on how often it was asked."""

    def __init__(self, run):
        super().__init__(run)
        self.asked = 0

    def factor(self, _):
        self.asked += 1
        return 0.9**self.asked


class HidesTheLength(Schedule):
    """It uses the run's length and does not say so."""

    def factor(self, step):
        return max(0.0, 1 - step / (self.run.total_steps or 100))


class ForgetsItsCount(Callback):
    """Its count of batches begins again in a resumed run."""

    def __init__(self):
        self.batches = 0

    def on_train_batch_start(self, _, pl_module, *__):
        self.batches += 1
        next(pl_module.parameters()).data.add_(0.01 * self.batches)


class SavesAnObject(Callback):
    """Its state can be written and not read again."""

    def state_dict(self):
        return {"range": range(3)}

    def load_state_dict(self, state_dict):
        """Nothing."""


class KnowsItsColumns(Logger):
    """The first row's columns are all there are."""

    columns = None

    def log_metrics(self, metrics, step=None):
        del step
        self.columns = self.columns or set(metrics)
        if set(metrics) - self.columns:
            raise ValueError("unknown columns")
