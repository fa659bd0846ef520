"""The checks of a merge: how two directions become one output."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import seqlab
from seqlab.testing.case import Case, registered
from seqlab.testing.check_table import Table
from seqlab.testing.compare import close, close_all, refused, require, same_shape
from seqlab.testing.contract import (
    REFUSALS,
    require_docstring,
    require_refusal,
    require_subclass,
)
from seqlab.testing.modules import require_gradients, require_registered
from seqlab.testing.pickling import survives
from seqlab.testing.result import Numbers, Skip
from seqlab.testing.sample import normal, padded_mask, parts_of, seeded, shaken, weighted_sum
from seqlab.wrappers.merges import Merge


@dataclass(frozen=True)
class MergeCase(Case):
    """A merge class with its options."""

    kind = "merge"

    @property
    def sizes(self) -> tuple[int, int]:
        """Two widths that the merge accepts, different where it may."""
        return (4, 4) if self.part.same_size else (4, 3)

    def merge(self, seed: int = 0) -> Merge:
        """A merge in float64 and inference mode."""
        with seeded(seed):
            made: Merge = self.part(*self.sizes, **self.options)
        return shaken(made, seed=seed + 1).double().eval()

    def pair(self, *leading: int, seed: int = 51) -> tuple[Tensor, Tensor]:
        """A forward and a backward output ``[*leading, width]``."""
        forward, backward = self.sizes
        return normal(*leading, forward, seed=seed), normal(*leading, backward, seed=seed + 1)


MERGE_CHECKS = Table()


def joined(output: Any) -> Tensor:
    """The output of a merge as one tensor."""
    return torch.cat(parts_of(output), -1)


@MERGE_CHECKS.check(gate=True)
def constructor(case: MergeCase) -> None:
    """It is a ``Merge`` built from two widths that keeps them and refuses those it cannot take.

    Catches: a wrong ``same_size``, options that are swallowed without effect.
    """
    require_subclass(case.part, Merge)
    merge = case.merge()
    sizes = (merge.forward_size, merge.backward_size)
    require(sizes == case.sizes, f"built for {case.sizes}, it says {sizes}")
    if case.part.same_size:
        unequal = functools.partial(case.part, 4, 3, **case.options)
        refused(unequal, REFUSALS, "widths 4 and 3 with same_size=True")
    require_refusal(case, *case.sizes)


@MERGE_CHECKS.check(gate=True)
def documented(case: MergeCase) -> None:
    """The class has a docstring of its own.

    Catches: a part that nobody can look up.
    """
    require_docstring(case.part)


@MERGE_CHECKS.check(gate=True)
def output_size_is_true(case: MergeCase) -> Numbers:
    """Sequences and single vectors give ``output_size`` features; ``joins`` says if it is a pair.

    Catches: a wrong ``output_size``, merges that need a time axis.
    """
    merge = case.merge()
    for leading in ((2, 5), (2,), (2, 0)):
        output = merge(*case.pair(*leading))
        require(
            isinstance(output, Tensor) == merge.joins,
            f"joins is {merge.joins}, and the output is a {type(output).__name__}",
        )
        same_shape(joined(output), (*leading, merge.output_size), "output, by output_size")
    return {"output_size": merge.output_size}


@MERGE_CHECKS.check(gate=True)
def inference_is_deterministic(case: MergeCase) -> Numbers:
    """In inference mode the same pair gives the same output and is left unchanged.

    Catches: dropout that is active at inference, in-place sums.
    """
    merge, pair = case.merge(), case.pair(2, 5)
    before, outputs = [part.clone() for part in pair], []
    for seed in (5, 6):
        with seeded(seed), torch.no_grad():
            outputs.append(joined(merge(*pair)).clone())
    for name, part, copy in zip(("forward", "backward"), pair, before, strict=True):
        close(part, copy, f"the {name} output after the merge")
    return {"difference": close(outputs[1], outputs[0], "the second of two merges")}


@MERGE_CHECKS.check()
def steps_do_not_mix(case: MergeCase) -> Numbers:
    """One step of one row gives what it gives alone.

    Catches: softmax or norms over rows or time, which padding would change.
    """
    merge, (forward, backward) = case.merge(), case.pair(2, 5)
    whole = joined(merge(forward, backward))
    alone = joined(merge(forward[:1, 2:3], backward[:1, 2:3]))
    return {"difference": close(alone, whole[:1, 2:3], "step 2 of row 0 alone")}


@MERGE_CHECKS.check(needs=("steps_do_not_mix",))
def zeros_claim_is_true(case: MergeCase) -> Numbers:
    """``keeps_zeros`` says whether two zeros give zero; in a layer, masked steps are zero anyway.

    Catches: biases that show in the padding.
    """
    merge = case.merge()
    pair = tuple(torch.zeros_like(part) for part in case.pair(2, 5))
    largest = float(joined(merge(*pair)).detach().abs().max())
    require(
        largest == 0 or not merge.keeps_zeros,
        f"keeps_zeros is True, and zeros give values up to {largest:.3g}",
        largest=largest,
    )
    with registered("merge", case.part) as name, seeded(1):
        spec = {"name": name, **case.options}
        backward = seqlab.GRU(3, case.sizes[1])
        layer = seqlab.Bidirectional(seqlab.GRU(3, case.sizes[0]), spec, backward)
    mask = padded_mask([5, 2], 5)
    output = joined(layer(normal(2, 5, 3, seed=54, dtype=torch.float32), mask=mask)[0])
    left = int(output.masked_fill(mask.unsqueeze(-1), 0.0).count_nonzero())
    require(left == 0, f"in a bidirectional layer {left} outputs at padded steps are not 0")
    return {"largest": largest}


@MERGE_CHECKS.check()
def sides_are_true(case: MergeCase) -> Numbers:
    """With ``side_by_side`` the output is forward, then backward; else each counts in all of it.

    Catches: swapped halves, a direction that is dropped.
    """
    merge, (forward, backward) = case.merge(), case.pair(2, 5)
    output = joined(merge(forward, backward))
    if merge.side_by_side:
        expected = torch.cat([forward, backward], -1)
        return {"difference": close(output, expected, "side by side: forward, then backward")}
    moved = {}
    for name, pair in (
        ("forward", (forward + 1.0, backward)),
        ("backward", (forward, backward + 1.0)),
    ):
        moved[name] = float((joined(merge(*pair)) - output).detach().abs().max())
        require(
            moved[name] > 1e-9, f"moving {name} by 1 moves the output by {moved[name]:.1g}", **moved
        )
    return moved


@MERGE_CHECKS.check(needs=("sides_are_true",))
def gradients_are_exact(case: MergeCase) -> Numbers:
    """Both inputs and every parameter get a gradient, equal to finite differences.

    Catches: directions cut by ``detach``, parameters that are never used.
    """
    merge = case.merge()
    pair = [part.requires_grad_() for part in case.pair(2, 3)]
    names = ["forward", "backward", *(name for name, _ in merge.named_parameters())]
    total = weighted_sum(parts_of(merge(*pair)))
    found = torch.autograd.grad(total, [*pair, *merge.parameters()], allow_unused=True)
    gradients = dict(zip(names, found, strict=True))
    require_gradients(merge, gradients)
    measured = {}
    with torch.no_grad():
        for index, part in enumerate(pair):
            direction = normal(*part.shape, seed=60 + index)
            sums = []
            for step in (1e-5, -1e-5):
                moved = [p + step * direction if i == index else p for i, p in enumerate(pair)]
                sums.append(weighted_sum(parts_of(merge(*moved))))
            gradient = found[index]
            slope = (gradient * direction).sum() if gradient is not None else torch.zeros(())
            measured[names[index]] = (slope.double(), (sums[0] - sums[1]) / 2e-5)
    pairs = [{name: value[side] for name, value in measured.items()} for side in (0, 1)]
    return {"difference": close_all(pairs[0], pairs[1], "slope along a direction", tolerance=1e-6)}


@MERGE_CHECKS.check()
def parameters_are_registered(case: MergeCase) -> None:
    """Every tensor and module inside is a parameter, a buffer or a submodule.

    Catches: parameters in plain lists, which no optimiser moves and no state dict saves.
    """
    require_registered(case.merge())


@MERGE_CHECKS.check(needs=("parameters_are_registered",))
def parameters_are_drawn_anew(case: MergeCase) -> Numbers:
    """``reset_parameters`` draws random parameters anew, as ``fresh()`` of a layer needs.

    Catches: learned merges that begin as twins.
    """
    with seeded(3):
        merge = case.part(*case.sizes, **case.options)
    with seeded(4):
        other = case.part(*case.sizes, **case.options).state_dict()
    before = {name: value.clone() for name, value in merge.state_dict().items()}
    drawn = [name for name, value in before.items() if not value.equal(other[name])]
    if not drawn:
        raise Skip("the merge has no random parameters")
    reset = getattr(merge, "reset_parameters", None)
    require(callable(reset), f"{len(drawn)} random parameters and no reset_parameters")
    merge.reset_parameters()
    kept = [name for name in drawn if merge.state_dict()[name].equal(before[name])]
    require(not kept, f"reset_parameters leaves {', '.join(kept)} as it was")
    return {"drawn": len(drawn)}


@MERGE_CHECKS.check(needs=("parameters_are_registered",))
def survives_pickling(case: MergeCase) -> Numbers:
    """Pickled, copied and saved by torch, it gives the same.

    Catches: types and functions made at run time.
    """
    pair = case.pair(2, 5)
    return survives(case.part, case.merge(), lambda merge: joined(merge(*pair)))
