"""Tiny tasks of every kind of target: rows, batches, models that must learn them by heart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from seqlab import plugins
from seqlab.build import build_model
from seqlab.bundle import TrainedModel, save_bundle
from seqlab.construct import accepted_options
from seqlab.data.processor import Processor, fit_processor
from seqlab.locks import temporary_folder
from seqlab.model import SequenceModel
from seqlab.testing.case import INPUT_WIDTH, Case
from seqlab.testing.compare import require
from seqlab.testing.result import Failure, Numbers, Skip
from seqlab.testing.sample import normal, seeded
from seqlab.types import Batch

ROWS = 5
#: Steps of each row.
ROW_LENGTHS = (6, 2, 4, 3, 5)
_WORDS = ("abc", "ca", "bbca", "b", "acb")
_LABELS = ("up", "down", "up", "left", "down")
#: Options that keep a head that writes tokens small, and give CTC frames for the rows.
_SMALL = {
    "decoder": {"cell": {"name": "gru", "hidden_size": 12}},
    "embedding_size": 6,
    "upsampling": 2,
}
#: What the rows' target is, by the kind of target a head needs.
TARGETS: dict[str, dict[str, Any]] = {
    "label": {"kind": "label"},
    "labels": {"kind": "labels"},
    "tags": {"kind": "tags"},
    "tokens": {"kind": "text", "tokenizer": {"name": "chars"}},
    "values": {"kind": "values"},
    "inputs": {"kind": "inputs"},
    "step_values": {"kind": "values", "per": "step"},
    "horizon": {"kind": "horizon"},
    "joint": {"steps": {"kind": "tags"}, "whole": {"kind": "label"}},
}
#: Of ``joint``: the kind of each target.
_PARTS = {"steps": "tags", "whole": "label"}
#: Texts in which each letter but the first follows from those beside it.
_TEXTS = ("abcdefgh", "cdefgh", "efghij", "bcdefgh", "ghij")


def _target(kind: str, row: int) -> Any:
    length = ROW_LENGTHS[row]
    return {
        "label": _LABELS[row],
        "labels": sorted({_LABELS[row], _LABELS[(row + 3) % ROWS]}),
        "tags": [("x", "y", "z")[(row * 2 + t * t) % 3] for t in range(length)],
        "tokens": _WORDS[row],
        "values": round(0.4 * row - 0.7, 2),
        "step_values": [[round(0.3 * row - 0.2 * t, 2), float(t % 2)] for t in range(length)],
        "horizon": [[round(0.3 * row - 0.2 * t, 2), float(row % 2)] for t in range(3)],
    }[kind]


@dataclass(frozen=True)
class Task:
    """A few rows with one kind of target, and their processor."""

    kind: str
    rows: tuple[dict[str, Any], ...]
    processor: Processor
    data: dict[str, Any]

    @property
    def batch(self) -> Batch:
        """All rows as one batch."""
        return self.processor.collate([self.processor.encode(row) for row in self.rows])


def make_task(kind: str) -> Task:
    """The task of a kind of target.

    Raises:
        Skip: the kit has no rows for that kind.
    """
    if kind not in TARGETS:
        raise Skip(f"the kit has no rows for targets of kind '{kind}'")
    rows: tuple[dict[str, Any], ...]
    if kind == "inputs":
        rows = tuple({"series": text} for text in _TEXTS)
        feature: dict[str, Any] = {"kind": "text", "tokenizer": {"name": "chars"}}
        targets: dict[str, Any] = {"target": TARGETS[kind]}
    elif kind == "joint":
        rows = tuple(
            {
                "series": normal(length, INPUT_WIDTH, seed=200 + row).tolist(),
                **{name: _target(part, row) for name, part in _PARTS.items()},
            }
            for row, length in enumerate(ROW_LENGTHS)
        )
        feature = {"kind": "numeric"}
        parts = {name: {"column": name, **spec} for name, spec in TARGETS[kind].items()}
        targets = {"targets": parts}
    else:
        rows = tuple(
            {
                "series": normal(length, INPUT_WIDTH, seed=200 + row).tolist(),
                "target": _target(kind, row),
            }
            for row, length in enumerate(ROW_LENGTHS)
        )
        feature = {"kind": "numeric"}
        targets = {"target": {"column": "target", **TARGETS[kind]}}
    data = {"features": {"series": feature}, **targets, "batch_size": ROWS}
    return Task(kind, rows, fit_processor(data, rows), data)


def small_head(part: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a head class, and those of ``_SMALL`` that it has and that are not given."""
    accepted = accepted_options(part) if "tokens" in part.needs else ()
    return {**{key: value for key, value in _SMALL.items() if key in accepted}, **options}


