"""Runs every registered part forward and backward on fake CUDA tensors; prints what failed.

A script of its own, because torch must find the made-up device before its first backward pass.
Fake tensors hold no numbers, so this needs no GPU, and refuse to mix devices, as a GPU does.
What of torch wants numbers is stood in for (stand_ins.py); so are the launches of Triton's kernels,
of which the arguments are looked at.

Usage: on_fake_cuda.py LIBRARY (of fake_cuda.cpp); prints a JSON object: part -> `ran`, why it was
refused, or the error.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

_LIB = Path(importlib.util.find_spec("torch").origin).parent / "lib"
for _name in (_LIB / "libc10.so", _LIB / "libtorch_cpu.so", Path(sys.argv[1])):
    ctypes.CDLL(str(_name), mode=ctypes.RTLD_GLOBAL)  # before torch asks for devices

import seqlab  # noqa: E402
import torch  # noqa: E402
from seqlab import registry  # noqa: E402
from seqlab.build import build_layer, build_model  # noqa: E402
from seqlab.engines import triton_presence  # noqa: E402
from seqlab.engines.fused import cell_stack, vendor_calls  # noqa: E402
from seqlab.engines.traced.traced_cell import trace  # noqa: E402
from seqlab.errors import EngineError  # noqa: E402
from seqlab.layers.base import Layer  # noqa: E402
from seqlab.testing.tasks import TARGETS, make_task, small_head  # noqa: E402
from stand_ins import NoNumbers, kernel, leaves, real_steps, step_kernel  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402

CUDA, FIRST = torch.device("cuda"), torch.device("cuda:0")
#: The index of the device that is the current one around launches.
OTHER = 1
B, T, D, H = 3, 3, 6, 6
GRU = {"name": "gru", "hidden_size": H}
TASKS = {kind: make_task(kind) for kind in TARGETS}
BATCHES = {kind: task.batch for kind, task in TASKS.items()}
_SCALED = "variance_scaling"
#: What draws until numbers lie in a range, or has options of its own.
LEFT_OUT = {
    "initializer": ("glorot_normal", "he_normal", "lecun_normal", "truncated_normal", _SCALED),
    "activation": ("glu", "threshold"),
}


def backward(module: nn.Module, outputs: Any, *inputs: Tensor) -> None:
    """Check the devices of outputs, and of all gradients of their sum."""
    found = [t for t in leaves(outputs) if t.is_floating_point() or t.is_complex()]
    assert found, "no outputs"
    assert {t.device.type for t in found} == {"cuda"}, "an output is not on the device"
    if torch.is_grad_enabled():
        sum(t.abs().sum() for t in found).backward()
    for name, tensor in [*module.named_parameters(), *enumerate(inputs)]:
        assert tensor.grad is None or tensor.grad.device.type == "cuda", f"gradient of {name}"


def series(*shape: int) -> Tensor:
    return torch.randn(*shape, device=CUDA).requires_grad_()


def run_layer(layer: Layer) -> None:
    """With and without masks, in training, with a state, and one step of streaming."""
    layer.train()
    x = series(B, T, layer.input_size)
    for given, begins in (
        ({}, False),
        ({"lengths": torch.tensor([T, 0, 2], device=CUDA)}, True),
        ({"mask": torch.ones(B, T, dtype=torch.bool, device=CUDA)}, False),
    ):
        start = (layer.initial_state(B, device=CUDA),) if begins else ()
        output, state = layer(x, *start, **given)
        backward(layer, (output, layer.final_output(state)), x)
    if layer.causal:
        layer.eval()
        step = series(B, layer.input_size)
        backward(layer, layer.step(step, layer.initial_state(B, device=CUDA))[0], step)


#: Engines that fall back to the loop here, or trace it, which takes long, and what shows them.
SHOWN = {"triton": {"gru", "lru", "rnn"}, "export": {"gru", "lru"}}
CELLS = [
    name
    for name in seqlab.available("cell")
    if registry.owner_of("cell", name)[0] != "seqlab-zoo"  # it has tests of its own
]


def cells() -> Iterator[tuple[str, Callable[[], None]]]:
    for name in CELLS:
        for engine in seqlab.available("engine"):
            if name not in SHOWN.get(engine, {name}):
                continue
            # the other engines turn time round in one place, which these show
            for reverse in (False, True) if engine in {"loop", "fused"} else (False,):

                def run(name: str = name, engine: str = engine, reverse: bool = reverse) -> None:
                    with CUDA:
                        cell = seqlab.get("cell", name)(D, H)
                    layer = seqlab.Recurrent(cell, engine=engine, reverse=reverse)
                    with torch.set_grad_enabled(engine != "export"):
                        run_layer(layer)

                yield f"cell={name} engine={engine}{' reverse' * reverse}", run


def dropped_cells() -> Iterator[tuple[str, Callable[[], None]]]:
    dropped = {"dropout": 0.3, "recurrent_dropout": 0.2, "zoneout": 0.1}
    for name in CELLS:
        if not issubclass(seqlab.get("cell", name), seqlab.GatedCell):
            continue

        def run(name: str = name) -> None:
            with CUDA:
                cell = seqlab.get("cell", name)(D, H, **dropped)
            run_layer(seqlab.Recurrent(cell, engine="loop"))

        yield f"cell={name} with dropout", run


class Launch:
    """In place of a Triton kernel: all tensors that it is given are on the current device."""

    count = 0
    current = OTHER

    def __call__(
        self, grid: tuple[int, ...], arguments: Any, key: Any, constants: Callable[[], Any]
    ) -> None:
        """A launch that computes nothing."""
        assert all(side > 0 for side in grid)
        hash(key)
        self.launch(*arguments, **constants())

    @classmethod
    def launch(cls, *arguments: Any, **constants: Any) -> None:
        """Look at all that a launch is given."""
        tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
        assert tensors, "no tensors"
        assert {tensor.device for tensor in tensors} == {FIRST}, "another device's tensor"
        assert cls.current == FIRST.index, "Triton launches on the current device"
        assert constants, "no constants"
        cls.count += 1


@contextlib.contextmanager
def switched(device: torch.device) -> Iterator[None]:
    """In place of ``torch.cuda.device``."""
    before, Launch.current = Launch.current, device.index
    yield
    Launch.current = before


@contextlib.contextmanager
def launches(equations: Any) -> Iterator[None]:
    """Triton's engines as on a machine with two devices, the second current, that run nothing."""
    from seqlab.engines.scan import tile_pass
    from seqlab.engines.triton import cell_kernels, engine
    from seqlab.engines.triton.step_launches import ROW_KERNELS

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(ROW_KERNELS, {name: Launch() for name in ROW_KERNELS}))
        for place, name, value in (
            (tile_pass, "_launcher", lambda _: Launch()),
            (triton_presence, "installed", lambda: True),
            (cell_kernels, "trace", lambda *_, **__: equations),
            (cell_kernels, "_launched", lambda _: collections.defaultdict(Launch)),
            (engine, "_chip", lambda _: (132, 232_448)),
            (engine, "_too_old", lambda _: None),
            (engine.TritonEngine, "unavailable", lambda _: None),
            (torch.cuda, "current_device", lambda: Launch.current),
            (torch.cuda, "device", switched),
        ):
            stack.enter_context(mock.patch.object(place, name, value))
        yield


