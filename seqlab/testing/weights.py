"""Checks of a layer's parameters, numbers and random draws; the second half of every layer's."""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor

from seqlab.cells.gated import GatedCell
from seqlab.layers.base import Layer
from seqlab.testing.case import BATCH, LayerCase
from seqlab.testing.check_table import Table
from seqlab.testing.compare import close, largest_change, require
from seqlab.testing.layers import one
from seqlab.testing.modules import (
    load_strictly,
    require_gate_gradients,
    require_gradients,
    require_independent_copy,
    require_registered,
    through_safetensors,
)
from seqlab.testing.result import Numbers, Skip
from seqlab.testing.sample import normal, random_state, run_with_gradients, seeded
from seqlab.testing.slopes import require_exact_gradients

#: Runs early: what is not registered is in no copy, on no other device, in no other dtype.
REGISTERED = Table()
#: Comes before every comparison in float64.
DTYPES = Table()
WEIGHT_CHECKS = Table()


@WEIGHT_CHECKS.check()
def bfloat16_autocast_runs(case: LayerCase) -> Numbers:
    """Under bfloat16 autocast the run is finite and near the float32 run.

    Catches: operations that refuse mixed precision, sums that overflow.
    """
    layer, x = case.layer(dtype=torch.float32), case.data().float()
    expected = one(layer(x)[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = one(layer(x)[0])
    require(bool(torch.isfinite(output).all()), "the output under bfloat16 autocast is not finite")
    scale = max(1.0, float(expected.detach().abs().max()))
    difference = largest_change(output.float(), expected) / scale
    require(
        difference < 0.15,
        f"bfloat16 autocast moves the output by {difference:.2g} of its size (allowed 0.15)",
        difference=difference,
    )
    return {"difference": difference}


@WEIGHT_CHECKS.check()
def runs_on_cuda(case: LayerCase) -> Numbers:
    """On a CUDA device the layer gives what it gives on the CPU.

    Catches: tensors made on the wrong device, results that depend on the device.
    """
    if not torch.cuda.is_available():
        raise Skip("no CUDA device here")
    layer, x = case.layer(), case.data()
    expected = one(layer(x)[0])
    output = one(layer.to("cuda")(x.to("cuda"))[0])
    return {"difference": close(output, expected, "on CUDA against CPU", tolerance=1e-6)}


@DTYPES.check(gate=True)
def dtypes_are_kept(case: LayerCase) -> Numbers:
    """float32 gives float32, float64 gives float64, and both agree to float32's digits.

    Catches: a fixed dtype inside, float64 results with float32's digits.
    """
    double = case.layer()
    single = copy.deepcopy(double).float()
    x = case.data()
    outputs = {}
    for layer, dtype in ((single, torch.float32), (double, torch.float64)):
        output, state = layer(x.to(dtype))
        found = {str(t.dtype) for t in (one(output), layer.final_output(state))}
        require(found == {str(dtype)}, f"a layer in {dtype} gives {', '.join(sorted(found))}")
        outputs[dtype] = one(output)
    difference = close(
        outputs[torch.float32], outputs[torch.float64], "float32 against float64", tolerance=1e-4
    )
    slopes = [_directional_slope(double, x, size) for size in (1e-6, 1e-7)]
    lost = largest_change(slopes[1], slopes[0]) / max(1.0, float(slopes[0].detach().abs().max()))
    require(
        lost < 1e-4,
        f"in float64 the slopes of the output over steps of 1e-6 and 1e-7 are {lost:.2g} apart: "
        "digits are lost",
        apart=lost,
    )
    return {"difference": difference}


def _directional_slope(layer: Layer, x: Tensor, size: float) -> Tensor:
    """The change of the output over a small step of the input, for each unit of that step."""
    direction = normal(*x.shape, seed=29)
    with torch.no_grad():
        ahead, behind = (one(layer(x + sign * size * direction)[0]) for sign in (0.5, -0.5))
    return (ahead - behind) / size


@REGISTERED.check(gate=True)
def parameters_are_registered(case: LayerCase) -> None:
    """Every tensor and module inside is a parameter, a buffer or a submodule.

    Catches: parameters in plain lists, which no optimiser moves and no state dict saves.
    """
    require_registered(case.make())


@WEIGHT_CHECKS.check(needs=("the_given_state_is_used",))
def parameters_get_gradients(case: LayerCase) -> Numbers:
    """Every parameter, and every declared gate, gets a gradient that is not zero.

    Catches: ``detach`` or ``.data`` on a weight, parameters and gates that are never used.
    """
    layer = case.layer()
    ran = run_with_gradients(layer, case.data(), random_state(layer, BATCH))
    count = require_gradients(layer, ran.gradients)
    for path, part in layer.named_modules():
        if isinstance(part, GatedCell):
            own = {
                name: ran.gradients[f"{path}.{name}" if path else name]
                for name, _ in part.named_parameters()
            }
            require_gate_gradients(part, own)
    return {"parameters": count}


@WEIGHT_CHECKS.check(needs=("parameters_get_gradients",))
def gradients_are_exact(case: LayerCase) -> Numbers:
    """In float64 the gradients of input, state and parameters equal finite differences.

    Catches: a wrong backward formula, a path cut by ``detach``.
    """
    layer, x = case.layer(), case.data(batch=2, steps=3)
    state = random_state(layer, 2)
    return {"difference": require_exact_gradients(layer, x, state)}


@WEIGHT_CHECKS.check()
def same_seed_same_weights(case: LayerCase) -> None:
    """Built twice under one seed, the layer has the same weights; under another, others.

    Catches: random numbers that torch's seed does not rule, constant initial weights.
    """
    states = []
    for seed in (3, 3, 4):
        with seeded(seed):
            states.append(case.make().state_dict())
    for name, value in states[0].items():
        require(
            torch.equal(value, states[1][name]),
            f"'{name}' differs between two builds under torch.manual_seed(3)",
        )
    if states[0]:
        same = [name for name, value in states[0].items() if torch.equal(value, states[2][name])]
        require(len(same) < len(states[0]), f"all {len(same)} tensors are the same under any seed")


@WEIGHT_CHECKS.check(needs=("same_seed_same_weights", "copies_are_independent"))
def fresh_has_new_weights(case: LayerCase) -> Numbers:
    """``fresh()`` gives a layer of the same form with other weights, and leaves the first alone.

    Catches: a missing ``reset_parameters``, so that both directions start as twins.
    """
    layers = []
    for seed in (3, 4):
        with seeded(seed):
            layers.append(case.make())
    layer, other = layers[0], layers[1].state_dict()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    twin = layer.fresh().state_dict()
    require(list(twin) == list(before), "fresh() has other parameters than its original")
    moved = [name for name, value in layer.state_dict().items() if not value.equal(before[name])]
    require(not moved, f"fresh() changed {', '.join(moved[:3])} of the original")
    drawn = [name for name, value in before.items() if not value.equal(other[name])]
    kept = [name for name in drawn if before[name].equal(twin[name])]
    require(
        not kept,
        f"{len(kept)} of {len(drawn)} random tensors are the same in fresh(): "
        f"{', '.join(kept[:3])}; reset_parameters must draw them anew",
        kept=len(kept),
    )
    return {"drawn": len(drawn)}


@WEIGHT_CHECKS.check()
def state_dict_round_trip(case: LayerCase) -> Numbers:
    """Another instance with this one's state dict, through safetensors, gives the same numbers.

    Catches: numbers that matter and are not in the state dict.
    """
    first, second = case.layer(seed=0), case.layer(seed=50)
    load_strictly(second, through_safetensors(first))
    x = case.data()
    return {"difference": close(one(second(x)[0]), one(first(x)[0]), "after the state dict")}


@WEIGHT_CHECKS.check()
def copies_are_independent(case: LayerCase) -> Numbers:
    """A deep copy gives the same numbers and has parameters of its own.

    Catches: weights shared through closures or class attributes.
    """
    x = case.data()
    largest = 0.0
    for changed in ("the copy", "the original"):
        layer = case.layer()
        expected = one(layer(x)[0])
        twin = require_independent_copy(layer)
        largest = max(largest, close(one(twin(x)[0]), expected, "deep copy"))
        zeroed, kept = (twin, layer) if changed == "the copy" else (layer, twin)
        with torch.no_grad():
            for parameter in zeroed.parameters():
                parameter.zero_()
        what = f"after the weights of {changed} became 0, the other one"
        largest = max(largest, close(one(kept(x)[0]), expected, what))
    return {"difference": largest}


@WEIGHT_CHECKS.check()
def constraints_and_penalties_run(case: LayerCase) -> Numbers:
    """``regularization_loss`` is a finite scalar and ``apply_constraints`` keeps finite weights.

    Catches: penalties of another shape, constraints that divide by zero.
    """
    layer = case.layer()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        penalty = layer.regularization_loss()
        layer.apply_constraints()
    require(penalty.dim() == 0, f"regularization_loss is {list(penalty.shape)}, not a scalar")
    finite = all(bool(torch.isfinite(p).all()) for p in layer.parameters())
    require(
        finite and bool(torch.isfinite(penalty)), "a penalty or constrained weight is not finite"
    )
    return {"penalty": float(penalty.detach())}
