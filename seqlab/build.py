"""Plain specs to layers and models, through the registry alone.

>>> from seqlab.types import DataInfo, FeatureInfo, TargetInfo
>>> info = DataInfo((FeatureInfo("text", "ids", 9),), TargetInfo("label", 2, ("no", "yes")))
>>> spec = {"encoder": {"cell": {"name": "gru", "hidden_size": 4}, "embedding": {"size": 3},
...                     "wrappers": [{"name": "bidirectional"}]},
...         "head": {"name": "classification"}}
>>> model = build_model(spec, info)
>>> model.encoder.layer.input_size, model.encoder.info.output_size
(3, 8)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.construct import construct
from seqlab.errors import ConfigError, OptionError
from seqlab.layers.base import Layer
from seqlab.model import Encoder, SequenceModel, piece_readers
from seqlab.schema import check_value, with_defaults
from seqlab.types import DataInfo
from seqlab.wrappers.base import LayerFactory

_ENCODER = {
    "cell": None, "wrappers": (), "embedding": None, "input_layer": None, "dropout": 0.0,
    "engine": "auto", "initial_state": "zeros",
}  # fmt: skip


def layer_factory(encoder: Mapping[str, Any]) -> LayerFactory:
    """What makes layers of the form an encoder spec describes.

    Args:
        encoder: ``cell`` (a spec), ``wrappers`` (specs from the inside out), ``engine`` and
            ``initial_state``.

    Raises:
        SeqlabError: a part is unknown or refuses an option; the message has the config key,
            such as ``encoder.wrappers[1]``.
    """
    spec = with_defaults(encoder, _ENCODER, "encoder")
    if spec["cell"] is None:
        raise ConfigError("encoder.cell: the key is missing; give the name of a cell")
    wrappers = check_value(spec["wrappers"] or (), Sequence, "encoder.wrappers")
    built = [
        construct("wrapper", wrapper, where=f"encoder.wrappers[{index}]")
        for index, wrapper in enumerate(wrappers)
    ]
    cell = spec["cell"]
    return LayerFactory(
        {"name": cell} if isinstance(cell, str) else cell,
        tuple(built),
        engine=spec["engine"],
        initial_state=spec["initial_state"],
        where="encoder.cell",
    )


def build_layer(encoder: Mapping[str, Any], input_size: int) -> Layer:
    """The layer an encoder spec describes, for inputs ``[B, T, input_size]``.

    >>> build_layer({"cell": {"name": "lstm", "hidden_size": 5}}, 3).output_size
    5

    Raises:
        SeqlabError: as ``layer_factory``; an OptionError where the parts do not fit together.
    """
    factory = layer_factory(encoder)
    try:
        return factory(input_size)
    except OptionError as error:
        message = str(error)
        raise OptionError(message if "encoder" in message else f"encoder: {message}") from error


def build_model(spec: Mapping[str, Any], info: DataInfo) -> SequenceModel:
    """A model with newly drawn weights.

    Args:
        spec: ``encoder`` and ``head`` of a run's spec; other keys are ignored.
        info: what the data looks like, from the processor.

    Raises:
        SeqlabError: a part is unknown, refuses an option, or does not fit the data or the other
            parts, such as merge mode ``none`` under a head.
    """
    options: Any = check_value(spec.get("encoder"), dict[str, Any], "encoder")
    check_value(spec.get("head"), dict[str, Any] | str, "head")
    inputs = {key: options.get(key) for key in ("embedding", "input_layer")}
    engine = check_value(options.get("engine", "auto"), str, "encoder.engine")
    readers = piece_readers(info.features, inputs["embedding"], engine)
    layer = build_layer(options, Encoder.input_size_for(info.features, **inputs, readers=readers))
    dropout = options.get("dropout", 0.0)
    encoder = Encoder(info.features, layer, **inputs, dropout=dropout, readers=readers)
    head = construct("head", spec["head"], encoder.info, info.target, where="head")
    return SequenceModel(info, encoder, head)
