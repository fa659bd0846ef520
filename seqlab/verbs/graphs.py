"""Models as graphs that run without seqlab: made, written, read back and compared."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqlab.errors import EngineError, SeqlabError
from seqlab.failures import machine_failure
from seqlab.files import atomic_folder
from seqlab.model import SequenceModel
from seqlab.types import Batch, FeatureInfo

#: Rows and steps of the inputs a graph is run again on; none is that of the trace.
SHAPES = ((2, 17), (5, 4))
_TRACED = (3, 6)


class Graph(NamedTuple):
    """A module with the arguments of its trace, and names for what goes in and out.

    ``example`` makes its arguments for so many rows and steps; ``dynamic`` tells which of their
    dimensions may change.
    """

    module: nn.Module
    example: Callable[[int, int], tuple[Any, ...]]
    dynamic: tuple[Any, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class _WholeModel(nn.Module):
    """Features and lengths to the encoder's output, its final vector, and the head's scores."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Sequence[Tensor], lengths: Tensor) -> tuple[Tensor, ...]:
        names = [feature.name for feature in self.model.info.features]
        batch = Batch(dict(zip(names, features, strict=True)), lengths)
        encoded = self.model.encode(batch)
        scores = self.model.head.scores(encoded)
        results = (encoded.output, encoded.final)
        return results if scores is None else (*results, scores)


class _OneStep(nn.Module):
    """One encoder step: a row of features and the state before, to output and state after."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, features: Sequence[Tensor], state: Sequence[Tensor]) -> list[Tensor]:
        leaves, form = torch.utils._pytree.tree_flatten(self.encoder.layer.initial_state(1))  # noqa: SLF001  # torch has no other name for it
        del leaves
        before = torch.utils._pytree.tree_unflatten(list(state), form)  # noqa: SLF001  # as above
        names = [feature.name for feature in self.encoder.features if feature.role != "ahead"]
        inputs = {n: f.unsqueeze(1) for n, f in zip(names, features, strict=True)}
        lengths = torch.ones(features[0].shape[0], dtype=torch.int64)
        _, x_BTD = self.encoder._join(Batch(inputs, lengths))  # noqa: SLF001  # the encoder without its layer
        output, after = self.encoder.layer.step(self.encoder.input_layer(x_BTD).squeeze(1), before)
        return [output, *torch.utils._pytree.tree_leaves(after)]  # noqa: SLF001  # as above


def whole(model: SequenceModel) -> Graph:
    """The graph of whole sequences, with dynamic rows and steps."""
    features = model.info.features
    rows, steps = torch.export.Dim("rows"), torch.export.Dim("steps")

    def example(batch: int, count: int) -> tuple[Any, ...]:
        lengths = torch.randint(1, count + 1, (batch,))
        lengths[0] = count
        steps = {"step": count, "row": 1, "ahead": model.info.target.steps}
        return [_values(f, (batch, steps[f.role])) for f in features], lengths

    module = _WholeModel(model).eval()
    with torch.no_grad():
        outputs = ("output", "final", "scores")[: len(module(*example(*_TRACED)))]
    beside = [{0: rows, 1: steps} if f.role == "step" else {0: rows} for f in features]
    dynamic = (beside, {0: rows})
    return Graph(module, example, dynamic, (*(f.name for f in features), "lengths"), outputs)


def one_step(model: SequenceModel) -> Graph:
    """The graph of one step with explicit state, with dynamic rows.

    Raises:
        EngineError: the encoder runs backward in time.
    """
    features = tuple(f for f in model.info.features if f.role != "ahead")
    layer = model.encoder.layer
    _check_streams(model)
    rows = torch.export.Dim("rows")
    flatten = torch.utils._pytree.tree_leaves  # noqa: SLF001  # torch has no other name for it

    def example(batch: int, count: int) -> tuple[Any, ...]:
        del count
        state = [torch.randn_like(part) for part in flatten(layer.initial_state(batch))]
        return [_values(f, (batch,)) for f in features], state

    count = len(flatten(layer.initial_state(1)))
    before = tuple(f"state_{i}" for i in range(count))
    after = tuple(f"next_{i}" for i in range(count))
    dynamic = ([{0: rows} for _ in features], [{0: rows} for _ in before])
    names = tuple(f.name for f in features)
    return Graph(_OneStep(model), example, dynamic, (*names, *before), ("output", *after))


def _check_streams(model: SequenceModel) -> None:
    model.check_steps()
    layer = model.encoder.layer
    zeros = torch.zeros(1, layer.input_size)
    with torch.no_grad():
        layer.step(zeros, layer.initial_state(1))


def _values(feature: FeatureInfo, shape: tuple[int, ...]) -> Tensor:
    if feature.kind == "ids":
        return torch.randint(0, feature.size, shape)
    return torch.randn(*shape, feature.size)


def export(graph: Graph) -> Any:
    """The traced program, with the scan operator for every recurrence.

    Raises:
        EngineError: the model has something that cannot be traced; the message has the reason.
    """
    module = graph.module.eval()
    try:
        with torch.no_grad(), _quiet():
            return torch.export.export(
                module, graph.example(*_TRACED), dynamic_shapes=graph.dynamic
            )
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
            found[f"{rows}x{steps}"] = {n: float((e - g).abs().max()) for n, e, g in pairs}
    return found


def written_folder(path: Path) -> contextlib.AbstractContextManager[Path]:
    """A folder that appears whole or not at all."""
    return atomic_folder(path)


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
