"""``seqlab convert input=FILE output=PATH``: weights of Keras and torch to seqlab, and back."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab import progress
from seqlab.bundle.place import WEIGHTS
from seqlab.errors import ConfigError, DataError, OptionError, did_you_mean
from seqlab.verbs.arguments import read_arguments

CHOICES = {
    "input": "FILE",
    "output": "PATH",
    "layer": "NAME",
    "nonlinearity": ("tanh", "relu"),
    "layout": ("g2p_en", "g2pm"),
    "format": ("text", "json"),
    "bits": ("8",),
}
HELP = """usage: seqlab convert input=FILE output=PATH [layer=NAME] [nonlinearity=tanh|relu]
                      [format=text|json] [layout=g2p_en|g2pm] [bits=8]

Reads the recurrent layers of a file, checks each against an independent computation on the file's
weights, and writes them in the form of the output's ending.

  input=    .keras or .weights.h5 (Keras); .safetensors, .pt, .pth, .bin (torch state dict, read
            without pickled objects); a folder that this verb wrote
  output=   a folder (layers.json, model.safetensors); .keras or .weights.h5; .safetensors, .pt
  layer=    one layer by name; all layers without it
  layout=   a published model: the input is the wheel that holds it (pip download --no-deps g2p-en,
            or g2pM), the output a bundle; no code of the wheel is run, and nothing is unpickled
  bits=     8: the input is a bundle, the output one whose gated cells' matrices are rounded to
            eight bits (seqlab.quantize); measure it with seqlab evaluate, it cannot be trained on
  nonlinearity=  of a torch nn.RNN, which its state dict does not name (tanh)

The report gives for each layer the largest difference of its weights, converted there and back,
and of its outputs in float64, and at last that of the weights read back from the output.
"""


def run(words: Sequence[str]) -> int:
    """Convert, and print the report; always 0.

    Raises:
        ConfigError: a word is not understood.
        DataError: the input cannot be read as described.
        OptionError: the output's library has no such layer.
    """
    given = read_arguments(words, CHOICES, required=("input", "output"))
    if Path(given["output"]).resolve() == Path(given["input"]).resolve():
        raise ConfigError("output= is the input itself; give another path")
    if not Path(given["input"]).exists():
        raise DataError(f"{given['input']}: no such file")
    if "layout" in given:
        return _published(given)
    if "bits" in given:
        return _rounded(given)
    with progress.stage("starting", summary=False):
        from seqlab.compat.convert import read_layers, write_layers

    nonlinearity = given.get("nonlinearity", "tanh")
    with progress.stage("reading and comparing", summary=False):
        layers, others = read_layers(given["input"], nonlinearity)
    if "layer" in given:
        names = [part.name for part in layers]
        if given["layer"] not in names:
            raise ConfigError(f"layer={given['layer']}: {did_you_mean(given['layer'], names)}")
        layers = [part for part in layers if part.name == given["layer"]]
    with progress.stage("writing and reading back", summary=False):
        written = write_layers(given["output"], layers)
    rows = [_row(part) for part in layers]
    report = {"layers": rows, "left_out": others, "output": given["output"], "written": written}
    text = json.dumps(report, indent=2) if given.get("format") == "json" else _text(report)
    sys.stdout.write(text + "\n")
    return 0


def _published(given: Mapping[str, str]) -> int:
    """A wheel with a published model to a bundle."""
    with progress.stage("starting", summary=False):
        from seqlab.bundle import save_bundle
        from seqlab.published.wheels import ORIGINS, published

    name = given["layout"]
    trained = published(name, given["input"])
    save_bundle(
        given["output"],
        trained.model,
        trained.processor,
        trained.config,
        data_identity=ORIGINS[name],
    )
    count = sum(parameter.numel() for parameter in trained.model.parameters())
    sys.stdout.write(f"wrote {given['output']}: {name}, {count:,} weights\n")
    return 0


def _rounded(given: Mapping[str, str]) -> int:
    """A bundle to one with weights of eight bits."""
    with progress.stage("starting", summary=False):
        from seqlab.bundle import load, save_bundle
        from seqlab.cells.quantized import quantize, quantized_names

    trained = quantize(load(given["input"]))
    names = quantized_names(trained.model)
    if not names:
        raise OptionError(f"bits=8: the model in {given['input']} has no gated cell to round")
    save_bundle(given["output"], trained.model, trained.processor, trained.config)
    state = trained.model.state_dict()
    rounded, total = sum(state[n].numel() for n in names), sum(v.numel() for v in state.values())
    sizes = [(Path(given[key]) / WEIGHTS).stat().st_size for key in ("input", "output")]
    sys.stdout.write(
        f"wrote {given['output']}: {rounded:,} of {total:,} weights have eight bits, "
        f"{sizes[0]:,} bytes before, {sizes[1]:,} now; seqlab evaluate bundle={given['output']} "
        "measures what that costs\n"
    )
    return 0


def _row(part: Any) -> dict[str, Any]:
    cells = part.layer.cells()
    return {
        "name": part.name,
        "type": part.spec["type"],
        "cells": [type(cell).__name__ for cell in cells],
        "input_size": part.layer.input_size,
        "output_size": part.layer.output_size,
        "parameters": sum(p.numel() for p in part.layer.parameters()),
        "difference_weights": part.weights,
        "difference_outputs": part.outputs,
    }


def _text(report: dict[str, Any]) -> str:
    head = ("layer", "type", "cells", "in", "out", "weights", "largest difference")
    table = [head]
    for row in report["layers"]:
        cells = sorted(set(row["cells"]))
        count = len(row["cells"])
        outputs = row["difference_outputs"]
        shown = "not checked" if outputs is None else f"{outputs:.1e}"
        differences = f"weights {row['difference_weights']:.1e}, outputs {shown}"
        sizes = (str(row["input_size"]), str(row["output_size"]), f"{row['parameters']:,}")
        table.append((row["name"], row["type"], f"{count} {'/'.join(cells)}", *sizes, differences))
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in table]
    if report["left_out"]:
        lines.append("left out, not recurrent: " + ", ".join(report["left_out"]))
    lines.append(
        f"wrote {report['output']} (read back: largest difference {report['written']:.1e})"
    )
    return "\n".join(line.rstrip() for line in lines)
