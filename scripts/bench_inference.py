"""The same LSTM and GRU as people deploy them: seqlab, torch, ONNX Runtime, OpenVINO."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Callable
from typing import Any

import seqlab
import torch
from seqlab.compat.torch import from_torch
from torch import Tensor, nn

from bench_contestants import theirs

State = tuple[Tensor, ...]
#: The compiled engine, with the matrices rounded.
EIGHT_BITS = "compiled, eight bits"


def weighted(module: nn.Module, engine: str) -> seqlab.Layer:
    """A layer with the weights of torch's module."""
    layer = from_torch(module)
    for part in layer.modules():
        if isinstance(part, seqlab.Recurrent):
            part.engine = engine.partition(",")[0]
    if engine == EIGHT_BITS:
        seqlab.quantize(layer)
    return layer.eval()


class WithState(nn.Module):
    """Torch's module with its state as separate tensors, for exporters."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Output, then the final state."""
        output, final = self.module(x, state if len(state) > 1 else state[0])
        return (output, *(final if isinstance(final, tuple) else (final,)))


def onnx_of(module: nn.Module, x: Tensor, state: State) -> bytes:
    """The module as ONNX, for inputs of this form."""
    made = io.BytesIO()
    names = ["x", *[f"s{i}" for i in range(len(state))]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            WithState(module).eval(), (x, *state), made, dynamo=False, input_names=names,
            output_names=["y", *[f"n{i}" for i in range(len(state))]],
        )  # fmt: skip
    return made.getvalue()


def onnx_runtime(model: bytes, threads: int) -> Callable[..., list[Any]]:
    """The model by ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def openvino(model: bytes, threads: int) -> Callable[..., list[Any]]:
    """The model by OpenVINO."""
    import openvino as ov

    core = ov.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    # float32, as the others: by default it computes in bfloat16 where the machine has it
    settings["INFERENCE_PRECISION_HINT"] = "f32"
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()

    def run(*arrays: Any) -> list[Any]:
        found = request.infer(list(arrays), share_inputs=True)
        return [found[i].copy() for i in range(1 + len(arrays[1:]))]

    return run


RUNTIMES = {"ONNX Runtime": ("onnxruntime", onnx_runtime), "OpenVINO": ("openvino", openvino)}


def runtimes() -> dict[str, Callable[[bytes, int], Callable[..., list[Any]]]]:
    """Those that are installed."""
    found = importlib.util.find_spec
    return {name: make for name, (module, make) in RUNTIMES.items() if found(module)}


def whole(kind: str, batch: int, steps: int, width: int) -> dict[str, Callable[[], Any]]:
    """Calls that run whole sequences, each seen to give the same numbers."""
    module = theirs(kind, width, width).eval()
    x = torch.randn(batch, steps, width)
    state = tuple(torch.zeros(1, batch, width) for _ in range(2 if kind == "lstm" else 1))
    layers = {f"nn.{kind.upper()}": module} | {
        name: weighted(module, name) for name in ("auto", "compiled")
    }

    def call(layer: nn.Module) -> Callable[[], Any]:
        return torch.inference_mode()(lambda: layer(x)[0])

    calls = {name: call(layer) for name, layer in layers.items()}
    model = onnx_of(module, x, state)
    arrays = [t.numpy() for t in (x, *state)]
    for name, make in runtimes().items():
        run = make(model, torch.get_num_threads())
        calls[name] = lambda run=run: run(*arrays)[0]
    expected = calls[f"nn.{kind.upper()}"]()
    for result in (made() for made in calls.values()):
        torch.testing.assert_close(torch.as_tensor(result), expected, rtol=1e-3, atol=1e-4)
    return calls


def stepping(
    kind: str, width: int, count: int, batch: int = 1, given: tuple[nn.Module, Tensor] | None = None
) -> dict[str, Callable[[], Any]]:
    """Calls that run so many steps of so many rows, one at a time, the state handed on.

    ``given``: torch's module and the input of all steps ``[B, 1, D]``.
    """
    module, x = given or (theirs(kind, width, width).eval(), torch.randn(batch, 1, width))
    row = x[:, 0]
    fields = 2 if kind == "lstm" else 1
    layers = {name: weighted(module, name) for name in ("auto", "compiled", EIGHT_BITS)}
    cell = (nn.LSTMCell if kind == "lstm" else nn.GRUCell)(width, width)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in module.state_dict().items()})

    @torch.inference_mode()
    def torchs() -> Tensor:
        state: Any = None
        for _ in range(count):
            state = cell(row, state)
        return state[0] if kind == "lstm" else state

    calls: dict[str, Callable[[], Any]] = {"nn's cell": torchs}
    for name, layer in layers.items():

        @torch.inference_mode()
        def stream(layer: seqlab.Layer = layer) -> Tensor:
            running = seqlab.stream(layer)
            for _ in range(count):
                output, _ = running.step(row)
            return output

        calls[f"stream, {name}"] = stream
    zeros = tuple(torch.zeros(1, batch, width) for _ in range(fields))
    model = onnx_of(module, x, zeros)
    for name, make in runtimes().items():
        run = make(model, torch.get_num_threads())

        def steps(run: Callable[..., list[Any]] = run) -> Any:
            state = [t.numpy() for t in zeros]
            given = x.numpy()
            for _ in range(count):
                output, *state = run(given, *state)
            return output[:, 0]

        calls[name] = steps
    expected = calls["nn's cell"]()
    for name, made in calls.items():
        near = 2e-2 if name.endswith(EIGHT_BITS) else 1e-4
        torch.testing.assert_close(torch.as_tensor(made()), expected, rtol=1e-3, atol=near)
    return calls
