"""Checks of every layer, whatever it is made of: masks, lengths, rows, states, directions.

A case gives layers by ``case.layer()``; the checks of cells and of wrappers contain these.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqlab.errors import EngineError
from seqlab.heads.states import leaves, select_rows
from seqlab.layers.base import Layer
from seqlab.layers.stream import stream
from seqlab.testing.case import BATCH, STEPS, LayerCase
from seqlab.testing.check_table import Table
from seqlab.testing.compare import (
    close,
    close_all,
    close_states,
    largest_change,
    require,
    same_shape,
)
from seqlab.testing.result import Failure, Numbers, Skip
from seqlab.testing.sample import (
    Ran,
    holey_mask,
    padded_mask,
    random_state,
    run_with_gradients,
)

SIZES, LAYER_CHECKS = Table(), Table()
#: Lengths of the rows of the usual batch: whole, empty, one step, some.
LENGTHS = [STEPS, 0, 1, 4]


def one(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """The output as one tensor; the pair of an unmerged layer side by side."""
    return output if isinstance(output, Tensor) else torch.cat(tuple(output), -1)


@SIZES.check(gate=True)
def sizes_are_true(case: LayerCase) -> None:
    """Output, final output and directions have the widths that the layer states.

    Catches: a wrong ``output_size``, ``final_size``, ``directions`` or ``state_sizes``.
    """
    layer = case.layer()
    output, state = layer(case.data())
    same_shape(one(output), (BATCH, STEPS, layer.output_size), "output, by output_size")
    same_shape(layer.final_output(state), (BATCH, layer.final_size), "final_output, by final_size")
    require(
        sum(layer.directions) == layer.output_size,
        f"directions {layer.directions} must be widths with the sum {layer.output_size}",
    )
    shapes = [list(part.shape) for part in leaves(layer.initial_state(BATCH))]
    found = [list(part.shape) for part in leaves(state)]
    require(shapes == found, f"the state goes in as {shapes} and comes out as {found}")


@LAYER_CHECKS.check()
def small_batches_run(case: LayerCase) -> None:
    """One row, one step, no steps and no rows give outputs of the right shape.

    Catches: ``squeeze`` that drops the batch, code that needs a first step.
    """
    layer = case.layer()
    for batch, steps in ((1, 3), (2, 1), (1, 1), (2, 0), (0, 3)):
        what = f"B={batch}, T={steps}"
        try:
            output, state = layer(case.data(batch=batch, steps=steps))
            final = layer.final_output(state)
        except Exception as error:
            raise Failure(f"{what}: raised {type(error).__name__}: {error}") from error
        same_shape(one(output), (batch, steps, layer.output_size), f"output, {what}")
        same_shape(final, (batch, layer.final_size), f"final output, {what}")
        for part in leaves(state):
            require(part.shape[0] == batch, f"{what}: the state has {part.shape[0]} rows")


@LAYER_CHECKS.check(needs=("rows_do_not_mix",))
def padding_is_ignored(case: LayerCase) -> Numbers:
    """NaN in the padding and more padding change no output, final state or gradient.

    Catches: masks that are not passed on, results taken from padded steps, leaks of NaN.
    """
    layer, x, mask = case.layer(), case.data(), padded_mask(LENGTHS, STEPS)
    clean = run_with_gradients(layer, x.masked_fill(~mask.unsqueeze(-1), 0.0), mask=mask)
    dirty = run_with_gradients(layer, x.masked_fill(~mask.unsqueeze(-1), float("nan")), mask=mask)
    largest = _same(dirty, clean, "with NaN in the padding")
    longer = torch.cat([x, 9.0 * case.data(steps=3, seed=12)], 1)
    output, state = layer(longer, lengths=torch.tensor(LENGTHS))
    largest = max(largest, close(one(output)[:, :STEPS], one(clean.output), "3 more padded steps"))
    largest = max(largest, close_states(state, clean.state, "final state, 3 more padded steps"))
    padded = one(output).masked_fill(padded_mask(LENGTHS, STEPS + 3).unsqueeze(-1), 0.0)
    require(
        not bool(padded.count_nonzero()),
        f"outputs at padded steps must be 0; {int(padded.count_nonzero())} are not",
        nonzero=int(padded.count_nonzero()),
    )
    return {"difference": largest}


def _same(actual: Ran, expected: Ran, what: str) -> float:
    return max(
        close(one(actual.output), one(expected.output), f"output {what}"),
        close_states(actual.state, expected.state, f"final state {what}"),
        close_all(actual.gradients, expected.gradients, f"gradient {what},"),
    )


@LAYER_CHECKS.check(needs=("rows_do_not_mix", "small_batches_run", "padding_is_ignored"))
def batch_equals_single_rows(case: LayerCase) -> Numbers:
    """Each row in a padded batch gives what it gives alone, without its padding.

    Catches: a backward run that starts in the padding, a last step taken at T - 1.
    """
    layer, x = case.layer(), case.data()
    output, state = layer(x, lengths=torch.tensor(LENGTHS))
    final, largest = layer.final_output(state), 0.0
    for row, length in enumerate(LENGTHS):
        alone, alone_state = layer(x[row : row + 1, :length])
        what = f"row of {length} real steps of {STEPS}"
        largest = max(
            largest,
            close(one(output)[row : row + 1, :length], one(alone), f"output, {what}"),
            close(final[row : row + 1], layer.final_output(alone_state), f"final output, {what}"),
        )
    return {"difference": largest}


@LAYER_CHECKS.check(needs=("padding_is_ignored", "batch_equals_single_rows"))
def holes_equal_removed_steps(case: LayerCase) -> Numbers:
    """A row with masked steps inside gives what the row gives with those steps taken out.

    Catches: masks read as lengths, a state that moves on at a masked step.
    """
    layer, x, mask = case.layer(), case.data(), holey_mask(BATCH, STEPS)
    output, state = layer(x, mask=mask)
    largest = 0.0
    for row in range(BATCH):
        real = mask[row]
        alone, alone_state = layer(x[row : row + 1, real])
        what = f"row {row}, {int(real.sum())} real steps of {STEPS} with holes"
        here = select_rows(state, torch.tensor([row]))
        largest = max(
            largest,
            close(one(output)[row : row + 1, real], one(alone), f"output, {what}"),
            close_states(here, alone_state, f"final state, {what}"),
        )
    return {"difference": largest}


@LAYER_CHECKS.check(
    needs=("batch_equals_single_rows", "holes_equal_removed_steps", "the_given_state_is_used")
)
def resets_equal_separate_rows(case: LayerCase) -> Numbers:
    """A row with resets gives what its parts give as rows of their own, masked steps among them.

    Catches: a ``reset`` that is not passed on, or that one direction of time does not see.
    """
    layer, x, mask = case.layer(), case.data(), holey_mask(BATCH, STEPS)
    reset = ~holey_mask(BATCH, STEPS, seed=6)
    reset[2] = mask[1] = True
    output, state = layer(x, mask=mask, reset=reset)
    largest = 0.0
    for row in range(BATCH):
        ends = [*(t for t in range(1, STEPS) if reset[row, t]), STEPS]
        parts = [
            layer(x[row : row + 1, begin:end], mask=mask[row : row + 1, begin:end])
            for begin, end in zip([0, *ends], ends, strict=False)
        ]
        what = f"row {row}, in {len(parts)} parts"
        expected = torch.cat([one(part) for part, _ in parts], 1)
        largest = max(largest, close(one(output)[row : row + 1], expected, f"output, {what}"))
        if layer.causal:
            here = select_rows(state, torch.tensor([row]))
            found = close_states(here, parts[-1][1], f"final state, {what}")
            largest = max(largest, found)
    return {"difference": largest}


@LAYER_CHECKS.check()
def rows_do_not_mix(case: LayerCase) -> Numbers:
    """Changing one row of a batch changes no other row.

    Catches: means or norms over the batch, a state that leaks from row to row.
    """
    layer, x = case.layer(), case.data()
    other = x.clone()
    other[1] = 5.0 * case.data(batch=1, seed=13)[0]
    before, after = one(layer(x)[0]), one(layer(other)[0])
    kept = torch.tensor([0, 2, 3])
    largest = close(after[kept], before[kept], "rows 0, 2, 3 after row 1 was changed")
    require(not torch.equal(before[1], after[1]), "row 1 was changed and its output was not")
    return {"difference": largest}


@LAYER_CHECKS.check(needs=("padding_is_ignored",))
def empty_rows_keep_their_state(case: LayerCase) -> Numbers:
    """A row without real steps outputs zeros and ends in the state it began with.

    Catches: final states of empty rows that come from padded steps.
    """
    layer, x = case.layer(), case.data()
    state = random_state(layer, BATCH)
    output, final = layer(x, state, lengths=torch.zeros(BATCH, dtype=torch.long))
    left = int(one(output).count_nonzero())
    require(left == 0, f"{left} output values of empty rows are not 0", nonzero=left)
    return {"difference": close_states(final, state, "final state of empty rows")}


@LAYER_CHECKS.check()
def the_given_state_is_used(case: LayerCase) -> Numbers:
    """Another initial state gives other outputs, and the default is ``initial_state``.

    Catches: a state argument that is ignored.
    """
    layer, x = case.layer(), case.data(steps=3)
    plain, _ = layer(x)
    given, _ = layer(x, layer.initial_state(BATCH))
    largest = close(one(given), one(plain), "output from initial_state() passed in")
    other, _ = layer(x, random_state(layer, BATCH))
    change = largest_change(one(other)[:, 0], one(plain)[:, 0])
    require(
        change > 1e-6, f"another initial state changes the output by {change:.1g}", change=change
    )
    return {"difference": largest, "change": change}


def runs_forward(case: LayerCase) -> Layer:
    """The case's layer, if it can run one step at a time."""
    layer = case.layer()
    try:
        stream(layer).step(case.data()[:, 0])
    except EngineError as error:
        raise Skip(str(error)) from error
    return layer


