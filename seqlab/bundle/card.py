"""The README of a bundle: what the model is, what it was measured at, where its data is from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from seqlab import plugins
from seqlab.bundle.eight_bits import EIGHT_BITS
from seqlab.bundle.finite import WORTHLESS

_USE = """## Use

```python
import seqlab

model = seqlab.load("path/to/this/folder")
print(model.predict({inputs}))
```

On the command line: `seqlab predict bundle=path/to/this/folder input=FILE`."""


def model_card(
    config: Mapping[str, Any],
    metrics: Mapping[str, Mapping[str, float]],
    data_identity: Mapping[str, Any],
    parameters: int,
    not_finite: str | None = None,
) -> str:
    """A model card in Markdown, with the front matter that the Hugging Face Hub reads.

    Args:
        config: the bundle's config.
        metrics: measured values by split.
        data_identity: what the source says of itself: name, origin, licence, digest, rows.
        parameters: how many weights the model has.
        not_finite: the name of one that is NaN or infinite.
    """
    from huggingface_hub import ModelCard, ModelCardData

    head = _name(config["head"])
    encoder = config["encoder"]
    wrappers = ", ".join(_name(w) for w in encoder.get("wrappers") or ()) or "none"
    made = f"Made with seqlab {plugins.version_of('seqlab')}. {parameters:,} parameters; cell "
    front = ModelCardData(library_name="seqlab", tags=["seqlab", "recurrent", head])
    parts = [
        f"---\n{front.to_yaml()}\n---",
        f"# {head} with {_name(encoder['cell'])}",
        f"{made}`{_name(encoder['cell'])}`, wrappers (inside out): {wrappers}.{_bits(config)}",
        *([f"**The weight `{not_finite}` {WORTHLESS}.**"] if not_finite else []),
        _USE.format(inputs=_example_inputs(config)),
        f"## Measured\n\n{_metrics(metrics)}",
        f"## Data\n\n{_identity(data_identity)}",
        f"## Specification\n\n```json\n{json.dumps(_specs(config), indent=2)}\n```",
    ]
    return str(ModelCard("\n\n".join(parts) + "\n"))


def _example_inputs(config: Mapping[str, Any]) -> str:
    """Rows as Python writes them; where transforms take rows of another form, a name for them."""
    return "rows" if config["data"].get("transforms") else repr([_example_input(config)])


def _example_input(config: Mapping[str, Any]) -> Any:
    """An input of the form that ``predict`` takes, made up: a card shows nobody's data."""
    features = config["data"]["features"]
    values = {}
    for info in config["info"]["features"]:
        spec = features[info["name"]]
        made_up: dict[str, Any] = {
            "tokens": ["some", "words"],
            "spelling": ["some", "words"],
            "numeric": [[0.0] * int(info["size"])] * 3,
            "whole_series": [[0.0] * int(info["size"])] * 3,
        }
        values[spec.get("column", info["name"])] = made_up.get(spec.get("kind"), "some text")
    return values if len(values) > 1 else next(iter(values.values()), "some text")


def _bits(config: Mapping[str, Any]) -> str:
    """What the card says of weights of eight bits."""
    if config.get("weights") != EIGHT_BITS:
        return ""
    return (
        " The matrices of its gated cells are rounded to eight bits, with a scale for each row; it "
        "predicts and exports as any other, and cannot be trained on."
    )


def _name(spec: Any) -> str:
    return str(spec["name"]) if isinstance(spec, Mapping) else str(spec)


def _specs(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in ("encoder", "head", "data") if key in config}


def _metrics(metrics: Mapping[str, Mapping[str, float]]) -> str:
    lines = [
        f"| {split} | {name} | {value:.4f} |"
        for split, values in metrics.items()
        for name, value in values.items()
    ]
    if not lines:
        return "Nothing was measured."
    return "\n".join(["| split | metric | value |", "|---|---|---|", *lines])


def _identity(identity: Mapping[str, Any]) -> str:
    lines = []
    for key, value in identity.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"- {key}: {text}")
    return "\n".join(lines) or "Nothing is known of the data."
