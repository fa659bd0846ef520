"""Checks of every layer beyond the usual case: many rows, long rows, wide layers, far states.

The other checks run on few rows, few steps and few units, where most bugs show and all is fast.
These are a few chosen cases more, for code that takes another path where there is more to do.
"""

from __future__ import annotations

import random

import numpy as np
import torch

from seqlab.cells.base import map_state
from seqlab.errors import SeqlabError
from seqlab.heads.states import leaves, select_rows
from seqlab.layers.base import Layer
from seqlab.testing.case import BATCH, MANY_ROWS, STEPS, LayerCase
from seqlab.testing.check_table import Table
from seqlab.testing.compare import close, close_all, close_states, require
from seqlab.testing.layers import LENGTHS, one, runs_forward
from seqlab.testing.result import Numbers, Skip
from seqlab.testing.sample import (
    holey_mask,
    normal,
    padded_mask,
    random_state,
    run_with_gradients,
)
from seqlab.testing.slopes import require_exact_gradients

EXTREME_CHECKS = Table()
#: Rows, steps and units just beyond the powers of two at which code likes to change its path.
BATCHES, LONG, WIDE = (9, 17, MANY_ROWS), (65, 130), 65
#: How much a state far from zero is larger than the usual one.
FAR = 20.0
#: Over long rows rounding adds up.
LOOSE = 1e-7


def _wide(case: LayerCase) -> Layer:
    try:
        return case.wide(WIDE)
    except SeqlabError as error:
        raise Skip(f"not built at width {WIDE}: {error}") from error


@EXTREME_CHECKS.check(needs=("rows_do_not_mix", "small_batches_run"))
def many_rows_equal_few(case: LayerCase) -> Numbers:
    """A batch of 9, 17 or 33 rows gives what its rows give four at a time.

    Catches: another path for large batches, buffers of a fixed number of rows.
    """
    layer, largest = case.layer(), 0.0
    for batch in BATCHES:
        x, state = case.data(batch=batch, steps=3), random_state(layer, batch)
        output, final = layer(x, state)
        for start in range(0, batch, BATCH):
            rows = torch.arange(start, min(start + BATCH, batch))
            few, few_final = layer(x[rows], select_rows(state, rows))
            what = f"rows {start} to {int(rows[-1])} of {batch}"
            largest = max(
                largest,
                close(one(output)[rows], one(few), f"output, {what}"),
                close_states(select_rows(final, rows), few_final, f"final state, {what}"),
            )
    return {"difference": largest}


@EXTREME_CHECKS.check(needs=("holes_equal_removed_steps",))
def long_rows_equal_their_real_steps(case: LayerCase) -> Numbers:
    """A row of 65 or 130 steps of which seven are real gives what the seven give.

    Catches: another path for long sequences, state that is touched at masked steps.
    """
    layer, largest = case.layer(scale=0.1), 0.0
    for steps in LONG:
        x, mask = case.data(batch=2, steps=steps), torch.zeros(2, steps, dtype=torch.bool)
        mask[:, torch.linspace(0, steps - 1, STEPS).long()] = True
        output, final = layer(x, mask=mask)
        short, short_final = layer(x[mask].view(2, STEPS, -1))
        what = f"{STEPS} real steps of {steps}"
        largest = max(
            largest,
            close(one(output)[mask].view(2, STEPS, -1), one(short), f"output, {what}"),
            close_states(final, short_final, f"final state, {what}"),
        )
    return {"difference": largest}


@EXTREME_CHECKS.check(needs=("split_equals_whole",))
def long_rows_equal_their_parts(case: LayerCase) -> Numbers:
    """A row of 65 or 130 steps gives what its parts of 13 steps give, the state handed over.

    Catches: another path for long sequences, sums that drift, windows of a fixed length.
    """
    runs_forward(case)
    layer, largest = case.layer(scale=0.1), 0.0
    for steps in LONG:
        x = case.data(batch=2, steps=steps)
        output, final = layer(x)
        parts, state = [], None
        for part in torch.split(x, 13, dim=1):
            piece, state = layer(part, state)
            parts.append(one(piece))
        what = f"{steps} steps and their parts"
        largest = max(
            largest,
            close(torch.cat(parts, 1), one(output), f"output of {what}", tolerance=LOOSE),
            close_states(state, final, f"final state of {what}", tolerance=LOOSE),
        )
    return {"difference": largest}


@EXTREME_CHECKS.check(needs=("batch_equals_single_rows", "parameters_get_gradients"))
def wide_layers_are_whole(case: LayerCase) -> Numbers:
    """With 65 units, rows are what they are alone, and each output follows the input.

    Catches: another path for many units, units that are left out.
    """
    layer, lengths = _wide(case), torch.tensor(LENGTHS)
    x = normal(BATCH, STEPS, layer.input_size, seed=61)
    output, _ = layer(x, lengths=lengths)
    largest = 0.0
    for row, length in enumerate(LENGTHS):
        alone = one(layer(x[row : row + 1, :length])[0])
        what = f"output of a row of {length} steps, {WIDE} units"
        largest = max(largest, close(one(output)[row : row + 1, :length], alone, what))
    moved = one(layer(x + 0.1)[0]) - one(layer(x)[0])
    still = int((moved.abs().amax((0, 1)) == 0).sum())
    require(not still, f"{still} of {moved.shape[-1]} outputs do not follow the input", still=still)
    return {"difference": largest}


