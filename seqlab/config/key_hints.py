"""Where a key that was given by its last word alone stands in a spec."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any, Union

from seqlab.config.run_spec import RunSpec
from seqlab.data.batching import Batching

#: Words that people use for keys of other names.
_ALSO_CALLED = {
    "lr": "optimizer.lr=...",
    "learning_rate": "optimizer.lr=...",
    "weight_decay": "optimizer.weight_decay=...",
    "epochs": "trainer.max_epochs=...",
    "num_epochs": "trainer.max_epochs=...",
    "steps": "trainer.max_steps=...",
    "device": "trainer.accelerator=cpu or trainer.accelerator=gpu",
    "gpus": "trainer.accelerator=gpu trainer.devices=...",
    "threads": "trainer.num_threads=...",
    "model": "cell=NAME",
    "dataset": "source=NAME",
    "task": "head=NAME",
    "hidden_size": "cell.hidden_size=...",
    "units": "cell.hidden_size=...",
    "dropout": "cell.dropout=... or encoder.dropout=...",
    "num_layers": "wrapper=stacked wrappers.0.num_layers=...",
    "layers": "wrapper=stacked wrappers.0.num_layers=...",
    "bidirectional": "wrapper=bidirectional",
    "train": "source=files source.train=FILE",
    "test": "source=files source.test=FILE",
    "momentum": "optimizer.momentum=...",
    "warmup": "scheduler=warmup scheduler.warmup_steps=...",
    "warmup_steps": "scheduler.warmup_steps=...",
    "patience": "callbacks.early_stopping.patience=...",
    "tensorboard": "logger=tensorboard",
    "wandb": "logger=wandb",
    "early_stopping": "callbacks.early_stopping.patience=...",
    "output": "hydra.run.dir=FOLDER",
}


def full_keys(word: str) -> str | None:
    """What to write instead of a key that is no top-level key of a run; None: nobody knows.

    >>> full_keys("lr"), full_keys("batch_size"), full_keys("epochs"), full_keys("nonsense")
    ('optimizer.lr=...', 'data.batch_size=...', 'trainer.max_epochs=...', None)
    """
    if word in _ALSO_CALLED:
        return _ALSO_CALLED[word]
    places = [key for key in _keys(RunSpec, "") if key.rpartition(".")[2] == word]
    places += [f"data.{field.name}" for field in dataclasses.fields(Batching) if field.name == word]
    found = [f"{key}=..." for key in dict.fromkeys(places) if "." in key]
    return " or ".join(found[:3]) or None


def full_key(word: str, value: str) -> str:
    """A key with its value as it is to be written.

    >>> full_key("seed", "3"), full_key("lr", "0.1")
    ('seed=3', 'optimizer.lr=0.1')
    """
    known = full_keys(word)
    return known.replace("...", value) if known else f"{word}={value}"


def _keys(spec: Any, prefix: str) -> Iterator[str]:
    """The full names of all keys of a spec, those of dataclasses inside included."""
    for name, hint in typing.get_type_hints(spec).items():
        yield f"{prefix}{name}"
        for inner in _specs(hint):
            yield from _keys(inner, f"{prefix}{name}.")


def _specs(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) in {Union, types.UnionType}:
        for part in typing.get_args(hint):
            yield from _specs(part)
    elif dataclasses.is_dataclass(hint):
        yield hint
