"""One peer in a process and an environment of its own, as ``bench_peers.py`` asks over pipes.

    python scripts/bench_peer_worker.py PEER THREADS

Needs numpy and the peer alone. A line of JSON with ``prepare`` (a file of arrays and
what they are for) is answered with the peer's version once the peer has run, its output in
``output``; one with ``calls`` with the seconds that so many calls took.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, Any]
#: Prepared: a call, whose result is the output where it has one, and the peer's version.
Prepared = tuple[Callable[[], Any], str]


def keras_layer(task: dict[str, Any], arrays: Arrays) -> Any:
    """Keras's layer with these weights."""
    import keras

    made = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[task["kind"]](
        task["hidden"], return_sequences=True
    )
    made.build(arrays["x"].shape)
    made.set_weights([arrays[name] for name in ("kernel", "recurrent", "bias")])
    return made


def tensorflow(task: dict[str, Any], arrays: Arrays, threads: int) -> Prepared:
    """Keras's layer on TensorFlow, as a graph."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    layer = keras_layer(task, arrays)
    if task["steps"]:
        return tensorflow_steps(tf, layer.cell, task, arrays), f"TensorFlow {tf.__version__}"
    x, d = tf.constant(arrays["x"]), tf.constant(arrays["d"])

    if task["save"]:
        # weights as constants: LiteRT's loops read no variables
        constants = [tf.constant(v.numpy()) for v in layer.trainable_variables]
        others = [tf.constant(v.numpy()) for v in layer.non_trainable_variables]

        def frozen(x: Any) -> Any:
            return layer.stateless_call(constants, others, x)[0]

        graph = tf.function(frozen, input_signature=[tf.TensorSpec(x.shape)])
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()])
        Path(task["save"]).write_bytes(converter.convert())

    @tf.function
    def forward() -> Any:
        return layer(x)

    @tf.function
    def train() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = layer(x)
        return output, tape.gradient(output, [x, *layer.trainable_weights], d)

    def call() -> Any:
        return (train()[0] if task["train"] else forward()).numpy()

    return call, f"TensorFlow {tf.__version__}"


def tensorflow_steps(tf: Any, cell: Any, task: dict[str, Any], arrays: Arrays) -> Any:
    """One step of Keras's cell as a graph, so often; the state is handed on."""
    x = tf.constant(arrays["x"][:, 0])
    constants = [tf.constant(v.numpy()) for v in cell.trainable_variables]
    others = [tf.constant(v.numpy()) for v in cell.non_trainable_variables]
    zeros = [tf.zeros((len(arrays["x"]), task["hidden"]))] * (2 if task["kind"] == "lstm" else 1)
    names = ["x", *[f"s{i}" for i in range(len(zeros))]]
    signature = [tf.TensorSpec(v.shape, name=n) for n, v in zip(names, [x, *zeros], strict=True)]

    def frozen(x: Any, *state: Any) -> Any:
        output, after = cell.stateless_call(constants, others, x, list(state))[0]
        return (output, *(after if isinstance(after, list | tuple) else [after]))

    graph = tf.function(frozen, input_signature=signature)
    if task["save"]:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()])
        Path(task["save"]).write_bytes(converter.convert())

    def call() -> Any:
        state = zeros
        for _ in range(task["steps"]):
            output, *state = graph(x, *state)
        return output.numpy()

    return call


def jax_threads(threads: int) -> None:
    """XLA has no option for this; it takes the processors that it may use."""
    if hasattr(os, "sched_setaffinity") and threads < len(os.sched_getaffinity(0)):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def jitted(function: Callable[..., Any], weights: Any, task: Any, arrays: Arrays) -> Any:
    """A call of a function of weights and input, compiled, with its gradients if asked for."""
    import jax

    x, d = jax.numpy.asarray(arrays["x"]), jax.numpy.asarray(arrays["d"])

    @jax.jit
    def train(weights: Any, x: Any, d: Any) -> Any:
        output, back = jax.vjp(function, weights, x)
        return output, back(d)

    forward = jax.jit(function)

    def call() -> Any:
        if not task["train"]:
            return np.asarray(forward(weights, x))
        return np.asarray(jax.block_until_ready(train(weights, x, d))[0])

    return call


def keras_jax(task: dict[str, Any], arrays: Arrays, threads: int) -> Prepared:
    """Keras's layer on JAX, compiled."""
    os.environ["KERAS_BACKEND"] = "jax"
    jax_threads(threads)
    import jax
    import keras

    layer = keras_layer(task, arrays)
    state = [v.value for v in layer.non_trainable_variables]

    def function(weights: Any, x: Any) -> Any:
        return layer.stateless_call(weights, state, x)[0]

    weights = [v.value for v in layer.trainable_variables]
    version = f"Keras {keras.__version__} on JAX {jax.__version__}"
    return jitted(function, weights, task, arrays), version


