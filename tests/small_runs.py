"""Tiny data sets in files, and specs of runs that take a second on them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqlab.build import build_model
from seqlab.construct import construct
from seqlab.data.module import DataModule
from seqlab.model import SequenceModel

SIZES = {"train": 46, "validation": 14, "test": 11}


def _write(folder: Path, suffix: str, head: str, row: Callable[[], str]) -> dict[str, Any]:
    """A file a split with as many rows as it has; returns the source's spec."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {split: folder / f"{split}{suffix}" for split in SIZES}
    for split, path in paths.items():
        path.write_text(head + "".join(row() + "\n" for _ in range(SIZES[split])), "utf-8")
    return {"name": "files", **{split: str(path) for split, path in paths.items()}}


def write_words(folder: Path) -> dict[str, Any]:
    """Words with a label that depends on their letters, as CSV; returns the source's spec."""
    draw = random.Random(5)  # noqa: S311 - test data

    def row() -> str:
        word = "".join(draw.choices("abcdef", k=draw.randint(1, 7)))
        return f"{word},{'few' if word.count('a') < 1 else 'many'}"

    return _write(folder, ".csv", "word,kind\n", row)


def write_sentences(folder: Path) -> dict[str, Any]:
    """Sentences with a chunk label for each word, as JSONL."""
    draw = random.Random(6)  # noqa: S311 - test data
    labels = {"the": "O", "ann": "B-PER", "lee": "I-PER", "runs": "O", "rome": "B-LOC"}

    def row() -> str:
        words = draw.choices(list(labels), k=draw.randint(1, 6))
        return json.dumps({"words": words, "marks": [labels[w] for w in words]})

    return _write(folder, ".jsonl", "", row)


def write_pairs(folder: Path) -> dict[str, Any]:
    """Strings and their reversals, as TSV."""
    draw = random.Random(7)  # noqa: S311 - test data

    def row() -> str:
        word = "".join(draw.choices("xyz", k=draw.randint(1, 5)))
        return f"{word}\t{word[::-1].upper()}"

    return _write(folder, ".tsv", "there\tback\n", row)


def write_series(folder: Path) -> dict[str, Any]:
    """Series of numbers and their mean, as JSONL."""
    draw = random.Random(8)  # noqa: S311 - test data

    def row() -> str:
        series = [round(draw.gauss(0, 1), 2) for _ in range(draw.randint(1, 6))]
        return json.dumps({"series": series, "mean": sum(series) / len(series)})

    return _write(folder, ".jsonl", "", row)


def _spec(source: dict[str, Any], data: dict[str, Any], head: dict[str, Any]) -> dict[str, Any]:
    return {
        "seed": 3,
        "source": source,
        "data": {**data, "batch_size": 5},
        "encoder": {
            "cell": {"name": "gru", "hidden_size": 6, "recurrent_dropout": 0.2},
            "wrappers": [{"name": "bidirectional"}],
            "embedding": {"size": 4, "dropout": 0.3},
            "dropout": 0.1,
            "engine": "auto",
        },
        "head": head,
        "optimizer": {"name": "adamw", "lr": 0.02, "weight_decay": 0.01},
        "scheduler": {"name": "none"},
        "trainer": {
            "accelerator": "cpu",
            "devices": 1,
            "strategy": "auto",
            "precision": "32-true",
            "max_epochs": 3,
            "max_steps": -1,
            "max_seconds": None,
            "gradient_clip_val": 1.0,
            "gradient_clip_algorithm": "norm",
            "accumulate_grad_batches": 1,
            "deterministic": True,
            "num_threads": 1,
            "log_every_n_steps": 4,
            "enable_progress_bar": True,
        },
        "callbacks": {
            "early_stopping": None,
            "checkpoint": {"monitor": None, "mode": None, "every_n_steps": 4},
            "progress": {"refresh_rate": 10},
        },
        "logger": {"tensorboard": False},
        "resume": None,
        "samples": 2,
        "report": False,
    }


def words_spec(folder: Path) -> dict[str, Any]:
    """A classification of words by their letters."""
    text = {"column": "word", "kind": "text", "tokenizer": {"name": "chars"}}
    data = {"features": {"text": text}, "target": {"column": "kind", "kind": "label"}}
    return _spec(write_words(folder / "words"), data, {"name": "classification"})


def sentences_spec(folder: Path) -> dict[str, Any]:
    """A tagging of sentences with chunk labels."""
    words = {"column": "words", "kind": "tokens"}
    data = {"features": {"words": words}, "target": {"column": "marks", "kind": "tags"}}
    return _spec(write_sentences(folder / "sentences"), data, {"name": "tagging"})


def pairs_spec(folder: Path) -> dict[str, Any]:
    """An encoder-decoder from strings to strings."""
    chars = {"tokenizer": {"name": "chars"}, "kind": "text"}
    data = {
        "features": {"text": {"column": "there", **chars}},
        "target": {"column": "back", **chars},
    }
    head = {
        "name": "encoder_decoder",
        "decoder": {"cell": {"name": "gru", "hidden_size": 6}},
        "embedding_size": 4,
        "dropout": 0.2,
        "max_length": 8,
    }
    return _spec(write_pairs(folder / "pairs"), data, head)


def series_spec(folder: Path) -> dict[str, Any]:
    """A regression of the mean of a series."""
    data = {
        "features": {"series": {"column": "series", "kind": "numeric", "standardize": True}},
        "target": {"column": "mean", "kind": "values"},
    }
    return _spec(write_series(folder / "series"), data, {"name": "regression"})


def untrained(spec: dict[str, Any]) -> tuple[SequenceModel, DataModule]:
    """A spec's model with random weights, and its data."""
    data = DataModule(construct("source", spec["source"]), spec["data"], seed=0)
    data.prepare()
    return build_model(spec, data.info).eval(), data


def changed(spec: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy with changes by key path, dots written as two underscores."""
    new = copy.deepcopy(spec)
    for path, value in changes.items():
        *folders, key = path.split("__")
        node = new
        for name in folders:
            node = node[name]
        node[key] = value
    return new
