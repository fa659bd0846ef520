"""The checks of a head."""

from __future__ import annotations

import dataclasses
import functools
import json
import math

import torch
from torch import Tensor

from seqlab.errors import DataError
from seqlab.testing.case import registered
from seqlab.testing.check_table import Table
from seqlab.testing.compare import close, close_all, refused, require
from seqlab.testing.head_case import HeadCase, answers_apart, measured
from seqlab.testing.head_contract import HEAD_CONTRACT
from seqlab.testing.modules import (
    load_strictly,
    require_gradients,
    require_independent_copy,
    require_registered,
    through_safetensors,
)
from seqlab.testing.pickling import round_trips
from seqlab.testing.result import Numbers
from seqlab.testing.sample import normal
from seqlab.testing.tasks import learn, through_a_bundle
from seqlab.types import Batch, Encoded, TargetInfo

HEAD_CHECKS = Table(HEAD_CONTRACT)
_GARBAGE = 77


def _widened(encoded: Encoded, batch: Batch, info: TargetInfo) -> tuple[Encoded, Batch]:
    """NaN at padded steps, three more padded steps, and garbage in the padding of ids."""
    mask = torch.cat([encoded.mask, encoded.mask.new_zeros(batch.size, 3)], 1)
    output = torch.cat(
        [encoded.output, encoded.output.new_zeros(batch.size, 3, encoded.output.shape[2])], 1
    )
    output = output.masked_fill(~mask.unsqueeze(-1), float("nan"))
    inputs = {}
    for name, value in encoded.inputs.items():
        longer = torch.cat([value, value.new_zeros(batch.size, 3, *value.shape[2:])], 1)
        padded = ~mask if value.dim() == 2 else ~mask.unsqueeze(-1)
        inputs[name] = longer.masked_fill(padded, _GARBAGE)
    wide = encoded._replace(output=output, mask=mask, inputs=inputs)
    target = _widened_target(batch.target, batch.target_lengths, encoded.mask, info.kind)
    targets = {
        name: values._replace(
            target=_widened_target(
                values.target, values.target_lengths, encoded.mask, info.parts[name].kind
            )
        )
        for name, values in batch.targets.items()
    }
    return wide, dataclasses.replace(batch, target=target, targets=targets, inputs=inputs)


def _widened_target(
    target: Tensor | None, lengths: Tensor | None, mask: Tensor, kind: str
) -> Tensor | None:
    """A target with three more padded entries, and garbage in the padding."""
    if target is None or kind not in ("step_values", "tags", "tokens", "inputs"):
        return target
    if kind == "step_values":
        padded = target.masked_fill(~mask.unsqueeze(-1), _GARBAGE)
        return torch.cat([padded, target.new_full((len(target), 3, target.shape[2]), _GARBAGE)], 1)
    real = _real_tokens(target, lengths) if kind == "tokens" else mask
    garbage = target.new_full((len(target), 3), _GARBAGE)
    return torch.cat([target.masked_fill(~real, _GARBAGE), garbage], 1)


