"""g2p-en (Park and Kim, 2019): letters to English phonemes, a GRU encoder-decoder.

The weights are ``g2p_en/checkpoint20.npz`` of the distribution g2p-en 2.1.0 (Apache 2.0), trained
on the CMU pronouncing dictionary. A word is given as its letters and the end mark ``</s>``::

    model.predict([[*"activationist", "</s>"]])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from seqlab.bundle import TrainedModel
from seqlab.errors import DataError
from seqlab.published.models import layer_weights, processor_of, trained_of

_LETTERS = ("</s>", *"abcdefghijklmnopqrstuvwxyz")
_PHONEMES = [
    "AA0",
    "AA1",
    "AA2",
    "AE0",
    "AE1",
    "AE2",
    "AH0",
    "AH1",
    "AH2",
    "AO0",
    "AO1",
    "AO2",
    "AW0",
    "AW1",
    "AW2",
    "AY0",
    "AY1",
    "AY2",
    "B",
    "CH",
    "D",
    "DH",
    "EH0",
    "EH1",
    "EH2",
    "ER0",
    "ER1",
    "ER2",
    "EY0",
    "EY1",
    "EY2",
    "F",
    "G",
    "HH",
    "IH0",
    "IH1",
    "IH2",
    "IY0",
    "IY1",
    "IY2",
    "JH",
    "K",
    "L",
    "M",
    "N",
    "NG",
    "OW0",
    "OW1",
    "OW2",
    "OY0",
    "OY1",
    "OY2",
    "P",
    "R",
    "S",
    "SH",
    "T",
    "TH",
    "UH0",
    "UH1",
    "UH2",
    "UW",
    "UW0",
    "UW1",
    "UW2",
    "V",
    "W",
    "Y",
    "Z",
    "ZH",
]
_DATA = {
    "features": {"letters": {"column": "letters", "kind": "tokens"}},
    "target": {"column": "phonemes", "kind": "text", "tokenizer": "words"},
}


def g2p_en(arrays: Mapping[str, np.ndarray[Any, Any]]) -> TrainedModel:
    """The model of ``checkpoint20.npz``.

    Args:
        arrays: those of the file, by name: ``enc_emb [29, D]``, ``enc_w_ih [3H, D]``, ...

    Raises:
        DataError: one is missing, or has another shape.
    """
    renamed = {f"{kind[0]}_{side}": f"{kind}_{side}_l0" for kind in ("weight", "bias")
               for side in ("ih", "hh")}  # fmt: skip
    try:
        given = {f"{side}.{new}": arrays[f"{side}_{old}"]
                 for side in ("enc", "dec") for old, new in renamed.items()}  # fmt: skip
        tables = {side: arrays[f"{side}_emb"] for side in ("enc", "dec")}
        scores = arrays["fc_w"], arrays["fc_b"]
    except KeyError as error:
        raise DataError(f"g2p-en: the file has no array {error}") from error
    width, hidden = tables["enc"].shape[1], given["enc.weight_hh_l0"].shape[1]
    cell = {"name": "gru", "hidden_size": hidden}
    spec = {
        "data": _DATA,
        "encoder": {"cell": cell, "embedding": {"size": width}},
        "head": {
            "name": "encoder_decoder",
            "decoder": {"cell": cell},
            "attention": "none",
            "bridge": "copy",
            "embedding_size": tables["dec"].shape[1],
            "max_length": 20,
            "token_name": "phoneme",
            "sequence_name": "word",
        },
    }
    weights = {
        "encoder.embeddings.0.weight": tables["enc"],
        "head.decoder.embedding.weight": tables["dec"],
        "head.decoder.output.weight": scores[0],
        "head.decoder.output.bias": scores[1],
        **layer_weights(given, "enc.", "encoder.layer"),
        **layer_weights(given, "dec.", "head.decoder.layer"),
    }
    return trained_of(spec, processor_of(_DATA, _LETTERS, _PHONEMES), weights)
