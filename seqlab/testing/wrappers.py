"""The checks of a wrapper, beside those of every layer."""

from __future__ import annotations

import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.errors import EngineError, OptionError
from seqlab.layers.base import Layer
from seqlab.testing.case import BATCH, STEPS, WrapperCase
from seqlab.testing.check_table import Table
from seqlab.testing.compare import EXACT, close, largest_change, require
from seqlab.testing.contract import require_docstring, require_refusal, require_subclass
from seqlab.testing.layers import one
from seqlab.testing.result import Numbers, Skip
from seqlab.testing.sample import seeded
from seqlab.wrappers.base import Wrapper

FIRST, CONTRACT = Table(), Table()
WRAPPER_CHECKS = Table()


@FIRST.check(gate=True)
def constructor(case: WrapperCase) -> None:
    """It is a ``Wrapper`` built from keyword options that builds a ``Layer``, and refuses others.

    Catches: options that are swallowed without effect, a ``build`` that gives something else.
    """
    require_subclass(case.part, Wrapper)
    layer = case.make()
    require(isinstance(layer, Layer), f"build gives a {type(layer).__name__}, not a seqlab.Layer")
    require(
        layer.input_size == case.width,
        f"built for {case.width} features, the layer's input_size is {layer.input_size}",
    )
    require_refusal(case)


@FIRST.check(gate=True)
def documented(case: WrapperCase) -> None:
    """The class has a docstring of its own.

    Catches: a part that nobody can look up.
    """
    require_docstring(case.part)


@CONTRACT.check(gate=True)
def inference_is_deterministic(case: WrapperCase) -> Numbers:
    """In inference mode two runs give the same numbers, whatever torch's seed.

    Catches: dropout that is active at inference, state kept between calls.
    """
    layer, x = case.layer(), case.data()
    outputs = []
    for seed in (5, 6):
        with seeded(seed):
            outputs.append(one(layer(x)[0]))
    return {"difference": close(outputs[1], outputs[0], "the second of two runs at inference")}


@CONTRACT.check(gate=True)
def layers_are_distinct(case: WrapperCase) -> Numbers:
    """Each inner layer has weights of its own, drawn anew.

    Catches: one layer used twice, directions that begin as twins.
    """
    with seeded(9):
        layer = case.make()
    places = [m for _, m in layer.named_modules(remove_duplicate=False) if isinstance(m, Cell)]
    cells = layer.cells()
    require(
        len(cells) == len(places),
        f"{len(places)} places in the layer hold {len(cells)} cells: one is used more than once",
        places=len(places),
        cells=len(cells),
    )
    for index, cell in enumerate(cells):
        for other, second in list(enumerate(cells))[index + 1 :]:
            pairs = zip(cell.named_parameters(), second.parameters(), strict=False)
            same = [
                name
                for (name, p), q in pairs
                if p.dim() > 1 and p.shape == q.shape and torch.equal(p, q)
            ]
            require(
                not same,
                f"cells {index} and {other} of {len(cells)} begin with the same {', '.join(same)}",
                cells=len(cells),
            )
    return {"cells": len(cells)}


def _seen(layer: Layer, x: Tensor, changed_step: int, read_step: int) -> Tensor:
    """How far each output feature at one step moves when another step's input changes."""
    other = x.clone()
    other[:, changed_step] += 1.5
    before, after = one(layer(x)[0]), one(layer(other)[0])
    return (after[:, read_step] - before[:, read_step]).detach().abs().amax(0)


@WRAPPER_CHECKS.check()
def directions_are_true(case: WrapperCase) -> Numbers:
    """What it calls forward sees the past, what it calls backward sees the future.

    Catches: a bidirectional layer that never reverses, or reverses both.
    """
    layer, x = case.layer(), case.data()
    future, past = _seen(layer, x, STEPS - 1, 0), _seen(layer, x, 0, STEPS - 1)
    along, against = (future, past) if layer.reverse else (past, future)
    moved: dict[str, float] = {}
    parts = list(layer.directions)
    seen = zip(torch.split(along, parts), torch.split(against, parts), strict=True)
    for turn, part in enumerate(seen):
        name, step = ("backward", "last") if turn % 2 else ("forward", "first")
        if not parts[turn]:
            continue
        moved[name] = float(part[turn % 2].max())
        require(
            moved[name] > 1e-9,
            f"the {name} half ({parts[turn]} wide) does not see the {step} step at the other end "
            f"of the sequence: a change there moves it by {moved[name]:.1g}",
            **moved,
        )
    return moved


@WRAPPER_CHECKS.check(needs=("directions_are_true",))
def streaming_is_refused_where_impossible(case: WrapperCase) -> Numbers:
    """A layer that can be streamed does not see the future; one that does refuses to be streamed.

    Catches: a step that answers before it can know, a refusal without a reason.
    """
    layer, x = case.layer(), case.data()
    future = float(_seen(layer, x, STEPS - 1, 0).max())
    try:
        layer.step(x[:, 0], layer.initial_state(BATCH))
    except EngineError as error:
        require(
            future > 1e-9 or layer.reverse,
            f"streaming is refused ({error}), and the output at t = 0 does not depend on the last "
            f"step (a change there moves it by {future:.1g})",
            future=future,
        )
        return {"future": future}
    require(
        future < 1e-9,
        f"it can be streamed, and its output at t = 0 depends on the last step: a change there "
        f"moves it by {future:.3g}",
        future=future,
    )
    return {"future": future}


