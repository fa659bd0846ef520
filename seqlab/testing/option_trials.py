"""What each option of cells' base classes must do, tried on the cell at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from seqlab.cells.gated import GatedCell
from seqlab.errors import OptionError
from seqlab.layers.base import Layer
from seqlab.testing.case import BATCH, CellCase
from seqlab.testing.cells import flat, stepped
from seqlab.testing.compare import close, largest_change, refused, require
from seqlab.testing.layers import one
from seqlab.testing.modules import require_gradients
from seqlab.testing.result import Numbers, Skip
from seqlab.testing.sample import random_state, run_with_gradients, seeded

RATE = 0.5
#: Elementwise functions that an option may replace, by the names torch gives them.
NONLINEAR = {"activation": "tanh", "recurrent_activation": "sigmoid"}


def built(case: CellCase, **options: Any) -> Layer:
    """The layer with further options.

    Raises:
        Skip: this cell refuses them, as is its right; the message is its own.
    """
    try:
        return case.layer(**options)
    except OptionError as error:
        raise Skip(f"refused: {error}") from error


def same_weights(layer: Layer, like: Layer) -> Layer:
    """The layer with the weights of another, where both have a tensor of that name and shape."""
    theirs, ours = like.state_dict(), layer.state_dict()
    layer.load_state_dict(
        {n: theirs[n] if n in theirs and theirs[n].shape == v.shape else v for n, v in ours.items()}
    )
    return layer


def trains(case: CellCase, layer: Layer, *, training: bool = False) -> None:
    """Fail unless every parameter of the layer gets a finite gradient that is not zero."""
    layer.train(training)
    ran = run_with_gradients(layer, case.data(), random_state(layer, BATCH))
    require_gradients(layer, ran.gradients)


class _Seen(TorchFunctionMode):
    """Counts torch functions by name while it is open and not paused."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.paused = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if not self.paused:
            self.counts[name] = self.counts.get(name, 0) + 1
        return func(*args, **(kwargs or {}))


def function_option(case: CellCase, option: str, value: str) -> Numbers:
    """An activation: the equations must call it wherever they have such a function."""
    cell, calls, seen = case.cell(), 0, _Seen()
    original: Callable[[Tensor], Tensor] = getattr(cell, option)
    other = next(name for name in NONLINEAR if name != option)

    def counted(function: Callable[[Tensor], Tensor], step: int) -> Callable[[Tensor], Tensor]:
        def call(x: Tensor) -> Tensor:
            nonlocal calls
            calls += step
            seen.paused = True
            try:
                return function(x)
            finally:
                seen.paused = False

        return call

    setattr(cell, option, counted(original, 1))
    setattr(cell, other, counted(getattr(cell, other), 0))
    with seen:
        stepped(cell, case.data())
    own = seen.counts.get(NONLINEAR[option], 0)
    if not calls:
        require(
            not own,
            f"update calls torch.{NONLINEAR[option]} itself, {own} times, and self.{option} never: "
            f"{option}={value!r} would change nothing",
            calls=own,
        )
        raise Skip(f"the equations have no part for {option}")
    if getattr(cell, f"{option}_spec") == value:  # it is the cell's own
        value = NONLINEAR[option]
    return changes_output(case, option, value)


def changes_output(case: CellCase, option: str, value: Any) -> Numbers:
    """With the same weights, the option changes the output."""
    plain = case.layer()
    changed = same_weights(built(case, **{option: value}), plain)
    x = case.data()
    difference = largest_change(one(changed(x)[0]), one(plain(x)[0]))
    require(
        difference > 1e-6,
        f"{option}={value!r} changes the output by {difference:.1g}: it has no effect",
        difference=difference,
    )
    trains(case, changed)
    return {"difference": difference}


def zoneout(case: CellCase, option: str, value: Any) -> Numbers:
    """Changes the output in inference, by its expectation, and in training, at random."""
    random_in_training(case, **{option: value})
    return changes_output(case, option, value)


def use_bias(case: CellCase, option: str, value: Any) -> Numbers:
    """Without biases there are fewer parameters, and the rest learns."""
    plain, changed = case.layer(), built(case, **{option: value})
    counts = [sum(p.numel() for p in layer.parameters()) for layer in (plain, changed)]
    names = list(biases(changed))
    require(not names, f"use_bias=False leaves the parameters {', '.join(names)}")
    if not biases(plain):
        plain = built(case, **{option: True})
        counts[0] = sum(p.numel() for p in plain.parameters())
    require(counts[1] < counts[0], f"use_bias=False leaves all {counts[0]} parameters")
    trains(case, changed)
    return {"with": counts[0], "without": counts[1]}


