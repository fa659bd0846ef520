"""The checks of metrics: what they are told, what they add up."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.errors import OptionError
from seqlab.heads.metrics import Outcome, TaskMetric
from seqlab.testing.case import Case
from seqlab.testing.check_table import Table
from seqlab.testing.compare import refused, require
from seqlab.testing.contract import REFUSALS, require_docstring, require_subclass
from seqlab.testing.pickling import survives
from seqlab.testing.result import Numbers, Skip
from seqlab.testing.sample import normal, seeded
from seqlab.types import TargetInfo

_NAMES = ("O", "B-X", "I-X", "B-Y", "I-Y")
_ROWS, _STEPS = 8, 4
_TARGETS = {
    "label": TargetInfo("label", 5, _NAMES),
    "labels": TargetInfo("labels", 5, _NAMES),
    "tags": TargetInfo("tags", 5, _NAMES),
    "tokens": TargetInfo("tokens", 5, bos=3, eos=4),
    "values": TargetInfo("values", 2),
    "inputs": TargetInfo("inputs", 5, bos=2, eos=3),
    "step_values": TargetInfo("step_values", 2),
    "horizon": TargetInfo("horizon", 2, steps=_STEPS),
}


@dataclass(frozen=True)
class MetricCase(Case):
    """A metric class with its options."""

    kind: ClassVar[str] = "metric"

    def targets(self) -> list[TargetInfo]:
        """A target of each kind that the metric measures and the kit knows.

        Raises:
            Skip: there is none.
        """
        known = [_TARGETS[kind] for kind in self.part.needs if kind in _TARGETS]
        if not known:
            raise Skip(f"the kit has no answers for targets of kind {', '.join(self.part.needs)}")
        return known

    def new(self, target: TargetInfo) -> TaskMetric:
        """A fresh metric."""
        made: TaskMetric = self.part(target, **self.options)
        return made

    def value(self, target: TargetInfo, *batches: Outcome) -> float:
        """What a fresh metric says of some batches."""
        metric = self.new(target)
        for batch in batches:
            metric.update(batch)
        return float(metric.compute())


def outcome(target: TargetInfo, rows: slice = slice(None), *, padding: int = 0) -> Outcome:
    """Answers of which about half are right; ``padding`` fills what no metric may look at."""
    with seeded(31):
        gold: Any = torch.randint(target.size, (_ROWS, _STEPS))
        other = torch.randint(target.size, (_ROWS, _STEPS))
        answer: Any = torch.where(torch.rand(_ROWS, _STEPS) < 0.5, gold, other)
    scores: Tensor = normal(_ROWS, _STEPS, target.size, seed=32)
    scores = scores + 2.0 * torch.nn.functional.one_hot(answer, target.size)
    if target.kind == "label":
        answer, gold, found = answer[:, 0], gold[:, 0], scores[:, 0].softmax(-1)
        return Outcome(answer[rows], gold[rows], found[rows])
    if target.kind == "labels":
        flags = [torch.nn.functional.one_hot(ids, 5).amax(1) for ids in (answer, gold)]
        return Outcome(flags[0][rows], flags[1][rows], scores[:, 0].sigmoid()[rows])
    if target.kind == "tags":
        lengths = torch.tensor([4, 1, 3, 2, 4, 4, 2, 3])
        beyond = torch.arange(_STEPS) >= lengths.unsqueeze(1)
        answer = answer.masked_fill(beyond, padding)
        return Outcome(answer[rows], gold[rows], scores[rows], lengths[rows])
    if target.kind == "inputs":
        chosen = scores.log_softmax(-1).gather(-1, gold.unsqueeze(-1)).squeeze(-1)
        flat = [part[rows].flatten() for part in (answer, gold, chosen)]
        return Outcome(flat[0], flat[1], flat[2])
    if target.kind in ("values", "step_values", "horizon"):
        return _numbers(target, rows)
    lists = [row[: 1 + index % _STEPS] for index, row in enumerate(answer.tolist())]
    accepted = [[row[: 1 + index % 3]] for index, row in enumerate(gold.tolist())]
    return Outcome(lists[rows], accepted[rows], cut=torch.arange(_ROWS)[rows] % 3 == 0)


def _numbers(target: TargetInfo, rows: slice) -> Outcome:
    """Numbers near the right ones, with quantiles; some of the right ones are not known."""
    shape = (_ROWS, target.size) if target.kind == "values" else (_ROWS, _STEPS, target.size)
    right = normal(*shape, seed=33)
    answer = right + 0.3 * normal(*shape, seed=34)
    right[2, ..., 0] = float("nan")
    around = torch.tensor([-0.4, 0.0, 0.4])
    context = normal(_ROWS, 6, target.size, seed=35) if target.kind == "horizon" else None
    return Outcome(
        answer[rows],
        right[rows],
        quantiles=(answer.unsqueeze(-1) + around)[rows],
        levels=(0.1, 0.5, 0.9),
        context=None if context is None else context[rows],
    )


METRIC_CHECKS = Table()


@METRIC_CHECKS.check(gate=True)
def constructor(case: MetricCase) -> None:
    """It is a documented ``TaskMetric`` that says what it measures and whether more is better.

    Catches: metrics by which no run can be selected, options that are swallowed without effect.
    """
    require_subclass(case.part, TaskMetric)
    require_docstring(case.part)
    better = getattr(case.part, "higher_is_better", None)
    require(isinstance(better, bool), f"higher_is_better is {better!r}, not True or False")
    needs = getattr(case.part, "needs", ())
    good = isinstance(needs, tuple) and needs and all(isinstance(kind, str) for kind in needs)
    require(bool(good), f"needs must be a tuple of kinds of target, it is {needs!r}")
    target = case.targets()[0]
    case.new(target)
    refused(
        lambda: case.new(TargetInfo("no such kind", 5)), (OptionError,), "a target of another kind"
    )
    unknown = functools.partial(case.part, target, **case.options, no_such_option=1)
    refused(unknown, REFUSALS, "the unknown option no_such_option=1")


@METRIC_CHECKS.check(gate=True)
def value_is_one_number(case: MetricCase) -> Numbers:
    """After a batch, ``compute`` gives one finite number for every kind of target.

    Catches: values for each class or row, which no table of results can hold.
    """
    found = {}
    for target in case.targets():
        metric = case.new(target)
        metric.update(outcome(target))
        value = metric.compute()
        require(value.numel() == 1, f"{target.kind}: {value.numel()} numbers, not one")
        require(bool(torch.isfinite(value)), f"{target.kind}: the value is {float(value)}")
        found[target.kind] = float(value)
    return found


@METRIC_CHECKS.check()
def states_hold_everything(case: MetricCase) -> Numbers:
    """It keeps states made by ``add_state``, and ``reset`` brings them back.

    Catches: numbers kept outside of metric states, which several processes would not add up.
    """
    states = 0
    for target in case.targets():
        metric = case.new(target)
        parts = [part for part in metric.modules() if isinstance(part, Metric)]
        states = sum(len(part._defaults) for part in parts)  # noqa: SLF001  # no public list
        require(states, f"{target.kind}: it has no state made by add_state")
        metric.update(outcome(target))
        metric.reset()
        half = outcome(target, slice(0, 3))
        metric.update(half)
        again, fresh = float(metric.compute()), case.value(target, half)
        require(
            math.isclose(again, fresh, rel_tol=1e-6, abs_tol=1e-9),
            f"{target.kind}: {again:.6g} after a reset, {fresh:.6g} of a fresh metric",
        )
    return {"states": states}


@METRIC_CHECKS.check()
def batches_add_up(case: MetricCase) -> Numbers:
    """The rows in two unequal batches give the value of all rows at once.

    Catches: means of the batches' means, values of the last batch alone.
    """
    largest = 0.0
    for target in case.targets():
        whole = case.value(target, outcome(target))
        parts = case.value(target, outcome(target, slice(0, 3)), outcome(target, slice(3, None)))
        require(
            math.isclose(whole, parts, rel_tol=1e-5, abs_tol=1e-7),
            f"{target.kind}: {parts:.6g} in two batches, {whole:.6g} in one",
        )
        largest = max(largest, abs(whole - parts))
    return {"difference": largest}


@METRIC_CHECKS.check()
def padding_does_not_count(case: MetricCase) -> None:
    """What stands behind the end of a row of tags changes nothing.

    Catches: metrics that count padded steps.
    """
    if "tags" not in case.part.needs:
        raise Skip("only rows of tags are padded")
    target = _TARGETS["tags"]
    values = [case.value(target, outcome(target, padding=tag)) for tag in range(target.size)]
    require(len(set(values)) == 1, f"with other tags in the padding the values are {values}")


@METRIC_CHECKS.check()
def survives_pickling(case: MetricCase) -> Numbers:
    """Pickled, copied and saved by torch, it is a metric that measures the same.

    Catches: types and functions made at run time.
    """
    target = case.targets()[0]

    def use(metric: TaskMetric) -> Tensor:
        metric.reset()
        metric.update(outcome(target))
        return metric.compute().reshape(1)

    return survives(case.part, case.new(target), use)