def make_model(task: Task, encoder: Mapping[str, Any], head: Mapping[str, Any]) -> SequenceModel:
    """A new model of a task, from specs."""
    with seeded(3):
        return build_model({"encoder": encoder, "head": head}, task.processor.info)


def learn(
    model: SequenceModel, task: Task, *, steps: int = 250, rate: float = 0.03, goal: float = 0.1
) -> Numbers:
    """Train on the task's rows until the loss has fallen to ``goal`` times the first.

    Returns:
        The first and the last loss, and the steps taken.

    Raises:
        Failure: the loss is not finite, or does not fall to a quarter.
    """
    batch = task.batch
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    model.train()
    losses: list[float] = []
    for _ in range(steps):
        loss = model.loss(batch)
        losses.append(float(loss.detach()))
        require(losses[-1] == losses[-1], f"the loss is not a number after {len(losses)} steps")
        if losses[-1] < goal * abs(losses[0]):
            break
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        model.apply_constraints()
    model.eval()
    require(
        losses[-1] < 0.25 * abs(losses[0]),
        f"{len(losses)} steps on {ROWS} rows take the loss from {losses[0]:.3g} to "
        f"{losses[-1]:.3g}, not to a quarter: it does not learn them",
        first=losses[0],
        last=losses[-1],
    )
    return {"first": losses[0], "last": losses[-1], "steps": len(losses)}


_READ_AGAIN = """
import importlib, json, sys
import seqlab
kind, name, module, qualname, folder = sys.argv[1:6]
if module:
    part = importlib.import_module(module)
    for word in qualname.split("."):
        part = getattr(part, word)
    seqlab.register(kind, name)(part)
print(json.dumps(seqlab.load(folder).predict(json.load(sys.stdin))))
"""


def through_a_bundle(
    case: Case, name: str, task: Task, *, encoder: Mapping[str, Any], head: Mapping[str, Any]
) -> Numbers:
    """Save a model, load it in a fresh process, and compare all predictions.

    Args:
        case: of the part under test; the fresh process registers it if no distribution declares it.
        name: under which it is registered here.
        task: the rows.
        encoder: the encoder's spec.
        head: the head's spec.

    Raises:
        Skip: the class cannot be imported by name.
        Failure: the process fails, or predicts something else.
    """
    kind, part = case.kind, case.part
    declared = name in plugins.declared(kind)
    if not declared and ("<locals>" in part.__qualname__ or part.__module__ == "__main__"):
        raise Skip("the class is defined inside a function or script; no other process has it")
    model = make_model(task, encoder, head).eval()
    inputs = [row["series"] for row in task.rows]
    with temporary_folder() as folder:
        spec = {"data": task.data, "encoder": dict(encoder), "head": dict(head)}
        path = save_bundle(folder / "bundle", model, task.processor, spec)
        where = ("", "") if declared else (part.__module__, part.__qualname__)
        words = [sys.executable, "-c", _READ_AGAIN, kind, name, *where, str(path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        done = subprocess.run(  # noqa: S603  # our own interpreter and script
            words,
            input=json.dumps(inputs),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        how = f"it ended with code {done.returncode}, {lines[-1]}"
        raise Failure(f"a fresh process cannot load the bundle: {how}")
    theirs = json.loads(done.stdout.strip().splitlines()[-1])
    ours = _predictions(model, task)
    difference = apart(ours, theirs)
    require(
        difference is not None and difference < 1e-5,
        f"a fresh process predicts {theirs[0]!r:.120}, this one {ours[0]!r:.120}",
    )
    return {"difference": difference or 0.0, "rows": len(theirs)}


def _predictions(model: SequenceModel, task: Task) -> list[dict[str, Any]]:
    return TrainedModel(model, task.processor, {}).predict([row["series"] for row in task.rows])


def apart(a: Any, b: Any) -> float | None:
    """The largest difference of numbers in two JSON values; None where anything else differs."""
    if isinstance(a, bool) or isinstance(b, bool) or isinstance(a, str) or a is None:
        return 0.0 if a == b else None
    if isinstance(a, int | float) and isinstance(b, int | float):
        return abs(a - b)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if set(a) != set(b):
            return None
        a, b = [a[key] for key in sorted(a)], [b[key] for key in sorted(a)]
    if not isinstance(a, list | tuple) or not isinstance(b, list | tuple) or len(a) != len(b):
        return None
    found = [apart(x, y) for x, y in zip(a, b, strict=True)]
    return None if None in found else max((f for f in found if f is not None), default=0.0)


def first_kind(needs: tuple[str, ...]) -> str:
    """The first kind of target of a head for which the kit has rows.

    Raises:
        Skip: it has none.
    """
    for kind in needs:
        if kind in TARGETS:
            return kind
    raise Skip(f"the kit has no rows for targets of kind {', '.join(needs)}")