@WRAPPER_CHECKS.check(needs=("directions_are_true", "batch_equals_single_rows"))
def final_output_sees_everything(case: WrapperCase) -> Numbers:
    """The final output depends on the first and on the last real step of a padded row.

    Catches: a last step taken at T - 1, a backward direction read at its first step.
    """
    layer, x = case.layer(), case.data()
    lengths = torch.full((BATCH,), STEPS - 2)
    moved = {}
    for name, step in (("first", 0), ("last", STEPS - 3)):
        other = x.clone()
        other[:, step] += 1.5
        before, after = (layer.final_output(layer(v, lengths=lengths)[1]) for v in (x, other))
        moved[name] = largest_change(after, before)
        require(
            moved[name] > 1e-9,
            f"a change of the {name} real step moves the final output by {moved[name]:.1g}",
            **moved,
        )
    if len(layer.directions) == 2 and layer.final_size == layer.output_size:
        output, state = layer(x, lengths=lengths)
        moved["against_output"] = _final_against_output(layer, output, layer.final_output(state))
    return moved


def _final_against_output(layer: Layer, output: Tensor, final: Tensor) -> float:
    """Of a pair of plain directions, the final output is each half's output at its last step.

    Where no half of it is any direction's last output, as in a residual layer, there is nothing
    to compare.
    """
    half = layer.directions[0]
    expected = torch.cat([one(output)[:, STEPS - 3, :half], one(output)[:, 0, half:]], -1)
    swapped = torch.cat([expected[:, half:], expected[:, :half]], -1)
    parts = [(final, expected), (final, swapped)]
    likeness = [
        largest_change(a[:, side], b[:, side])
        for a, b in parts
        for side in (slice(None, half), slice(half, None))
    ]
    if min(likeness) > EXACT:
        return 0.0
    return close(final, expected, "final output against each direction's last output")


@WRAPPER_CHECKS.check()
def penalties_are_collected(case: WrapperCase) -> Numbers:
    """``regularization_loss`` is the sum over all cells inside; constraints reach them all.

    Catches: inner layers that are left out.
    """
    layer = case.layer(kernel_regularizer="l2", kernel_constraint="non_neg")
    expected = sum(float(cell.regularization_loss().detach()) for cell in layer.cells())
    found = float(layer.regularization_loss().detach())
    require(
        abs(found - expected) < 1e-9 * max(1.0, expected) and expected > 0,
        f"regularization_loss is {found:.6g}, the cells inside add up to {expected:.6g}",
        found=found,
        expected=expected,
    )
    layer.apply_constraints()
    for index, cell in enumerate(layer.cells()):
        if getattr(cell, "kernel_constraint", None) is not None:
            least = min(
                float(p.detach().min()) for n, p in cell.named_parameters() if n == "weight_ih"
            )
            require(
                least >= 0,
                f"apply_constraints leaves {least:.3g} in the input matrix of cell {index}",
            )
    return {"penalty": found}


@WRAPPER_CHECKS.check()
def any_cell_fits(case: WrapperCase) -> Numbers:
    """It wraps LSTM, GRU and RNN alike.

    Catches: wrappers that know the state of one cell.
    """
    widths = {}
    for name in ("lstm", "gru", "rnn"):
        with seeded(0):
            layer = case.make(name=name).double().eval()
        output, state = layer(case.data())
        final = layer.final_output(state)
        require(
            one(output).shape[-1] == layer.output_size and final.shape == (BATCH, layer.final_size),
            f"around {name}: output {list(one(output).shape)}, final {list(final.shape)}",
        )
        widths[name] = layer.output_size
    return widths


@WRAPPER_CHECKS.check()
def dropout_is_off_at_inference(case: WrapperCase) -> Numbers:
    """With dropout on, training runs differ and inference runs do not.

    Catches: dropout that is stored and never used, or never switched off.
    """
    try:
        wrapper = case.part(**{**case.options, "dropout": 0.5})
    except (OptionError, TypeError) as error:
        raise Skip("the wrapper has no option dropout") from error
    dropped = WrapperCase(type(wrapper), {**case.options, "dropout": 0.5})
    layer, x = dropped.layer(), case.data()
    outputs = {}
    for training in (True, False):
        layer.train(training)
        runs = []
        for seed in (1, 2):
            with seeded(seed):
                runs.append(one(layer(x)[0]))
        outputs[training] = largest_change(runs[1], runs[0])
    require(outputs[True] > 1e-6, f"training runs differ by {outputs[True]:.1g} only")
    require(outputs[False] == 0, f"inference runs differ by {outputs[False]:.3g}")
    return {"training": outputs[True], "inference": outputs[False]}
