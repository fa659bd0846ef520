"""Models as graphs that run without seqlab: made, written, read back and compared."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqlab.errors import EngineError, SeqlabError
from seqlab.failures import machine_failure
from seqlab.files import atomic_folder
from seqlab.verbs.traced_parts import TRACED, Graph

#: Rows and steps of the inputs a graph is run again on; none is that of the trace.
SHAPES = ((2, 17), (5, 4))
#: What every folder of a graph has.
REPORT = "export.json"


def export(graph: Graph) -> Any:
    """The traced program, with the scan operator for every recurrence.

    Raises:
        EngineError: the model has something that cannot be traced; the message has the reason.
    """
    module = graph.module.eval()
    try:
        with torch.no_grad(), _quiet():
            return torch.export.export(module, graph.example(*TRACED), dynamic_shapes=graph.dynamic)
    except SeqlabError:
        raise
    except Exception as error:
        raise _refused("this model cannot be exported", error) from error


def write(program: Any, graph: Graph, form: str, folder: Path) -> Callable[..., list[Tensor]]:
    """Write ``model.pt2`` or ``model.onnx`` into a folder; returns what runs the written file.

    Raises:
        EngineError: ONNX has no form of something in the model, or its packages are missing.
    """
    if form == "onnx":
        return _write_onnx(program, graph, folder)
    path = folder / "model.pt2"
    with _quiet():
        # torch ends the process where its own writer has no room
        written = io.BytesIO()
        torch.export.save(program, written)
        path.write_bytes(written.getbuffer())
        loaded = torch.export.load(path).module()

    def run(*arguments: Any) -> list[Tensor]:
        with torch.no_grad():
            return list(loaded(*arguments))

    return run


def _write_onnx(program: Any, graph: Graph, folder: Path) -> Callable[..., list[Tensor]]:
    try:
        import onnxruntime
        import onnxscript
    except ModuleNotFoundError as error:
        raise EngineError(
            f"format=onnx needs the package {error.name}: pip install 'seqlab[export]'"
        ) from error
    del onnxscript
    path = folder / "model.onnx"
    try:
        with _quiet():
            made = torch.onnx.export(
                program, dynamo=True, verbose=False,
                input_names=list(graph.inputs), output_names=list(graph.outputs),
            )  # fmt: skip
    except Exception as error:
        raise _refused("ONNX has no form of this model", error) from error
    if made is not None:
        made.save(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]

    def run(*arguments: Any) -> list[Tensor]:
        values = torch.utils._pytree.tree_leaves(arguments)  # noqa: SLF001  # torch has no other name for it
        fed = {name: value.numpy() for name, value in zip(names, values, strict=True)}
        return [torch.from_numpy(value) for value in session.run(list(graph.outputs), fed)]

    return run


def difference(graph: Graph, run: Callable[..., list[Tensor]]) -> dict[str, dict[str, float]]:
    """The largest difference of each output between model and written graph, at two shapes."""
    found: dict[str, dict[str, float]] = {}
    for rows, steps in SHAPES:
        generator_state = torch.random.get_rng_state()
        torch.manual_seed(rows * steps)
        arguments = graph.example(rows, steps)
        torch.random.set_rng_state(generator_state)
        with torch.no_grad():
            pairs = zip(graph.outputs, graph.module(*arguments), run(*arguments), strict=True)
            found[f"{rows}x{steps}"] = {n: _apart(e, g) for n, e, g in pairs}
    return found


def _apart(expected: Tensor, given: Tensor) -> float:
    """The largest difference; equal infinities are none."""
    e, g = expected.double(), given.double()
    return float(torch.where(e == g, 0.0, (e - g).abs()).max())


def written_folder(path: Path) -> contextlib.AbstractContextManager[Path]:
    """A folder that appears whole or not at all."""
    return atomic_folder(path, REPORT)


def _refused(what: str, error: Exception) -> SeqlabError:
    return machine_failure(error) or EngineError(f"{what}: {_line(error)}")


def _line(error: BaseException) -> str:
    """The first line of the innermost reason; the exporters' outer ones hold advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((ln.strip() for ln in str(error).splitlines() if ln.strip()), type(error).__name__)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' own progress and deprecation notes."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