def lax_scan(task: dict[str, Any], arrays: Arrays, threads: int) -> Prepared:
    """What people write in JAX: one product for the inputs, then ``lax.scan`` over the steps."""
    jax_threads(threads)
    import jax
    from jax import nn
    from jax import numpy as jnp

    hidden, kind = task["hidden"], task["kind"]
    names = ("kernel", "recurrent", "bias")

    def lstm(recurrent: Any, _: Any, state: Any, x: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(x + h @ recurrent, 4, -1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        h = nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(recurrent: Any, bias: Any, state: Any, x: Any) -> Any:
        (h,) = state
        x_z, x_r, x_n = jnp.split(x, 3, -1)
        h_z, h_r, h_n = jnp.split(h @ recurrent + bias, 3, -1)
        z, r = nn.sigmoid(x_z + h_z), nn.sigmoid(x_r + h_r)
        h = z * h + (1 - z) * jnp.tanh(x_n + r * h_n)
        return (h,), h

    def function(weights: Any, x: Any) -> Any:
        kernel, recurrent, bias = weights
        both = (bias, 0.0) if kind == "lstm" else (bias[0], bias[1])
        zeros = jnp.zeros((x.shape[0], hidden), x.dtype)
        state = (zeros, zeros) if kind == "lstm" else (zeros,)
        cell = lstm if kind == "lstm" else gru
        projected = jnp.swapaxes(x @ kernel + both[0], 0, 1)

        def step(state: Any, x: Any) -> Any:
            return cell(recurrent, both[1], state, x)

        return jnp.swapaxes(jax.lax.scan(step, state, projected)[1], 0, 1)

    weights = tuple(jnp.asarray(arrays[name]) for name in names)
    return jitted(function, weights, task, arrays), f"JAX {jax.__version__}"


def torch_module(task: dict[str, Any], arrays: Arrays, threads: int) -> Any:
    """Torch's module with these weights."""
    import torch

    torch.set_num_threads(threads)
    made = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[task["kind"]](
        arrays["kernel"].shape[0], task["hidden"], batch_first=True
    )
    order = [0, 1, 2, 3] if task["kind"] == "lstm" else [1, 0, 2]

    def turned(name: str, row: Any = ...) -> Any:
        parts = np.split(arrays[name][row].T, len(order))
        return torch.tensor(np.concatenate([parts[i] for i in order]))

    lstm = task["kind"] == "lstm"
    bias = turned("bias") if lstm else turned("bias", 0)
    with torch.no_grad():
        made.weight_ih_l0.copy_(turned("kernel"))
        made.weight_hh_l0.copy_(turned("recurrent"))
        made.bias_ih_l0.copy_(bias)
        made.bias_hh_l0.copy_(torch.zeros_like(bias) if lstm else turned("bias", 1))
    return made


def torch_call(module: Any, task: dict[str, Any], arrays: Arrays) -> Any:
    """Forward, and backward if asked for."""
    import torch

    x = torch.tensor(arrays["x"], requires_grad=task["train"])
    d = torch.tensor(arrays["d"])

    def call() -> Any:
        with torch.inference_mode(not task["train"]):
            output = module(x)[0]
        if task["train"]:
            output.backward(d)
            for tensor in (x, *module.parameters()):
                tensor.grad = None
        return output.detach().numpy()

    return call


def torchs(task: dict[str, Any], arrays: Arrays, threads: int) -> Prepared:
    """Torch's own layer."""
    import torch

    call = torch_call(torch_module(task, arrays, threads), task, arrays)
    return call, f"torch {torch.__version__}"


def seqlabs(task: dict[str, Any], arrays: Arrays, threads: int) -> Prepared:
    """The compiled engine."""
    import seqlab
    from seqlab.compat.torch import from_torch

    layer = from_torch(torch_module(task, arrays, threads)).train(task["train"])
    for part in layer.modules():
        if isinstance(part, seqlab.Recurrent):
            part.engine = "compiled"
    return torch_call(layer, task, arrays), "seqlab"


def litert(task: dict[str, Any], arrays: Arrays, threads: int) -> Prepared:
    """A model that TensorFlow has converted, by LiteRT's interpreter."""
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=task["load"], num_threads=threads)
    interpreter.allocate_tensors()
    if task["steps"]:
        return litert_steps(interpreter, task, arrays), f"LiteRT {version('ai-edge-litert')}"
    given, found = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def call() -> Any:
        interpreter.set_tensor(given["index"], arrays["x"])
        interpreter.invoke()
        return interpreter.get_tensor(found["index"])

    return call, f"LiteRT {version('ai-edge-litert')}"


def litert_steps(interpreter: Any, task: dict[str, Any], arrays: Arrays) -> Any:
    """One step of a converted graph, so often; the state is handed on."""

    def places(details: Any) -> list[int]:
        return [part["index"] for part in sorted(details, key=lambda part: str(part["name"]))]

    *states, x = places(interpreter.get_input_details())  # s0, s1, x
    output, *finals = places(interpreter.get_output_details())
    zeros = np.zeros((len(arrays["x"]), task["hidden"]), np.float32)
    given = np.ascontiguousarray(arrays["x"][:, 0])
    put, get = interpreter.set_tensor, interpreter.get_tensor

    def call() -> Any:
        state = [zeros] * len(states)
        for _ in range(task["steps"]):
            put(x, given)
            for place, value in zip(states, state, strict=True):
                put(place, value)
            interpreter.invoke()
            state = [get(place) for place in finals]
            result = get(output)
        return result

    return call


PEERS = {"tensorflow": tensorflow, "keras-jax": keras_jax, "lax-scan": lax_scan, "litert": litert,
         "torch": torchs, "seqlab": seqlabs}  # fmt: skip


def main() -> None:
    """Answer what is asked until the pipe ends."""
    make, threads = PEERS[sys.argv[1]], int(sys.argv[2])
    call: Callable[[], Any] = dict
    for line in sys.stdin:
        asked = json.loads(line)
        if "prepare" in asked:
            with np.load(asked["prepare"]) as arrays:
                call, version = make(asked, dict(arrays), threads)
            np.save(asked["output"], call())
            answer: Any = version
        else:
            # of one thread the work done, whatever else the machine does
            clock = time.process_time if threads == 1 else time.perf_counter
            start = clock()
            for _ in range(asked["calls"]):
                call()
            answer = clock() - start
        print("answer", json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
