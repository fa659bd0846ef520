"""Checks of a cell or wrapper inside others: wrappers, heads, a bundle; and its speed."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from seqlab import registry
from seqlab.construct import accepted_options, construct
from seqlab.errors import OptionError, SeqlabError
from seqlab.layers.base import Layer
from seqlab.testing.case import BATCH, STEPS, CellCase, LayerCase, WrapperCase, registered
from seqlab.testing.check_table import Check, Table
from seqlab.testing.compare import require
from seqlab.testing.layers import LENGTHS, one
from seqlab.testing.modules import require_gradients
from seqlab.testing.others import others
from seqlab.testing.result import Failure, Numbers, Skip
from seqlab.testing.sample import normal, padded_mask, run_with_gradients, seeded, shaken
from seqlab.testing.tasks import (
    first_kind,
    learn,
    make_model,
    make_task,
    small_head,
    through_a_bundle,
)
from seqlab.wrappers.base import LayerFactory

_LAYER_NEEDS = ("padding_is_ignored", "small_batches_run", "parameters_get_gradients")


def needs_options(kind: str, name: str, given: int) -> list[str]:
    """The options without which a registered part cannot be built, beyond ``given`` first ones."""
    parameters = list(accepted_options(registry.get(kind, name)).items())[given:]
    return [key for key, parameter in parameters if parameter.default is parameter.empty]


def runs_whole(layer: Layer, what: str) -> Numbers:
    """A composed layer: true sizes, zeros and no NaN from padding, a gradient for everything."""
    layer = shaken(layer).double().eval()
    x, mask = normal(BATCH, STEPS, layer.input_size, seed=19), padded_mask(LENGTHS, STEPS)
    ran = run_with_gradients(layer, x.masked_fill(~mask.unsqueeze(-1), float("nan")), mask=mask)
    output = one(ran.output)
    require(
        output.shape == (BATCH, STEPS, layer.output_size),
        f"{what}: output {list(output.shape)}, output_size {layer.output_size}",
    )
    if not torch.isfinite(output).all():
        alone = one(layer(x, mask=mask)[0])
        whole = bool(torch.isfinite(alone).all())
        reason = "NaN in the padding reaches the output" if whole else "the output is not finite"
        raise Failure(f"{what}: {reason}")
    final = layer.final_output(ran.state)
    require(
        final.shape == (BATCH, layer.final_size),
        f"{what}: final output {list(final.shape)}, final_size {layer.final_size}",
    )
    left = int(output.masked_fill(mask.unsqueeze(-1), 0.0).count_nonzero())
    require(left == 0, f"{what}: {left} outputs at padded steps are not 0")
    try:
        return {"parameters": require_gradients(layer, ran.gradients)}
    except Failure as failure:
        raise Failure(f"{what}: {failure}") from failure


def _in_wrapper(case: CellCase, *, name: str) -> Numbers:
    missing = needs_options("wrapper", name, 0)
    if missing:
        raise Skip(f"wrapper '{name}' cannot be built without {', '.join(missing)}")
    with registered("cell", case.part) as cell_name, seeded(4):
        wrapper = construct("wrapper", name)
        width = case.new().output_size
        try:
            layer = LayerFactory(case.spec(cell_name), (wrapper,), engine="loop")(width)
        except SeqlabError as error:
            if case.is_choosy():
                raise Skip(f"not built as wide as wrapper '{name}' needs it: {error}") from error
            raise Failure(f"wrapper '{name}' refuses the cell: {error}") from error
    return runs_whole(layer, f"in wrapper '{name}'")


def wrapper_checks(part: Any) -> Table:
    """One check a wrapper that ``part`` is tried in."""
    table = Table()
    for name in others("wrapper", part):
        text = (
            f"Inside the wrapper '{name}' sizes are true, padding is ignored, and all learns.\n\n"
            "Catches: cells that only work alone."
        )
        function = functools.partial(_in_wrapper, name=name)
        table.add(
            Check(f"wrapper_{name}", function, (*_LAYER_NEEDS, "fresh_has_new_weights"), text=text)
        )
    return table


def _under_head(case: LayerCase, *, name: str) -> Numbers:
    missing = needs_options("head", name, 2)
    if missing:
        raise Skip(f"head '{name}' cannot be built without {', '.join(missing)}")
    task = make_task(first_kind(registry.get("head", name).needs))
    with registered(case.kind, case.part) as part_name:
        head = {"name": name, **small_head(registry.get("head", name), {})}
        try:
            model = make_model(task, case.encoder_spec(part_name), head)
        except OptionError as error:
            if case.is_choosy():
                raise Skip(f"not built as wide as head '{name}' needs it: {error}") from error
            raise
    return learn(model, task)


def classification_checks(part: Any) -> Table:
    """The check of ``head_checks`` for classification alone."""
    return head_checks(part, ("classification",))


def head_checks(part: Any, names: tuple[str, ...] = ()) -> Table:
    """One check a head that ``part`` is tried under, or one each of those named."""
    table = Table()
    for name in names or others("head", part):
        text = (
            f"Under the head '{name}' the model learns five rows by heart.\n\n"
            "Catches: gradients that point elsewhere, states that carry nothing."
        )
        function = functools.partial(_under_head, name=name)
        table.add(
            Check(f"head_{name}", function, (*_LAYER_NEEDS, "gradients_are_exact"), text=text)
        )
    return table


BUNDLE_CHECKS = Table()


@BUNDLE_CHECKS.check(needs=("state_dict_round_trip", "head_classification"), slow=True)
def bundle_round_trip(case: LayerCase) -> Numbers:
    """A model with the part, saved as a bundle and loaded in a fresh process, predicts the same.

    Catches: options or weights that do not survive, parts that need what the author imported.
    """
    with registered(case.kind, case.part) as name:
        return through_a_bundle(
            case,
            name,
            make_task("label"),
            encoder=case.encoder_spec(name),
            head={"name": "classification"},
        )


SPEED_CHECKS = Table()


@SPEED_CHECKS.check()
def speed(case: CellCase) -> Numbers:
    """Forward and backward are timed beside ``torch.nn.LSTM`` of the same sizes; never fails.

    Catches: nothing; the ratio is for the report.
    """
    batch, steps, width = 16, 20, 32
    options = {**case.cell_options}
    try:
        layer = type(case)(case.part, {**options, "input_size": width, "hidden_size": width}).make(
            engine="auto"
        )
    except SeqlabError as error:
        raise Skip(f"not built at width {width}: {error}") from error
    x = normal(batch, steps, width, seed=23, dtype=torch.float32)
    vendor = nn.LSTM(width, width, batch_first=True)
    ours, theirs = _paired(lambda: layer(x)[0], lambda: vendor(x)[0])
    return {
        "milliseconds": 1e3 * ours,
        "nn_lstm_milliseconds": 1e3 * theirs,
        "ratio": ours / theirs,
    }


def _paired(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[float, float]:
    """Median seconds of two runs with their backward passes, measured in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(6):
        for run, kept in zip((first, second), times, strict=True):
            start = time.perf_counter()
            run().sum().backward()
            if turn:
                kept.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def _nested(case: WrapperCase, *, name: str) -> Numbers:
    missing = needs_options("wrapper", name, 0)
    if missing:
        raise Skip(f"wrapper '{name}' cannot be built without {', '.join(missing)}")
    count, refusals = 0.0, []
    for order in ("inside", "outside"):
        other = construct("wrapper", name)
        mine = case.wrapper()
        pair = (other, mine) if order == "outside" else (mine, other)
        for width in (5, 10, 3):
            with seeded(4):
                try:
                    layer = LayerFactory(dict(case.inner), pair, engine="loop")(width)
                except SeqlabError as error:
                    refusals.append(str(error))
                    continue
            where = f"{order} '{name}'"
            count += runs_whole(layer, where)["parameters"]
            break
        else:
            raise Failure(f"{order} '{name}' it cannot be built: {refusals[-1]}")
    return {"parameters": count}


def nesting_checks(part: Any) -> Table:
    """One check a wrapper, around and inside the one under test."""
    table = Table()
    for name in others("wrapper", part):
        text = (
            f"It works inside and outside of the wrapper '{name}'.\n\n"
            "Catches: wrappers that reach for a cell, or know what they contain."
        )
        function = functools.partial(_nested, name=name)
        table.add(Check(f"nests_with_{name}", function, _LAYER_NEEDS, text=text))
    return table
