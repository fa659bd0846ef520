"""g2pM (Park and Lee, 2020): how Chinese characters of several sounds are read, a biLSTM tagger.

The weights are ``g2pM/np_ckpt.pkl`` of the distribution g2pM 0.1.2.5 (Apache 2.0), with the
characters ``char2idx.pkl`` and the sounds ``class2idx.pkl`` beside it: pickles of numpy arrays and
dicts, which are read without unpickling. A sentence is given as its characters between the marks of
begin and end, two Korean letters; the tags of characters that have one sound mean nothing::

    model.predict([["시", *"他红了20年", "끝"]])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from seqlab.bundle import TrainedModel
from seqlab.errors import DataError
from seqlab.published.models import layer_weights, processor_of, trained_of

_DATA = {
    "features": {"characters": {"column": "characters", "kind": "tokens",
                                "tokenizer": {"name": "tokens", "normalization": "none"}}},
    "target": {"column": "sounds", "kind": "tags"},
}  # fmt: skip
#: The first entries of the characters' table, as the package calls them.
_MARKS = ("<PAD>", "<UNK>")


def g2pm(
    arrays: Mapping[str, np.ndarray[Any, Any]],
    characters: Mapping[str, int],
    sounds: Mapping[str, int],
) -> TrainedModel:
    """The model of ``np_ckpt.pkl``.

    Args:
        arrays: ``embedding.weight [V, D]``, ``lstm.*`` by torch's names, ``logit_layer.*``.
        characters: character to its row of the table.
        sounds: sound to its class.

    Raises:
        DataError: an array is missing or has another shape, or the characters begin otherwise.
    """
    entries = sorted(characters, key=characters.__getitem__)
    if tuple(entries[:2]) != _MARKS or sorted(characters.values()) != list(range(len(entries))):
        raise DataError(f"g2pM: the characters must begin with {' and '.join(_MARKS)}, from 0 on")
    try:
        table = arrays["embedding.weight"]
        hidden = arrays["logit_layer.0.weight"].shape[0]
        cells = arrays["lstm.weight_hh_l0"].shape[1]
        weights = {
            "encoder.embeddings.0.weight": table,
            "head.classifier.hidden.weight": arrays["logit_layer.0.weight"],
            "head.classifier.hidden.bias": arrays["logit_layer.0.bias"],
            "head.classifier.output.weight": arrays["logit_layer.2.weight"],
            "head.classifier.output.bias": arrays["logit_layer.2.bias"],
            **layer_weights(arrays, "lstm.", "encoder.layer"),
        }
    except KeyError as error:
        raise DataError(f"g2pM: the file has no array {error}") from error
    spec = {
        "data": _DATA,
        "encoder": {
            "cell": {"name": "lstm", "hidden_size": cells},
            "wrappers": [{"name": "bidirectional"}],
            "embedding": {"size": table.shape[1]},
        },
        "head": {"name": "tagging", "hidden_size": hidden},
    }
    names = sorted(sounds, key=sounds.__getitem__)
    return trained_of(spec, processor_of(_DATA, entries[2:], names), weights)