def triton_cells() -> Iterator[tuple[str, Callable[[], None]]]:
    if importlib.util.find_spec("triton") is None:
        return
    drop = {"recurrent_dropout": 0.3, "untied_dropout": True, "dropout": 0.2, "zoneout": 0.1}
    for name, options in (
        ("rnn", drop),
        ("lstm", {"proj_size": 2, **drop}),
        ("gru", {"layer_norm": True, "proj_size": 2, "reset_after": False}),
    ):
        # traced with numbers
        equations = trace(seqlab.get("cell", name)(D, H, **options), zoneout_masks=True)

        def run(
            name: str = name, options: dict[str, Any] = options, equations: Any = equations
        ) -> None:
            with launches(equations), CUDA:
                cell = seqlab.get("cell", name)(D, H, **options)
                before = Launch.count
                run_layer(seqlab.Recurrent(cell, engine="triton", reverse="proj_size" in options))
                assert Launch.count >= before + 6, "forward and backward of three runs"

        yield f"cell={name} engine=triton {json.dumps(options)}", run

    def scan() -> None:
        with launches(None), CUDA:
            before = Launch.count
            run_layer(seqlab.Recurrent(seqlab.get("cell", "min_gru")(D, H), engine="scan"))
            assert Launch.count >= before + 6, "forward and backward of three runs"

    yield "cell=min_gru engine=scan by Triton", scan


