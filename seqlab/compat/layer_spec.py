"""A recurrent layer as a plain spec: registered names and options only, so that it can be stored.

{"type": "recurrent", "input_size": 3, "cell": {"name": "lstm", "hidden_size": 4}}
{"type": "bidirectional", "forward": spec, "backward": spec, "merge_mode": "concat"}
{"type": "stacked", "layers": [spec, ...], "dropout": 0.0}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from seqlab.construct import construct
from seqlab.errors import ConfigError, OptionError
from seqlab.layers.base import Layer
from seqlab.layers.recurrent import Recurrent
from seqlab.schema import check_value
from seqlab.wrappers.bidirectional import Bidirectional
from seqlab.wrappers.stacked import Stacked

#: The keys of each type beside ``type``; those that must be there.
_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "recurrent": ({"input_size", "cell", "reverse", "masked_output"}, {"input_size", "cell"}),
    "bidirectional": ({"forward", "backward", "merge_mode"}, {"forward", "backward"}),
    "stacked": ({"layers", "dropout"}, {"layers"}),
}

#: How deep a spec may nest.
DEPTH = 16


def build_layer(spec: Any, where: str = "layer", depth: int = DEPTH) -> Layer:
    """The layer of a spec, with new weights.

    >>> cell = {"name": "gru", "hidden_size": 4}
    >>> build_layer({"type": "recurrent", "input_size": 3, "cell": cell}).output_size
    4

    Raises:
        ConfigError: the spec has another form; the message says where.
    """
    if not isinstance(spec, Mapping) or spec.get("type") not in _KEYS or depth < 1:
        raise ConfigError(
            f"{where}: expected a mapping with type {', '.join(_KEYS)}, nested at most {DEPTH} "
            f"deep, got {spec!r:.80}"
        )
    kind = spec["type"]
    allowed, needed = _KEYS[kind]
    given = set(spec) - {"type"}
    if given - allowed or needed - given:
        wrong = ", ".join(sorted(map(str, (given - allowed) | (needed - given))))
        raise ConfigError(f"{where}: type {kind} has keys {sorted(allowed)}; wrong: {wrong}")
    if kind == "recurrent":
        cell = construct("cell", spec["cell"], spec["input_size"], where=f"{where}.cell")
        return Recurrent(
            cell,
            reverse=spec.get("reverse", False),
            masked_output=spec.get("masked_output", "zeros"),
        )
    if kind == "bidirectional":
        forward = build_layer(spec["forward"], f"{where}.forward", depth - 1)
        backward = build_layer(spec["backward"], f"{where}.backward", depth - 1)
        return Bidirectional(forward, spec.get("merge_mode", "concat"), backward)
    layers = [
        build_layer(part, f"{where}.layers[{index}]", depth - 1)
        for index, part in enumerate(check_value(spec["layers"], list, f"{where}.layers"))
    ]
    return Stacked(layers, dropout=spec.get("dropout", 0.0))


def recurrent_parts(spec: Any) -> int:
    """How many recurrent layers of one cell a spec describes, well formed or not.

    >>> part = {"type": "recurrent", "input_size": 3, "cell": "gru"}
    >>> recurrent_parts({"type": "bidirectional", "forward": part, "backward": part})
    2
    """
    if isinstance(spec, list):
        return sum(map(recurrent_parts, spec))
    if not isinstance(spec, Mapping):
        return 0
    if spec.get("type") == "recurrent":
        return 1
    return sum(map(recurrent_parts, spec.values()))


def refuse_trained_state(layer: Layer, library: str) -> None:
    """Refuse layers whose trained initial state another library's form has no place for.

    Raises:
        OptionError: a layer has one.
    """
    if any(part.initial is not None for part in recurrent_layers(layer)):
        raise OptionError(
            f"{library} has no place for a trained initial state; hand it over as the state of "
            "the first call, and convert a layer with initial_state='zeros'"
        )


def recurrent_layers(layer: Layer) -> Iterator[Recurrent]:
    """The recurrent layers of one cell inside a layer, in order."""
    for part in layer.modules():
        if isinstance(part, Recurrent):
            yield part