@EXTREME_CHECKS.check(needs=("gradients_are_exact",))
def masked_gradients_are_exact(case: LayerCase) -> Numbers:
    """With padding and with holes the gradients equal finite differences, too.

    Catches: a backward pass that forgets the mask, paths cut where steps are masked.
    """
    layer, x = case.layer(), case.data()
    state = random_state(layer, BATCH)
    masks = {"padding": padded_mask(LENGTHS, STEPS), "holes": holey_mask(BATCH, STEPS)}
    return {
        name: require_exact_gradients(layer, x, state, mask, where=f" with {name}")
        for name, mask in masks.items()
    }


@EXTREME_CHECKS.check(needs=("gradients_are_exact", "same_seed_same_weights"))
def single_precision_gradients_agree(case: LayerCase) -> Numbers:
    """The gradients in float32 are those in float64, to float32's digits.

    Catches: a backward pass of another formula or of half precision in float32.
    """
    double, single = case.layer(), case.layer().float()
    x, state = case.data(), random_state(double, BATCH)
    expected = run_with_gradients(double, x, state).gradients
    lower = map_state(lambda part: part.float() if part.is_floating_point() else part, state)
    found = run_with_gradients(single, x.float(), lower).gradients
    for name, gradient in found.items():
        kept = gradient is None or gradient.dtype in (torch.float32, torch.complex64)
        require(kept, f"the gradient of {name} in float32 is {getattr(gradient, 'dtype', None)}")
    what = "float32 against float64, gradient"
    return {"difference": close_all(found, expected, what, tolerance=1e-3)}


@EXTREME_CHECKS.check(needs=("bfloat16_autocast_runs",))
def autocast_keeps_the_states_dtype(case: LayerCase) -> None:
    """Under bfloat16 autocast the final state has the dtypes of the initial one.

    Catches: a memory that loses its digits from step to step, states no other run takes.
    """
    layer, x = case.layer(dtype=torch.float32), case.data().float()
    before = [part.dtype for part in leaves(layer.initial_state(BATCH))]
    for label, mask in (("", None), (" with padding", padded_mask(LENGTHS, STEPS))):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, final = layer(x, mask=mask)
        after = [part.dtype for part in leaves(final)]
        require(
            before == after,
            f"under autocast{label} the state goes in as {before} and comes out as {after}",
        )


@EXTREME_CHECKS.check(needs=("the_given_state_is_used", "rows_do_not_mix"))
def the_callers_tensors_stay_unchanged(case: LayerCase) -> None:
    """A run changes neither input, mask nor state of any of 33 rows.

    Catches: padding that is cleared in place, in-place work on the state of some rows.
    """
    layer, mask = case.layer(), holey_mask(MANY_ROWS, STEPS)
    x, state = case.data(batch=MANY_ROWS), random_state(layer, MANY_ROWS)
    given = {"input": x, "mask": mask}
    given.update({f"state[{i}]": part for i, part in enumerate(leaves(state))})
    before = {name: value.clone() for name, value in given.items()}
    with torch.no_grad():
        layer(x, state)
        layer(x, state, mask=mask)
    for name, value in given.items():
        moved = (value != before[name]).flatten(1).any(1).nonzero().flatten().tolist()
        require(not moved, f"{name} was changed in place, in rows {moved[:5]}")


@EXTREME_CHECKS.check(needs=("gradients_are_exact", "rows_do_not_mix"))
def far_states_are_fine(case: LayerCase) -> Numbers:
    """From a state far from zero results are finite, rows stay apart, gradients are exact.

    Catches: exponentials that overflow, backward formulas that hold near zero alone.
    """
    layer, x = case.layer(), case.data(steps=3)
    far = random_state(layer, BATCH, scale=FAR)
    output, final = layer(x, far)
    named = {f"state[{i}]": part for i, part in enumerate(leaves(final))}
    for what, value in {"output": one(output), **named}.items():
        bad = int((~torch.isfinite(value)).sum())
        require(not bad, f"{bad} of {value.numel()} numbers of {what} are not finite", bad=bad)
    few = torch.tensor([0, 2])
    alone, _ = layer(x[few], select_rows(far, few))
    difference = close(one(output)[few], one(alone), "rows 0 and 2 alone, from a far state")
    exact = require_exact_gradients(layer, x, far, None, where=" from a far state", step=1e-6)
    return {"difference": max(difference, exact)}


@EXTREME_CHECKS.check(needs=("same_seed_same_weights",))
def nothing_is_drawn_now_and_then(case: LayerCase) -> Numbers:
    """In inference mode 100 equal runs are equal, and use no random numbers of any library.

    Catches: rare draws of torch, numpy or Python, counters that matter every so many calls.
    """
    layer, x = case.layer(), case.data(steps=2)
    first, before = one(layer(x)[0]), _random_states()
    largest = 0.0
    with torch.no_grad():
        for number in range(100):
            again = one(layer(x)[0])
            largest = max(largest, close(again, first, f"run {number + 2} of one input"))
    used = [name for name, state in _random_states().items() if state != before[name]]
    require(not used, f"random numbers of {' and '.join(used)} were used in inference mode")
    return {"difference": largest}


def _random_states() -> dict[str, object]:
    """The state of every global source of random numbers, to compare."""
    return {
        "torch": torch.random.get_rng_state().numpy().tobytes(),
        "python": random.getstate(),
        "numpy": repr(np.random.get_state()),  # noqa: NPY002  # the old global source is meant
    }
