"""The options of cells' base classes, one check each: they run, and they have an effect."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from seqlab.cells.base import Cell
from seqlab.cells.gated import GatedCell
from seqlab.construct import accepted_options
from seqlab.testing import option_trials as trial
from seqlab.testing.case import CellCase
from seqlab.testing.check_table import Check, Table
from seqlab.testing.result import Numbers, Skip

OptionTest = Callable[[CellCase, str, Any], Numbers]
#: Every option of the gated base, two of them every cell's: what is tried, how, what it must do.
OPTION_TESTS: dict[str, tuple[Any, OptionTest, str]] = {
    "activation": ("sigmoid", trial.function_option, "replaces the candidate's function"),
    "recurrent_activation": ("hard_sigmoid", trial.function_option, "replaces the gates' function"),
    "use_bias": (False, trial.use_bias, "takes the biases away"),
    "kernel_initializer": ("ones", trial.initializer, "fills the input matrix"),
    "recurrent_initializer": ("ones", trial.initializer, "fills the recurrent matrix"),
    "bias_initializer": ("ones", trial.initializer, "fills the biases"),
    "unit_forget_bias": (
        True,
        trial.unit_forget_bias,
        "adds 1 to a forget gate's bias, or is refused",
    ),
    "kernel_regularizer": ("l2", trial.regularizer, "penalises the input matrix"),
    "recurrent_regularizer": ("l2", trial.regularizer, "penalises the recurrent matrix"),
    "bias_regularizer": ("l2", trial.regularizer, "penalises the biases"),
    "activity_regularizer": ("l2", trial.regularizer, "penalises the output"),
    "kernel_constraint": ("non_neg", trial.constraint, "constrains the input matrix"),
    "recurrent_constraint": ("non_neg", trial.constraint, "constrains the recurrent matrix"),
    "bias_constraint": ("non_neg", trial.constraint, "constrains the biases"),
    "dropout": (trial.RATE, trial.dropout, "acts in training alone, with one mask for all steps"),
    "recurrent_dropout": (
        trial.RATE,
        trial.dropout,
        "acts in training alone, with one mask for all steps",
    ),
    "weight_dropout": (
        trial.RATE,
        trial.dropout,
        "acts in training alone, with one mask for all steps",
    ),
    "untied_dropout": (True, trial.untied_dropout, "draws a mask for each gate"),
    "zoneout": (0.3, trial.zoneout, "keeps old units at random in training, in part at inference"),
    "layer_norm": (True, trial.changes_output, "normalises both products"),
    "chrono": (9, trial.chrono, "sets the biases for long memory, or is refused"),
    "heads": (5, trial.heads, "makes the recurrent matrix block-diagonal"),
    "modifier": (
        "multiplicative_integration",
        trial.changes_output,
        "changes the gates' parts, or is refused",
    ),
    "proj_size": (2, trial.proj_size, "narrows the output, or is refused"),
}


def _try(case: CellCase, *, option: str) -> Numbers:
    value, test, _ = OPTION_TESTS[option]
    if option in case.cell_options:
        raise Skip(f"the cell is checked with {option}={case.cell_options[option]!r} as it is")
    return test(case, option, value)


def _try_flag(case: CellCase, *, option: str, default: bool) -> Numbers:
    if option in case.cell_options:
        raise Skip(f"the cell is checked with {option}={case.cell_options[option]!r} as it is")
    return trial.own_flag(case, option, not default)


def option_checks(part: Any) -> Table:
    """One check an option of the cell's base class, and one a flag that the class adds."""
    table = Table()
    needs = ("parameters_get_gradients", "rows_do_not_mix", "same_seed_same_weights")
    gated = inspect.isclass(part) and issubclass(part, GatedCell)
    every = part.options_for_all if inspect.isclass(part) and issubclass(part, Cell) else ()
    for option, (value, _, effect) in OPTION_TESTS.items():
        if not gated and option not in every:
            continue
        text = (
            f"The option ``{option}={value!r}`` {effect}.\n\n"
            f"Catches: equations or constructors that pass {option} by."
        )
        function = functools.partial(_try, option=option)
        table.add(Check(f"option_{option}", function, needs, text=text))
    for option, parameter in accepted_options(part).items():
        if isinstance(parameter.default, bool) and not (gated and option in OPTION_TESTS):
            text = (
                f"The flag ``{option}={not parameter.default}`` changes parameters or output.\n\n"
                "Catches: a flag that is stored and never read."
            )
            flag = functools.partial(_try_flag, option=option, default=parameter.default)
            table.add(Check(f"option_{option}", flag, needs, text=text))
    return table
