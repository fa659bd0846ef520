"""``seqlab export bundle=DIR format=onnx``: a model as a graph that runs without seqlab."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from seqlab import progress
from seqlab.bundle.place import local_bundle
from seqlab.errors import EngineError
from seqlab.files import write_json
from seqlab.verbs.arguments import read_arguments

FORMATS = ("onnx", "torch_export", "step")
PARTS = ("whole", "step", "decoder_start", "decoder_step")
CHOICES = {"bundle": "DIR", "format": FORMATS, "part": PARTS, "output": "DIR"}
#: Largest difference between the model and its written graph that counts as equal, in float32.
TOLERANCE = 1e-4
HELP = """usage: seqlab export bundle=DIR format=onnx|torch_export|step [part=PART] [output=DIR]

Writes a bundle's model as a graph with dynamic rows and steps, reads the file back, runs it at two
other shapes and prints the largest differences to the model.

  format=   onnx: model.onnx; torch_export: model.pt2 (read by torch.export.load);
            step: as format=torch_export part=step
  part=     whole: whole rows; step: one time step with explicit state, for streaming, with the
            head's scores where each step has its own; decoder_start and decoder_step: of an
            encoder-decoder, from the source to what its decoder needs, and one step of that
  output=   a folder for the graph and export.json (BUNDLE-FORMAT-PART beside the bundle)

The graph takes the features and lengths, and gives the encoder's output and final vector, and the
head's scores where it has them; a step takes features and state, and gives output and next state.
"""


def run(words: Sequence[str]) -> int:
    """Export, compare, print; always 0.

    Raises:
        ConfigError: a word is not understood.
        BundleError: the bundle cannot be loaded.
        EngineError: the model cannot be exported, or the graph's numbers differ from the model's.
    """
    given = read_arguments(words, CHOICES, required=("bundle", "format"))
    form, part = given["format"], given.get("part", "whole")
    name = form if part == "whole" else f"{form}-{part}"
    if form == "step":
        form, part = "torch_export", given.get("part", "step")
    bundle = Path(given["bundle"])
    output = Path(given.get("output", f"{bundle.resolve()}-{name}"))

    local_bundle(given["bundle"])
    with progress.stage("starting", summary=False):
        from seqlab.bundle import load
        from seqlab.verbs import graphs, traced_parts

        model = load(bundle).model.eval()
    with progress.stage("tracing", summary=False):
        graph = traced_parts.PARTS[part](model)
        program = graphs.export(graph)
    with (
        progress.stage("writing and comparing", summary=False),
        graphs.written_folder(output) as folder,
    ):
        found = graphs.difference(graph, graphs.write(program, graph, form, folder))
        worst = max(value for shape in found.values() for value in shape.values())
        if not worst <= TOLERANCE:
            raise EngineError(f"the exported graph differs from the model by {worst:.2g}: {found}")
        report = {"format": form, "part": part, "inputs": graph.inputs, "outputs": graph.outputs,
                  "largest_difference": found}  # fmt: skip
        write_json(folder / graphs.REPORT, report)
    sys.stdout.write(_text(output, found))
    return 0


def _text(output: Path, found: dict[str, dict[str, float]]) -> str:
    lines = [f"wrote {output}", "largest difference to the model, run again:"]
    for shape, values in found.items():
        rows, steps = shape.split("x")
        parts = ", ".join(f"{name} {value:.1e}" for name, value in values.items())
        lines.append(f"  {rows} rows of {steps} steps: {parts}")
    return "\n".join(lines) + "\n"
