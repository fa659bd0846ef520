"""The contract of a head: without these checks the others mean nothing."""

from __future__ import annotations

import dataclasses
import functools
import json

import torch

from seqlab.errors import OptionError
from seqlab.heads.base import Head
from seqlab.testing.check_table import Table
from seqlab.testing.compare import close, refused, require
from seqlab.testing.contract import REFUSALS, require_docstring, require_subclass
from seqlab.testing.head_case import HeadCase, answers_apart
from seqlab.testing.result import Failure, Numbers
from seqlab.testing.sample import seeded
from seqlab.types import EncoderInfo

HEAD_CONTRACT = Table()


@HEAD_CONTRACT.check(gate=True)
def constructor(case: HeadCase) -> None:
    """It is a ``Head`` that says which targets it serves, and refuses others and unknown options.

    Catches: a missing ``needs``, options that are swallowed without effect.
    """
    require_subclass(case.part, Head)
    needs = getattr(case.part, "needs", ())
    require(
        isinstance(needs, tuple) and needs and all(isinstance(kind, str) for kind in needs),
        f"needs must be a tuple of kinds of target, it is {needs!r}",
    )
    task, encoder = case.tasks()[0], EncoderInfo(6, 6, (3, 3))
    target = task.processor.info.target
    case.new(encoder, target)
    other = dataclasses.replace(target, kind="no such kind")
    refused(lambda: case.new(encoder, other), (OptionError,), "a target of another kind")
    unknown = functools.partial(case.new, encoder, target, no_such_option=1)
    refused(unknown, REFUSALS, "the unknown option no_such_option=1")


@HEAD_CONTRACT.check(gate=True)
def documented(case: HeadCase) -> None:
    """The class has a docstring of its own.

    Catches: a part that nobody can look up.
    """
    require_docstring(case.part)


@HEAD_CONTRACT.check(gate=True)
def monitor_is_a_metric(case: HeadCase) -> None:
    """``monitor`` names one of the head's metrics and ``min`` or ``max``.

    Catches: runs that cannot be selected, a metric renamed in one place.
    """
    for _, model in case.each():
        name, mode = model.head.monitor
        known = sorted(model.metrics())
        require(name in known, f"monitor is '{name}', the metrics are {', '.join(known)}")
        require(mode in ("min", "max"), f"monitor's mode is {mode!r}, not 'min' or 'max'")


@HEAD_CONTRACT.check(gate=True)
def loss_is_a_scalar(case: HeadCase) -> Numbers:
    """The loss is one finite number of at least float32 with a gradient, also in mixed precision.

    Catches: a loss for each row, a loss in bfloat16, a detached loss.
    """
    sizes = {}
    for task, model in case.each():
        single = model.float()
        for autocast in (False, True):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                loss = single.head.loss(single.encode(task.batch), task.batch)
            what = f"{task.kind}: the loss" + (" under bfloat16 autocast" if autocast else "")
            require(loss.dim() == 0, f"{what} is {list(loss.shape)}, not a scalar")
            require(loss.dtype in (torch.float32, torch.float64), f"{what} is {loss.dtype}")
            require(bool(torch.isfinite(loss)), f"{what} is {float(loss.detach())}")
            require(loss.requires_grad, f"{what} has no gradient")
            sizes[task.kind] = float(loss.detach())
    return sizes


@HEAD_CONTRACT.check(gate=True)
def predictions_are_json(case: HeadCase) -> None:
    """``predict`` gives one JSON-able mapping a row.

    Catches: tensors and numpy numbers in answers, NaN, a missing or an extra row.
    """
    for task, model in case.each():
        answers = model.predict(task.batch)
        require(
            isinstance(answers, list) and len(answers) == task.batch.size,
            f"{task.kind}: {len(answers)} answers for {task.batch.size} rows",
        )
        for row, answer in enumerate(answers):
            require(isinstance(answer, dict), f"{task.kind}: answer {row} is {answer!r:.80}")
            try:
                json.dumps(answer, allow_nan=False)
            except (TypeError, ValueError) as error:
                what = f"{task.kind}: answer {row} is no JSON: {error}; {answer!r:.120}"
                raise Failure(what) from error


@HEAD_CONTRACT.check(gate=True)
def inference_is_deterministic(case: HeadCase) -> Numbers:
    """In inference mode loss and answers are the same under any seed, and change no weight.

    Catches: dropout that is active at inference, weights moved by predicting.
    """
    largest = 0.0
    for task, model in case.each():
        before = {name: value.clone() for name, value in model.state_dict().items()}
        losses, answers = [], []
        for seed in (5, 6):
            with seeded(seed):
                losses.append(model.loss(task.batch).detach())
                answers.append(model.predict(task.batch))
        largest = max(largest, close(losses[1], losses[0], f"{task.kind}: loss under two seeds"))
        answers_apart(answers[1], answers[0], f"{task.kind}: answers under two seeds")
        moved = [n for n, value in model.state_dict().items() if not value.equal(before[n])]
        require(not moved, f"{task.kind}: predicting changed {', '.join(moved[:3])}")
        require(not model.training, f"{task.kind}: predicting switched the model to training mode")
    return {"difference": largest}