@LAYER_CHECKS.check(needs=("streaming_is_refused_where_impossible",))
def stream_equals_whole(case: LayerCase) -> Numbers:
    """One step at a time gives what the run over the whole sequence gives.

    Catches: a ``step`` that differs from the sequence.
    """
    layer, x = runs_forward(case), case.data()
    whole, final = layer(x)
    running = stream(layer)
    outputs = torch.stack([running.step(x[:, t])[0] for t in range(STEPS)], 1)
    return {
        "difference": max(
            close(outputs, one(whole), "streamed outputs"),
            close_states(running.state, final, "state after the stream"),
        )
    }


@LAYER_CHECKS.check(needs=("stream_equals_whole", "the_given_state_is_used"))
def split_equals_whole(case: LayerCase) -> Numbers:
    """A sequence in two parts, the state handed over, gives what it gives in one.

    Catches: memory that is not part of the state.
    """
    layer, x = runs_forward(case), case.data()
    whole, final = layer(x)
    first, state = layer(x[:, :3])
    second, last = layer(x[:, 3:], state)
    joined = torch.cat([one(first), one(second)], 1)
    return {
        "difference": max(
            close(joined, one(whole), "outputs of 3 and 4 steps"),
            close_states(last, final, "final state of 3 and 4 steps"),
        )
    }


@LAYER_CHECKS.check()
def reversed_equals_flipped(case: LayerCase) -> Numbers:
    """Turned around, the layer gives on a sequence what it gave on its mirror image.

    Catches: a ``reverse_`` that forgets a part, outputs that lose their place in time.
    """
    layer, x = case.layer(), case.data()
    before = layer.reverse
    expected, expected_state = layer(x.flip(1))
    layer.reverse_()
    require(layer.reverse != before, f"reverse is {before} before and after reverse_()")
    output, state = layer(x)
    return {
        "difference": max(
            close(one(output), one(expected).flip(1), "reversed run against the mirror image"),
            close_states(state, expected_state, "final state of the reversed run"),
        )
    }