def wrappers() -> Iterator[tuple[str, Callable[[], None]]]:
    for name in seqlab.available("wrapper"):

        def run(name: str = name) -> None:
            wrapper = {"name": name, **({"num_layers": 2} if name == "stacked" else {})}
            with CUDA:
                layer = build_layer({"cell": GRU, "wrappers": [wrapper]}, D)
            run_layer(layer)

        yield f"wrapper={name}", run
    for name in seqlab.available("merge"):

        def merge(name: str = name) -> None:
            with CUDA:
                layer = seqlab.Bidirectional(seqlab.GRU(D, H), merge_mode=name)
            if name != "none":
                return run_layer(layer)
            x = series(B, T, D)
            return backward(layer, layer(x)[0], x)

        yield f"merge={name}", merge


def heads() -> Iterator[tuple[str, Callable[[], None]]]:
    encoder = {"cell": GRU, "wrappers": [{"name": "bidirectional"}]}
    for name in seqlab.available("head"):
        for kind in seqlab.get("head", name).needs:
            for options in ({}, *variants(name)):

                def run(
                    name: str = name, kind: str = kind, options: dict[str, Any] = options
                ) -> None:
                    task = TASKS[kind]
                    spec = {"encoder": encoder, "head": small(name, options)}
                    with CUDA:
                        model = build_model(spec, task.processor.info).train()
                    backward(model, model.loss(BATCHES[kind].to(CUDA)))

                yield f"head={name} target={kind} {json.dumps(options)}", run


def small(name: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, **small_head(seqlab.get("head", name), options)}


def variants(head: str) -> Iterator[dict[str, Any]]:
    """A head with each pooling and attention that it can have."""
    if head == "classification":
        yield from ({"pooling": name} for name in seqlab.available("pooling"))
    if head == "encoder_decoder":
        for name in seqlab.available("attention"):
            yield {"attention": {"name": name}}
    if head == "tagging":
        yield {"crf": True}


def options_of_gates() -> Iterator[tuple[str, Callable[[], None]]]:
    for kind, key in (
        ("initializer", "kernel_initializer"),
        ("regularizer", "kernel_regularizer"),
        ("constraint", "kernel_constraint"),
        ("activation", "activation"),
    ):
        for name in set(seqlab.available(kind)) - set(LEFT_OUT.get(kind, ())):

            def run(name: str = name, key: str = key) -> None:
                with CUDA:
                    layer = seqlab.GRU(D, D, engine="loop", **{key: name})
                layer.train()
                x = series(B, T, D)
                backward(layer, layer(x)[0], x)
                layer.regularization_loss()
                layer.apply_constraints()

            yield f"{kind}={name}", run


def main() -> None:
    """Run all, and print what came of it."""
    FakeTensorMode.__deepcopy__ = lambda mode, _: mode  # copies of a layer stay in its mode
    # fake tensors have no memory that a kernel could read
    triton_presence.installed = lambda: False
    vendor_calls._call = kernel
    cell_stack.real_steps = real_steps
    for name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        setattr(torch, f"{name}_cell", step_kernel)
    found: dict[str, str] = {}
    for parts in (cells, dropped_cells, triton_cells, wrappers, heads, options_of_gates):
        for what, run in parts():
            try:
                with FakeTensorMode(allow_non_fake_inputs=True), NoNumbers():
                    run()
            except EngineError as refusal:
                found[what] = f"refused: {refusal}"
            except Exception as error:  # noqa: BLE001 - a report of all that can go wrong
                found[what] = f"{type(error).__name__}: {error}"
            else:
                found[what] = "ran"
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
