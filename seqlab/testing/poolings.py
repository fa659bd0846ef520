"""The checks of a pooling: from a sequence of encoder outputs to one vector a row."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import seqlab
from seqlab.heads.pooling import FinalStatePooling, LastPooling, Pooling
from seqlab.testing.case import Case
from seqlab.testing.compare import close, require, same_shape
from seqlab.testing.contract import class_table
from seqlab.testing.modules import require_gradients, require_registered
from seqlab.testing.pickling import survives
from seqlab.testing.result import Numbers, Skip
from seqlab.testing.sample import normal, padded_mask, seeded, shaken
from seqlab.types import Encoded, EncoderInfo

LENGTHS, STEPS = [6, 0, 1, 4], 6


def encoded(steps: int = STEPS, lengths: list[int] | None = None) -> Encoded:
    """What a bidirectional encoder gives on four rows, without gradients."""
    lengths = LENGTHS if lengths is None else lengths
    with seeded(2), torch.no_grad():
        layer = seqlab.Bidirectional(seqlab.GRU(3, 4), backward_layer=seqlab.GRU(3, 2)).double()
        x = normal(len(lengths), steps, 3, seed=61)
        output, state = layer(x, lengths=torch.tensor(lengths))
        final = layer.final_output(state)
    mask = padded_mask(lengths, steps)
    return Encoded(output, state, final, torch.tensor(lengths), mask, layer.directions)


ENCODER = EncoderInfo(6, 6, (4, 2))


@dataclass(frozen=True)
class PoolingCase(Case):
    """A pooling class with its options."""

    kind = "pooling"

    def module(self, seed: int = 0) -> Pooling:
        """A pooling in float64 and inference mode."""
        with seeded(seed):
            made: Pooling = self.part(ENCODER, **self.options)
        return shaken(made, seed=seed + 1).double().eval()


POOLING_CHECKS = class_table(Pooling, ENCODER)


@POOLING_CHECKS.check(gate=True)
def output_size_is_true(case: PoolingCase) -> Numbers:
    """The vectors have ``output_size`` entries, also without steps and with one row.

    Catches: a wrong ``output_size``.
    """
    pooling = case.module()
    for lengths, steps in ((LENGTHS, STEPS), ([3], 3), ([0, 0], 0)):
        pooled = pooling(encoded(steps, lengths))
        same_shape(pooled, (len(lengths), pooling.output_size), "pooled, by output_size")
    return {"output_size": pooling.output_size}


@POOLING_CHECKS.check(gate=True)
def inference_is_deterministic(case: PoolingCase) -> Numbers:
    """In inference mode the same input gives the same vectors.

    Catches: dropout that is active at inference.
    """
    pooling, found = case.module(), []
    for seed in (5, 6):
        with seeded(seed):
            found.append(pooling(encoded()))
    return {"difference": close(found[1], found[0], "the second of two poolings")}


@POOLING_CHECKS.check()
def padding_is_ignored(case: PoolingCase) -> Numbers:
    """NaN in the padding and more of it change nothing; rows without steps give zeros.

    Catches: the output at T - 1 taken for the last one, means over padded steps.
    """
    pooling, given = case.module(), encoded()
    clean = pooling(given)
    poisoned = given.output.masked_fill(~given.mask.unsqueeze(-1), float("nan"))
    wide = torch.cat([poisoned, poisoned.new_full((4, 2, 6), float("nan"))], 1)
    mask = torch.cat([given.mask, given.mask.new_zeros(4, 2)], 1)
    largest = max(
        close(pooling(given._replace(output=poisoned)), clean, "NaN in the padding"),
        close(pooling(given._replace(output=wide, mask=mask)), clean, "2 more padded steps"),
    )
    left = float(clean[1].detach().abs().max())
    require(left == 0, f"a row without steps is pooled to values up to {left:.3g}", largest=left)
    return {"difference": largest}


@POOLING_CHECKS.check(needs=("padding_is_ignored",))
def holes_equal_removed_steps(case: PoolingCase) -> Numbers:
    """A row with masked steps inside gives what it gives with those steps taken out.

    Catches: masks read as lengths.
    """
    pooling, given = case.module(), encoded()
    mask = given.mask.clone()
    mask[0, [0, 2, 5]] = False
    mask[3, 1] = False
    pooled, largest = pooling(given._replace(mask=mask)), 0.0
    for row in (0, 3):
        real = mask[row]
        alone = given._replace(
            output=given.output[row : row + 1, real],
            mask=torch.ones(1, int(real.sum()), dtype=torch.bool),
            final=given.final[row : row + 1],
            lengths=real.sum().view(1),
        )
        largest = max(
            largest, close(pooling(alone), pooled[row : row + 1], f"row {row} with holes")
        )
    return {"difference": largest}


@POOLING_CHECKS.check(needs=("padding_is_ignored",))
def rows_do_not_mix(case: PoolingCase) -> Numbers:
    """Changing one row changes no other row's vector.

    Catches: softmax over rows.
    """
    pooling, given = case.module(), encoded()
    other = given.output.clone()
    other[3] *= 3.0
    kept = torch.tensor([0, 1, 2])
    after = pooling(given._replace(output=other))
    return {"difference": close(after[kept], pooling(given)[kept], "rows 0 to 2")}


@POOLING_CHECKS.check(needs=("holes_equal_removed_steps",))
def last_is_the_final_state(case: PoolingCase) -> Numbers:
    """Where it takes the last output, the backward half is taken at its own last step, t = 0.

    Catches: the backward half at the last step in time, where it has seen one input.
    """
    if not issubclass(case.part, LastPooling | FinalStatePooling):
        raise Skip("it does not claim to take the last output")
    given = encoded(lengths=[6, 2, 1, 4])
    return {"difference": close(case.module()(given), given.final, "against the final state")}


@POOLING_CHECKS.check()
def gradients_arrive(case: PoolingCase) -> Numbers:
    """The encoder and every parameter get a gradient that is finite.

    Catches: pooled values cut by ``detach``, NaN from empty rows.
    """
    pooling, given = case.module(), encoded()
    require_registered(pooling)
    output, final = given.output.requires_grad_(), given.final.requires_grad_()
    pooled = pooling(given._replace(output=output, final=final))
    total = (pooled * normal(*pooled.shape, seed=62)).sum()
    found = torch.autograd.grad(total, [output, final, *pooling.parameters()], allow_unused=True)
    reached = [g is not None and bool(g.count_nonzero()) for g in found[:2]]
    require(any(reached), "neither outputs nor final state get a gradient")
    finite = all(g is None or bool(torch.isfinite(g).all()) for g in found)
    require(finite, "a gradient is not finite")
    names = [name for name, _ in pooling.named_parameters()]
    gradients = dict(zip(names, found[2:], strict=True))
    return {"parameters": require_gradients(pooling, gradients)}


@POOLING_CHECKS.check(needs=("inference_is_deterministic",))
def survives_pickling(case: PoolingCase) -> Numbers:
    """Pickled, copied and saved by torch, it gives the same.

    Catches: types and functions made at run time.
    """
    given = encoded()
    return survives(case.part, case.module(), lambda pooling: pooling(given))