def constant_tensors(layer: Layer, value: float) -> int:
    """How many parameters hold one value everywhere."""
    return sum(bool((p == value).all()) for p in layer.parameters() if p.numel())


def initializer(case: CellCase, option: str, value: Any) -> Numbers:
    """``ones`` makes at least one more parameter all ones."""
    with seeded(2):
        counts = [constant_tensors(case.make(**o), 1.0) for o in ({}, {option: value})]
    if option == "bias_initializer" and not has_bias(case):
        raise Skip("the cell has no bias")
    if option == "recurrent_initializer" and getattr(case.new(), "weight_hh", None) is None:
        raise Skip("the cell has no recurrent matrix")
    require(
        counts[1] > counts[0],
        f"{option}='ones' leaves {counts[1]} parameters of ones, without it there are {counts[0]}",
    )
    return {"before": counts[0], "after": counts[1]}


def biases(layer: Layer) -> dict[str, Tensor]:
    """The biases of a layer's cells; a declared vector may be called a bias and is none."""
    return {
        f"cell.{name}": value
        for cell in layer.cells()
        for name in ("bias", "recurrent_bias")
        if isinstance(value := getattr(cell, name, None), Tensor)
    }


def has_bias(case: CellCase) -> bool:
    """Whether the cell has a bias with the options at hand."""
    return bool(biases(case.make()))


def unit_forget_bias(case: CellCase, option: str, value: Any) -> Numbers:
    """It adds 1 to each entry of a forget gate's bias, and is refused without such a gate."""
    cell = case.new()
    if not isinstance(cell, GatedCell) or "forget" not in cell.gates:
        refused(lambda: case.new(**{option: value}), (OptionError,), "unit_forget_bias=True")
        return {}
    if not has_bias(case):
        raise Skip("the cell has no bias")
    sums = []
    for flag in (True, False):
        changed: dict[str, Any] = {option: flag}
        made = case.make(**changed)
        sums.append(sum(float(p.detach().sum()) for p in biases(made).values()))
    require(
        abs(sums[0] - sums[1] - case.hidden) < 1e-4,
        f"unit_forget_bias=True adds {sums[0] - sums[1]:.3g} to the biases, not {case.hidden}",
        added=sums[0] - sums[1],
    )
    return {"added": sums[0] - sums[1]}


def regularizer(case: CellCase, option: str, value: Any) -> Numbers:
    """The penalty is above 0 and reaches a parameter."""
    if option == "bias_regularizer" and not has_bias(case):
        raise Skip("the cell has no bias")
    layer = built(case, **{option: value}).train()
    if option == "activity_regularizer":
        layer(case.data())
    penalty = layer.regularization_loss()
    size = float(penalty.detach())
    require(size > 0, f"{option}={value!r} gives a penalty of {size:.3g}", penalty=size)
    gradients = torch.autograd.grad(penalty, list(layer.parameters()), allow_unused=True)
    require(any(g is not None for g in gradients), f"the penalty of {option} has no gradient")
    return {"penalty": size}


def constraint(case: CellCase, option: str, value: Any) -> Numbers:
    """``non_neg`` leaves at least one more parameter without negative entries."""
    if option == "bias_constraint" and not has_bias(case):
        raise Skip("the cell has no bias")
    layer = built(case, **{option: value})
    before = sum(bool((p < 0).any()) for p in layer.parameters())
    layer.apply_constraints()
    after = sum(bool((p < 0).any()) for p in layer.parameters())
    require(
        after < before,
        f"{option}={value!r}: {before} parameters had negative entries before, {after} after it",
    )
    return {"before": before, "after": after}


def random_in_training(case: CellCase, **options: Any) -> None:
    """Training runs follow torch's seed, and differ under another."""
    layer = built(case, **options).train()
    outputs = []
    for seed in (1, 1, 2):
        with seeded(seed):
            outputs.append(one(layer(case.data())[0]))
    close(outputs[1], outputs[0], "two training runs under one seed")
    moved = largest_change(outputs[2], outputs[0])
    require(moved > 1e-6, f"{options} changes nothing in training: two seeds differ by {moved:.1g}")
    require(bool(torch.isfinite(outputs[0]).all()), f"{options} gives outputs that are not finite")


