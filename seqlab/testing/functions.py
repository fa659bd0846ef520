"""The checks of activations, initializers, regularizers and constraints."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from seqlab.errors import OptionError
from seqlab.testing.case import Case
from seqlab.testing.check_table import Table
from seqlab.testing.compare import close, require, same_shape
from seqlab.testing.contract import (
    require_docstring,
    require_options,
    require_refusal,
)
from seqlab.testing.pickling import survives
from seqlab.testing.result import Numbers, Skip
from seqlab.testing.sample import normal, seeded


@dataclass(frozen=True)
class FunctionCase(Case):
    """A function of one tensor with keyword options: an activation or an initializer."""

    kind: ClassVar[str] = "activation"

    def __call__(self, x: Tensor) -> Any:
        """The function with its options.

        Raises:
            Skip: it needs options that were not given.
        """
        require_options(self, given=1)
        return functools.partial(self.part, **self.options)(x)


@dataclass(frozen=True)
class ObjectCase(Case):
    """A class whose instances map a weight: a regularizer or a constraint."""

    kind: ClassVar[str] = "regularizer"

    def __call__(self, weight: Tensor) -> Any:
        """What an instance with the options gives."""
        return self.part(**self.options)(weight)


ACTIVATION_CHECKS, INITIALIZER_CHECKS = Table(), Table()
REGULARIZER_CHECKS, CONSTRAINT_CHECKS = Table(), Table()


def documented(case: Case) -> None:
    """It is documented and refuses options that it does not have.

    Catches: a part that nobody can look up, options that are swallowed without effect.
    """
    require_docstring(case.part)
    given = (torch.ones(2, 2),) if isinstance(case, FunctionCase) else ()
    require_refusal(case, *given)


for _table in (ACTIVATION_CHECKS, INITIALIZER_CHECKS, REGULARIZER_CHECKS, CONSTRAINT_CHECKS):
    _table.check(gate=True)(documented)


@ACTIVATION_CHECKS.check(gate=True)
def shape_is_kept(case: FunctionCase) -> None:
    """Every shape and dtype comes out as it went in, and the input is left as it was.

    Catches: functions that cannot stand in a cell, in-place work.
    """
    for dtype in (torch.float32, torch.float64):
        for shape in ((3, 5), (2, 3, 6), (1, 4), (0, 4)):
            x = normal(*shape, seed=81, dtype=dtype)
            before = x.clone()
            y = case(x)
            same_shape(y, shape, f"of an input {list(shape)}")
            require(y.dtype == dtype, f"{dtype} goes in, {y.dtype} comes out")
            require(torch.equal(x, before), "the input was changed in place")


@ACTIVATION_CHECKS.check()
def values_are_finite(case: FunctionCase) -> Numbers:
    """At moderate and at large inputs values and gradients are finite and repeatable.

    Catches: overflow, 0 * inf in a gradient, randomness.
    """
    x = torch.tensor([[-30.0, -3.0, -0.4, 0.0, 0.7, 2.5, 10.0, 30.0]]).requires_grad_()
    y = case(x)
    (gradient,) = torch.autograd.grad(y.sum(), x, allow_unused=True)
    for name, value in (("value", y), ("gradient", gradient)):
        finite = value is None or bool(torch.isfinite(value).all())
        require(finite, f"a {name} is not finite at {x.tolist()[0]}: {value.tolist()[0]}")
    return {"difference": close(case(x), y, "the second of two calls", tolerance=0.0)}


@ACTIVATION_CHECKS.check(needs=("values_are_finite",))
def gradients_are_exact(case: FunctionCase) -> Numbers:
    """The gradient equals finite differences, and some input gets one.

    Catches: a wrong backward formula, ``detach``.
    """
    x = normal(4, 6, seed=82).requires_grad_()
    y, direction = case(x), normal(4, 6, seed=83)
    weight = normal(*y.shape, seed=84)
    (gradient,) = torch.autograd.grad((y * weight).sum(), x, allow_unused=True)
    require(gradient is not None and bool(gradient.count_nonzero()), "no input gets a gradient")
    with torch.no_grad():
        sums = [(case(x + step * direction) * weight).sum() for step in (1e-6, -1e-6)]
    slope = (gradient * direction).sum()
    measured = (sums[0] - sums[1]) / 2e-6
    return {"difference": close(slope, measured, "slope along a direction", tolerance=1e-6)}


@INITIALIZER_CHECKS.check(gate=True)
def tensors_are_filled(case: FunctionCase) -> None:
    """It fills matrices of any form in place, in their dtype, with finite values.

    Catches: initializers that return a tensor, entries left as they were.
    """
    for shape in ((3, 5), (6, 4), (1, 3), (5, 20)):
        for dtype in (torch.float32, torch.float64):
            tensor = torch.full(shape, float("nan"), dtype=dtype)
            case(tensor)
            left = int((~torch.isfinite(tensor)).sum())
            require(
                left == 0, f"{left} of {tensor.numel()} entries of {list(shape)} are not finite"
            )


@INITIALIZER_CHECKS.check()
def vectors_are_filled_or_refused(case: FunctionCase) -> None:
    """A bias vector is filled, too, or refused in words.

    Catches: crashes when it is given as ``bias_initializer``.
    """
    vector = torch.full((7,), float("nan"))
    try:
        case(vector)
    except OptionError as error:
        raise Skip(f"refuses vectors: {error}") from error
    left = int((~torch.isfinite(vector)).sum())
    require(left == 0, f"{left} of 7 entries of a vector are not finite")


@INITIALIZER_CHECKS.check()
def draws_follow_the_seed(case: FunctionCase) -> None:
    """Under one seed of torch it fills the same values.

    Catches: random numbers that torch's seed does not rule.
    """
    found = []
    for _ in range(2):
        with seeded(5):
            tensor = torch.empty(4, 6)
            case(tensor)
            found.append(tensor)
    close(found[1], found[0], "two fills under one seed", tolerance=0.0)


@REGULARIZER_CHECKS.check()
def penalty_is_a_scalar(case: ObjectCase) -> Numbers:
    """Matrices, vectors and outputs give a finite scalar of at least 0 with a gradient.

    Catches: a penalty for each unit, penalties that reward.
    """
    sizes = {}
    for shape in ((4, 6), (6,), (2, 3, 5)):
        weight = normal(*shape, seed=85).requires_grad_()
        try:
            penalty = case(weight)
        except (OptionError, ValueError) as error:
            require(len(shape) != 2, f"a matrix is refused: {error}")
            continue
        require(penalty.dim() == 0, f"the penalty of {list(shape)} is {list(penalty.shape)}")
        size = float(penalty.detach())
        require(0 <= size < float("inf"), f"the penalty of {list(shape)} is {size}", penalty=size)
        sizes[f"{len(shape)}d"] = size
    return sizes


@REGULARIZER_CHECKS.check(needs=("penalty_is_a_scalar",))
def gradient_leads_down(case: ObjectCase) -> Numbers:
    """A small step against the gradient lowers the penalty by what the gradient says.

    Catches: a penalty whose gradient is cut or has the wrong sign.
    """
    weight = normal(4, 6, seed=85).requires_grad_()
    penalty = case(weight)
    size = float(penalty.detach())
    if size == 0:
        raise Skip("with these options the penalty is 0")
    (gradient,) = torch.autograd.grad(penalty, weight, allow_unused=True)
    require(gradient is not None, "the penalty has no gradient")
    with torch.no_grad():
        after = float(case(weight - 1e-6 * gradient))
    expected = 1e-6 * float(gradient.square().sum())
    require(
        abs((size - after) - expected) < 1e-3 * expected + 1e-12,
        f"a step of 1e-6 against the gradient lowers the penalty by {size - after:.3g}, "
        f"not by {expected:.3g}",
    )
    return {"penalty": size}


@CONSTRAINT_CHECKS.check()
def projection_is_stable(case: ObjectCase) -> Numbers:
    """The projected weight keeps its shape and dtype; projecting it again changes nothing.

    Catches: constraints that shrink the weights a little at every step.
    """
    largest = 0.0
    for shape in ((4, 6), (6,)):
        weight = 3.0 * normal(*shape, seed=86)
        before = weight.clone()
        first = case(weight)
        same_shape(first, shape, "the projected weight")
        require(first.dtype == weight.dtype, f"{weight.dtype} goes in, {first.dtype} comes out")
        require(torch.equal(weight, before), "the given weight was changed in place")
        largest = max(largest, close(case(first), first, "projected twice", tolerance=1e-5))
    return {"difference": largest}


@CONSTRAINT_CHECKS.check()
def zeros_stay_finite(case: ObjectCase) -> None:
    """A weight of zeros gives finite values.

    Catches: division by a norm of 0.
    """
    for shape in ((4, 6), (6,)):
        finite = bool(torch.isfinite(case(torch.zeros(shape))).all())
        require(finite, f"zeros {list(shape)} give values that are not finite")


@ACTIVATION_CHECKS.check(needs=("values_are_finite",))
@INITIALIZER_CHECKS.check()
@REGULARIZER_CHECKS.check()
@CONSTRAINT_CHECKS.check()
def survives_pickling(case: FunctionCase | ObjectCase) -> Numbers:
    """Pickled, copied and saved by torch, it gives the same.

    Catches: types and functions made at run time.
    """
    x = normal(4, 6, seed=87)

    def use(function: Any) -> Tensor:
        filled = x.clone()
        with seeded(5):
            made = function(filled)
        return made if isinstance(made, Tensor) else filled

    if isinstance(case, FunctionCase):
        require_options(case, given=1)
        return survives(case.part, functools.partial(case.part, **case.options), use)
    return survives(case.part, case.part(**case.options), use)
