"""Embedding tables that begin with word vectors from a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from seqlab import console
from seqlab.console import is_primary
from seqlab.data.known_vocabularies import KnownVocabularies, WordFile
from seqlab.data.module import DataModule
from seqlab.data.word_vectors import read_vectors, vector_size
from seqlab.errors import ConfigError
from seqlab.model import SequenceModel

_WHERE = "encoder.embedding.features"


def with_vector_sizes(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a run with the size of each table that begins with vectors: that of these.

    Raises:
        ConfigError: another size is given.
        DataError: a file of vectors is not there, or is none.
    """
    encoder = dict(spec["encoder"])
    embedding = dict(encoder.get("embedding") or {})
    features = dict(embedding.get("features") or {})
    for name, options in _with_vectors(spec):
        size = vector_size(options["vectors"])
        if options.get("size", size) != size:
            raise ConfigError(
                f"{_WHERE}.{name}.size: {options['vectors']} has vectors of {size} numbers, not "
                f"{options['size']}; leave size out"
            )
        features[name] = {**options, "size": size}
    return {**spec, "encoder": {**encoder, "embedding": {**embedding, "features": features}}}


def known_with_vectors(
    spec: Mapping[str, Any], known: KnownVocabularies | None
) -> KnownVocabularies:
    """What vocabularies go on from, with the files whose words they have, too (``words: all``).

    Args:
        spec: the run's.
        known: without them; None: they are made anew.
    """
    files = {
        f"features.{name}": WordFile(options["vectors"], options.get("max_words"))
        for name, options in _with_vectors(spec)
        if options.get("words") == "all"
    }
    return (known or KnownVocabularies({}, grow=False))._replace(files=files)


def start_with_vectors(model: SequenceModel, data: DataModule, spec: Mapping[str, Any]) -> None:
    """Put the vectors of files into the tables, and print how many words have none.

    A word is looked up as it is, and then in lower case. The vectors of the others are drawn with
    the deviation of those found. Words that only the file has (``words: all``) count in no share.

    Args:
        model: newly built.
        data: whose training rows say how often each word is there.
        spec: the run's.

    Raises:
        DataError: a line of a file is no word vector; it is named.
    """
    features = {feature.name: feature for feature in data.processor.features}
    for name, options in _with_vectors(spec):
        tokenizer, table = features[name].tokenizer, model.encoder.tables()[name]
        if tokenizer is None:
            raise ConfigError(f"{_WHERE}.{name}.vectors: the feature has no vocabulary")
        marks = len(tokenizer.marks)
        entries = [tokenizer.entry(index) for index in range(marks, tokenizer.size)]
        vectors = read_vectors(options["vectors"], {*entries, *map(str.lower, entries)}).found
        rows = {
            marks + place: vectors.get(entry, vectors.get(entry.lower()))
            for place, entry in enumerate(entries)
        }
        found = {index: vector for index, vector in rows.items() if vector is not None}
        learnt = tokenizer.size - tokenizer.added
        if not any(index < learnt for index in found):
            raise ConfigError(
                f"{_WHERE}.{name}.vectors: {options['vectors']} has none of the {learnt - marks} "
                "words of the training rows"
            )
        places, values = torch.tensor(list(found)), torch.from_numpy(np.stack([*found.values()]))
        with torch.no_grad():
            table.weight.mul_(values.std() if values.numel() > 1 else 1.0)
            table.weight[places] = values.to(table.weight)
        if is_primary():
            counts = data.id_counts("train", name)
            said = _shares(places[places < learnt], learnt - marks, counts)
            more = f"; {tokenizer.added:,} more of its words are known" if tokenizer.added else ""
            console.say(f"{name}: {options['vectors']} has {said}{more}")


def _with_vectors(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The features whose tables begin with vectors, and their options."""
    embedding = spec["encoder"].get("embedding") or {}
    for name, options in (embedding.get("features") or {}).items():
        if isinstance(options, Mapping) and options.get("vectors") is not None:
            yield name, options


def _shares(found: torch.Tensor, words: int, counts: Any) -> str:
    """How many words, and how much of the training text, has no vector.

    Args:
        found: the ids of words that have one.
        words: how many there are.
        counts: how often each id is there in the training rows; None: nobody counted.
    """
    text = f"{len(found):,} of {words:,} words"
    missing = f"{1 - len(found) / max(words, 1):.1%} of the words"
    if counts is None:
        return f"{text}; out of vocabulary: {missing}"
    known = counts[found[found < len(counts)].numpy()].sum() / max(counts.sum(), 1)
    return f"{text}; out of vocabulary: {missing}, {1 - known:.1%} of the training text"
