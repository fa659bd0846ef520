"""Draws combinations of options, and builds each in Keras and in the facade with equal weights."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import torch

KINDS = ("SimpleRNN", "LSTM", "GRU")
STATES = {"SimpleRNN": 1, "LSTM": 2, "GRU": 1}
MERGES = {"concat": "concat", "sum": "sum", "mul": "mul", "ave": "ave", "unmerged": None}
FORMS = ("plain", *MERGES, "two_layers", "cells", "mixed_directions")
ACTIVATIONS = ("tanh", "sigmoid", "linear", "softsign", "elu", "hard_tanh", None)
GATES = ("sigmoid", "hard_sigmoid", "tanh", "softplus")


@dataclass
class Case:
    kind: str
    form: str
    options: dict
    flags: dict
    mask: str
    initial: bool
    sizes: tuple[int, int, int, int]  # B, T, D, units
    seed: int
    layers: list = field(default_factory=list)

    @property
    def merge_mode(self):
        return MERGES.get(self.form, "concat")


def draw(kind: str, form: str, seed: int) -> Case:
    rng = random.Random(f"{kind}-{form}-{seed}")  # noqa: S311  # a test sample, not a secret
    options = {"activation": rng.choice(ACTIVATIONS), "use_bias": rng.random() < 0.7}
    if rng.random() < 0.5:
        options["activation"] = "tanh"
    if kind != "SimpleRNN":
        options["recurrent_activation"] = rng.choice(GATES)
        if rng.random() < 0.5:
            options["recurrent_activation"] = "sigmoid"
    if kind == "GRU":
        options["reset_after"] = rng.random() < 0.6
    mask = rng.choice(("none", "padded", "holes"))
    flags = {
        "return_sequences": rng.random() < 0.6,
        "return_state": rng.random() < 0.5,
        "go_backwards": form in {"plain", "two_layers", "cells"} and rng.random() < 0.5,
        "zero_output_for_mask": form == "plain" and rng.random() < 0.3,
    }
    backward = flags["go_backwards"] or form in MERGES or form == "mixed_directions"
    # Keras 3.15.1 on torch cannot unroll backwards with a mask: torch.flip of a tuple
    flags["unroll"] = rng.random() < 0.25 and not (mask != "none" and backward)
    sizes = (rng.randint(1, 4), rng.randint(1, 7), rng.randint(1, 5), rng.randint(1, 6))
    return Case(kind, form, options, flags, mask, rng.random() < 0.5, sizes, seed)


def build(case: Case, library, dtype: str):
    """The case's layers in one library (Keras's ``layers`` or the facade), in running order."""
    make = getattr(library, case.kind)
    units = case.sizes[3]
    if case.form == "cells":
        other = {k: v for k, v in case.options.items() if k in {"activation", "use_bias"}}
        cells = [
            getattr(library, f"{case.kind}Cell")(units, dtype=dtype, **case.options),
            library.LSTMCell(units + 1, dtype=dtype, **other),
            library.GRUCell(units, dtype=dtype, **other),
        ]
        # a plain list would make Keras compute in float32
        stack = library.StackedRNNCells(cells, dtype=dtype)
        return [library.RNN(stack, dtype=dtype, **case.flags)]
    layer = make(units, dtype=dtype, **case.options, **case.flags)
    if case.form == "plain":
        return [layer]
    if case.form == "two_layers":
        flags = {**case.flags, "return_sequences": True, "return_state": False}
        return [make(units + 1, dtype=dtype, **case.options, **flags), layer]
    if case.form == "mixed_directions":
        flags = {**case.flags, "go_backwards": True}
        backward = library.GRU(units + 2, dtype=dtype, **flags)
        return [library.Bidirectional(layer, "concat", backward_layer=backward, dtype=dtype)]
    return [library.Bidirectional(layer, case.merge_mode, dtype=dtype)]


def inputs(case: Case, dtype: torch.dtype):
    generator = torch.Generator().manual_seed(case.seed + 1)
    batch, steps, width, _ = case.sizes
    x = torch.randn(batch, steps, width, generator=generator, dtype=torch.float64).to(dtype)
    lengths = torch.randint(0, steps + 1, (batch, 1), generator=generator)
    masks = {
        "none": None,
        "padded": torch.arange(steps) < lengths,
        "holes": torch.rand(batch, steps, generator=generator) > 0.4,
    }
    return x, masks[case.mask]


def initial_state(case: Case, dtype: torch.dtype):
    """What the last layer is given as ``initial_state``, in Keras's nesting."""
    if not case.initial:
        return None
    generator = torch.Generator().manual_seed(case.seed + 2)
    batch, _, _, units = case.sizes

    def tensors(count, width):
        return [
            torch.randn(batch, width, generator=generator, dtype=torch.float64).to(dtype)
            for _ in range(count)
        ]

    count = STATES[case.kind]
    if case.form == "cells":
        return [tensors(count, units), tensors(2, units + 1), tensors(1, units)]
    if case.form == "mixed_directions":
        return tensors(count, units) + tensors(1, units + 2) if count == 1 else None
    return tensors(count * (2 if case.form in MERGES else 1), units)


def random_weights(case: Case, shapes):
    rng = np.random.default_rng(case.seed + 3)
    scale = 0.2 if case.options.get("recurrent_activation") == "softplus" else 0.5
    return [scale * rng.standard_normal(shape) for shape in shapes]


def nudged(value, size: float, seed: int):
    """Every entry moved by up to ``size`` of itself, as rounding would."""
    if not size:
        return value
    signs = 2.0 * np.random.default_rng(seed + 9).random(tuple(value.shape)) - 1.0
    return value * (1.0 + size * (torch.from_numpy(signs) if torch.is_tensor(value) else signs))


def flat(value) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for part in value for tensor in flat(part)]


def run(layers, x, state, mask, *, weights):
    """All outputs of the layers in a row, and the gradients of a fixed weighting of them."""
    x = x.clone().requires_grad_()
    value = x
    for index, layer in enumerate(layers):
        last = index == len(layers) - 1
        value = layer(value, initial_state=state if last else None, mask=mask)
    outputs = flat(value)
    loss = sum(
        (o * torch.linspace(-1, 2, o.numel(), dtype=o.dtype).view_as(o)).sum() for o in outputs
    )
    return outputs, torch.autograd.grad(loss, [x, *weights], allow_unused=True)


def core_gradients(layers, gradients):
    """The facade's parameter gradients in Keras's layout and order."""
    from seqlab.compat.keras.layouts import keras_weights

    found = []
    remaining = iter(gradients)
    for layer in layers:
        for part in layer.parts():
            for cell in part.cells():
                values = [next(remaining) for _ in cell.parameters()]
                stored = [p.detach().clone() for p in cell.parameters()]
                with torch.no_grad():
                    for parameter, gradient in zip(cell.parameters(), values, strict=True):
                        parameter.copy_(
                            torch.zeros_like(parameter) if gradient is None else gradient
                        )
                    found += list(keras_weights(cell).values())
                    for parameter, value in zip(cell.parameters(), stored, strict=True):
                        parameter.copy_(value)
    return found