def _real_tokens(target: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return torch.ones_like(target, dtype=torch.bool)
    return torch.arange(target.shape[1]) < lengths.unsqueeze(1)


@HEAD_CHECKS.check()
def padding_is_ignored(case: HeadCase) -> Numbers:
    """NaN in the padding, more of it, and garbage in the target's padding change nothing.

    Catches: losses and metrics that count padded steps, poolings that read them.
    """
    largest = 0.0
    for task, model in case.each():
        encoded, batch = model.encode(task.batch), task.batch
        wide, wide_batch = _widened(encoded, batch, task.processor.info.target)
        (loss, values), (wide_loss, wide_values) = (
            measured(model, e, b) for e, b in ((encoded, batch), (wide, wide_batch))
        )
        head = model.head
        largest = max(
            largest,
            close(head.loss(wide, wide_batch), head.loss(encoded, batch), f"{task.kind}: loss"),
            close(wide_loss, loss, f"{task.kind}: loss of measure"),
            answers_apart(head.predict(wide), head.predict(encoded), f"{task.kind}: answers"),
            answers_apart(wide_values, values, f"{task.kind}: metrics"),
        )
    return {"difference": largest}


@HEAD_CHECKS.check(needs=("padding_is_ignored",))
def rows_do_not_mix(case: HeadCase) -> Numbers:
    """A row is answered alone as it is in a batch.

    Catches: norms over the batch, answers that depend on the longest row.
    """
    largest = 0.0
    for task, model in case.each():
        together = model.predict(task.batch)
        for index, row in enumerate(task.rows):
            alone = task.processor.collate([task.processor.encode(row)])
            what = f"{task.kind}: row {index} alone and in the batch"
            answer = model.predict(alone)[0]
            largest = max(largest, answers_apart(answer, together[index], what, tolerance=1e-6))
    return {"difference": largest}


@HEAD_CHECKS.check(needs=("padding_is_ignored",))
def empty_rows_are_fine(case: HeadCase) -> None:
    """A row without steps gives a finite loss, finite gradients and an answer.

    Where the head refuses to write a sequence from nothing, the sequence is empty too.

    Catches: means over nothing, poolings of the step before the first.
    """
    for task, model in case.each():
        batch = dataclasses.replace(task.batch, lengths=task.batch.lengths.clone())
        batch.lengths[1] = 0
        if (found := model.head.refusal(batch)) is not None and batch.target_lengths is not None:
            require(found[0] == 1, f"{task.kind}: refusal names row {found[0]}, not the empty one")
            lengths = batch.target_lengths.clone()
            lengths[1] = 0
            batch = dataclasses.replace(batch, target_lengths=lengths)
        loss = model.loss(batch)
        require(
            bool(torch.isfinite(loss)),
            f"{task.kind}: with an empty row the loss is {float(loss.detach())}",
        )
        gradients = torch.autograd.grad(loss, list(model.head.parameters()), allow_unused=True)
        finite = all(g is None or bool(torch.isfinite(g).all()) for g in gradients)
        require(finite, f"{task.kind}: with an empty row a gradient is not finite")
        json.dumps(model.predict(batch), allow_nan=False)


@HEAD_CHECKS.check()
def measure_gives_the_loss(case: HeadCase) -> Numbers:
    """``measure`` returns what ``loss`` gives, and every metric then has a finite value.

    Catches: two losses that drift apart, metrics that were never updated.
    """
    found: dict[str, float] = {}
    for task, model in case.each():
        encoded = model.encode(task.batch)
        loss, values = measured(model, encoded, task.batch)
        close(
            loss, model.head.loss(encoded, task.batch), f"{task.kind}: loss of measure and of loss"
        )
        for name, value in values.items():
            require(math.isfinite(value), f"{task.kind}: {name} is {value}")
        found.update(values)
    return found


@HEAD_CHECKS.check(needs=("measure_gives_the_loss", "rows_do_not_mix"))
def metrics_add_up(case: HeadCase) -> Numbers:
    """Two halves of the rows, one after the other, give the metrics of all rows; sets are separate.

    Catches: metrics that keep the last batch alone, one metric object handed out twice.
    """
    largest = 0.0
    for task, model in case.each():
        metrics, other = model.metrics(), model.metrics()
        shared = {id(m) for m in metrics.values()} & {id(m) for m in other.values()}
        require(not shared, f"{task.kind}: metrics() hands out {len(shared)} metrics twice")
        examples = [task.processor.encode(row) for row in task.rows]
        for part in (examples[:2], examples[2:]):
            model.measure(metrics, task.processor.collate(part), final=True)
        model.measure(other, task.batch, final=True)
        halves, whole = (
            {name: float(m.compute()) for name, m in group.items()} for group in (metrics, other)
        )
        what = f"{task.kind}: metrics of two halves and of the whole"
        largest = max(largest, answers_apart(halves, whole, what, tolerance=1e-6))
    return {"difference": largest}


@HEAD_CHECKS.check()
def a_missing_target_is_refused(case: HeadCase) -> None:
    """``loss`` of a batch without target is a DataError, and ``predict`` needs none.

    Catches: crashes in the middle of a computation.
    """
    for task, model in case.each():
        batch = task.batch.without_targets()
        encoded = model.encode(batch)
        what = f"{task.kind}: the loss of a batch without target"
        refused(functools.partial(model.head.loss, encoded, batch), (DataError,), what)
        model.predict(batch)


@HEAD_CHECKS.check()
def parameters_are_registered(case: HeadCase) -> None:
    """Every tensor and module inside is a parameter, a buffer or a submodule.

    Catches: parameters in plain lists, which no optimiser moves and no state dict saves.
    """
    for _, model in case.each():
        require_registered(model.head)


@HEAD_CHECKS.check(needs=("parameters_are_registered",))
def parameters_get_gradients(case: HeadCase) -> Numbers:
    """The loss has a gradient for every parameter of the head and for the encoder's output.

    Catches: layers that are never used, a loss taken from detached scores.
    """
    counts = {}
    for task, model in case.each():
        encoded = model.encode(task.batch)
        output = encoded.output.detach().requires_grad_()
        final = encoded.final.detach().requires_grad_()
        loss = model.head.loss(encoded._replace(output=output, final=final), task.batch)
        names = [name for name, _ in model.head.named_parameters()]
        found = torch.autograd.grad(
            loss, [output, final, *model.head.parameters()], allow_unused=True
        )
        counts[task.kind] = require_gradients(model.head, dict(zip(names, found[2:], strict=True)))
        reached = [g is not None and bool(g.count_nonzero()) for g in found[:2]]
        require(any(reached), f"{task.kind}: the loss has no gradient for what the encoder gives")
    return counts


@HEAD_CHECKS.check(needs=("parameters_get_gradients",))
def gradients_are_exact(case: HeadCase) -> Numbers:
    """In float64 the loss's gradient of the encoder's output equals finite differences.

    Catches: a loss that differs from its gradient, scores cut by ``detach``.
    """
    largest = 0.0
    for task, model in case.each():
        encoded = model.encode(task.batch)
        direction = normal(*encoded.output.shape, seed=41) * encoded.mask.unsqueeze(-1)
        output = encoded.output.detach().requires_grad_()
        loss = model.head.loss(encoded._replace(output=output), task.batch)
        (gradient,) = torch.autograd.grad(loss, [output], allow_unused=True)
        slope = 0.0 if gradient is None else float((gradient * direction).sum())
        values = []
        for step in (1e-5, -1e-5):
            moved = encoded._replace(output=encoded.output.detach() + step * direction)
            values.append(float(model.head.loss(moved, task.batch).detach()))
        measured = (values[0] - values[1]) / 2e-5
        difference = abs(slope - measured) / max(1.0, abs(measured))
        require(
            difference < 1e-6,
            f"{task.kind}: backward gives the slope {slope:.6g}, finite differences {measured:.6g}",
            backward=slope,
            measured=measured,
        )
        largest = max(largest, difference)
    return {"difference": largest}


@HEAD_CHECKS.check(needs=("parameters_get_gradients", "metrics_add_up"))
def learns_by_heart(case: HeadCase) -> Numbers:
    """Trained on five rows, the loss falls and the monitored metric becomes as good as can be.

    Catches: losses that do not lead to the answers, metrics that count something else.
    """
    found: dict[str, float] = {}
    for task in case.tasks():
        model = case.model(task, shake=False).float()
        name, mode = model.head.monitor
        encoded = model.encode(task.batch)
        before = measured(model, encoded, task.batch)[1][name]
        numbers = learn(model, task, goal=0.03)
        after = measured(model, model.encode(task.batch), task.batch)[1][name]
        best = 1.0 if mode == "max" else 0.0
        require(
            abs(after - best) < 0.05 or abs(after - best) < 0.25 * abs(before - best),
            f"{task.kind}: the loss fell from {numbers['first']:.3g} to {numbers['last']:.3g}, and "
            f"{name} went from {before:.3g} to {after:.3g} ({mode} is better)",
            before=before,
            after=after,
        )
        found[name] = after
    return found


@HEAD_CHECKS.check(needs=("parameters_are_registered",))
def state_dict_round_trip(case: HeadCase) -> Numbers:
    """Another instance with this one's state dict gives the same loss; a copy has its own weights.

    Catches: numbers that matter and are not in the state dict.
    """
    largest = 0.0
    for task in case.tasks():
        first, second = case.model(task, seed=0), case.model(task, seed=50)
        second.encoder.load_state_dict(first.encoder.state_dict())
        load_strictly(second.head, through_safetensors(first.head))
        losses = [model.loss(task.batch).detach() for model in (first, second)]
        largest = max(largest, close(losses[1], losses[0], f"{task.kind}: after the state dict"))
        require_independent_copy(first.head)
    return {"difference": largest}


@HEAD_CHECKS.check(needs=("parameters_are_registered",))
def same_seed_same_weights(case: HeadCase) -> None:
    """Built twice under one seed, the head has the same weights.

    Catches: random numbers that torch's seed does not rule.
    """
    for task in case.tasks():
        states = [case.model(task, seed=3, shake=False).state_dict() for _ in range(2)]
        close_all(states[1], states[0], f"{task.kind}: two builds under one seed,", tolerance=0.0)


@HEAD_CHECKS.check(needs=("state_dict_round_trip", "learns_by_heart"), slow=True)
def bundle_round_trip(case: HeadCase) -> Numbers:
    """A model with the head, saved as a bundle and loaded in a fresh process, predicts the same.

    Catches: options that do not survive, heads that need what the author imported.
    """
    encoder = {"cell": {"name": "gru", "hidden_size": 4}, "wrappers": [{"name": "bidirectional"}]}
    with registered("head", case.part) as name:
        spec = {"name": name, **case.head_options}
        return through_a_bundle(case, name, case.tasks()[0], encoder=encoder, head=spec)


@HEAD_CHECKS.check(needs=("parameters_are_registered",))
def survives_pickling(case: HeadCase) -> None:
    """Pickled, copied and saved by torch, a model with the head has the same loss and answers.

    Catches: types and functions made at run time.
    """
    for task, model in case.each():
        answers = model.predict(task.batch)
        loss = model.loss(task.batch).detach()
        for way, twin in round_trips(case.part, model):
            close(twin.loss(task.batch).detach(), loss, f"{task.kind}: loss after {way}")
            what = f"{task.kind}: answers after {way}"
            answers_apart(twin.predict(task.batch), answers, what, tolerance=0.0)