def dropout(case: CellCase, option: str, value: Any) -> Numbers:
    """Random in training with one mask a sequence, without effect in inference."""
    random_in_training(case, **{option: value})
    plain = case.layer()
    changed = same_weights(built(case, **{option: value}), plain)
    x = case.data()
    difference = close(one(changed(x)[0]), one(plain(x)[0]), f"{option} at inference")
    cell = changed.cells()[0].train()
    noise = cell.sample_noise(BATCH, 3, device=x.device, dtype=x.dtype)
    require(noise is not None, f"{option}={value!r}: sample_noise gives None in training")
    if option == "dropout":
        still = x[:, :1].expand(-1, 3, -1)
        projected = cell.project(still, noise)
        for part in flat(projected):
            close(part[:, 2], part[:, 0], "dropout's mask at step 2 against step 0")
    for name in ("input_mask", "recurrent_mask", "weight_mask"):
        masks = [getattr(noise.at(t), name, None) for t in (0, 2)]
        same = masks[0] is None or bool((masks[0] == masks[1]).all())
        require(same, f"the noise's {name} differs between step 0 and step 2")
    return {"difference": difference}


def untied_dropout(case: CellCase, option: str, value: Any) -> Numbers:
    """Under one seed the masks differ from those that all gates share."""
    rates = {"dropout": RATE, "recurrent_dropout": RATE}
    random_in_training(case, **{option: value}, **rates)
    tied, untied = built(case, **rates).train(), built(case, **{option: value}, **rates).train()
    same_weights(untied, tied)
    outputs = []
    for layer in (tied, untied):
        with seeded(1):
            outputs.append(one(layer(case.data())[0]))
    difference = largest_change(outputs[0], outputs[1])
    gates = getattr(case.new(), "gates", ())
    require(
        difference > 1e-9 or len(gates) == 1,
        f"untied_dropout=True gives the masks of untied_dropout=False ({difference:.1g} apart)",
    )
    return {"difference": difference}


def chrono(case: CellCase, option: str, value: Any) -> Numbers:
    """It moves the biases, or is refused."""
    with seeded(2):
        plain = case.make()
    with seeded(2):
        try:
            changed = case.make(**{option: value})
        except OptionError as error:
            raise Skip(f"refused: {error}") from error
    ours, theirs = biases(plain), biases(changed)
    moved = max(float((ours[n] - theirs[n]).detach().abs().max()) for n in theirs)
    require(moved > 1e-3, f"chrono={value} moves the biases by {moved:.1g}: it has no effect")
    return {"moved": moved}


def proj_size(case: CellCase, option: str, value: Any) -> Numbers:
    """The output has the width asked for, and all parameters learn."""
    layer = built(case, **{option: value})
    output, _ = layer(case.data())
    found = {"output_size": layer.output_size, "output": one(output).shape[-1]}
    require(
        set(found.values()) == {value},
        f"proj_size={value} gives {found}",
    )
    trains(case, layer)
    return {"output_size": layer.output_size}


def heads(case: CellCase, option: str, value: Any) -> Numbers:
    """Blocks that divide H make the recurrent matrix smaller, and all parameters learn."""
    blocks = int(value) if case.hidden % int(value) == 0 else case.hidden
    plain, changed = case.layer(), built(case, **{option: blocks})
    counts = [sum(p.numel() for p in layer.parameters()) for layer in (plain, changed)]
    gates = getattr(changed.cells()[0], "recurrent_gates", ())
    saved = len(gates) * (case.hidden**2 - case.hidden**2 // blocks)
    require(
        counts[0] - counts[1] == saved,
        f"heads={blocks} saves {counts[0] - counts[1]} numbers, not {saved}",
    )
    trains(case, changed)
    return {"blocks": blocks, "saved": saved}


def own_flag(case: CellCase, option: str, value: Any) -> Numbers:
    """A flag of the class itself changes its parameters or its output."""
    plain, changed = case.layer(), built(case, **{option: value})
    shapes = [{n: p.shape for n, p in layer.named_parameters()} for layer in (plain, changed)]
    trains(case, changed)
    if shapes[0] != shapes[1]:
        return {"parameters": sum(p.numel() for p in changed.parameters())}
    return changes_output(case, option, value)
