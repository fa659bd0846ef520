"""The kit: for every kind of part its table of checks, and the functions that run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from seqlab import registry
from seqlab.errors import OptionError
from seqlab.testing import cells, wrappers
from seqlab.testing.case import Case, CellCase, WrapperCase
from seqlab.testing.check import Check, Run, Table
from seqlab.testing.engine_runs import engine_checks
from seqlab.testing.layers import LAYER_CHECKS
from seqlab.testing.models import BUNDLE_CHECKS, SPEED_CHECKS, head_checks, nesting_checks, wrapper_checks
from seqlab.testing.options import option_checks
from seqlab.testing.result import CheckResult, Settings
from seqlab.testing.weights import WEIGHT_CHECKS


def cell_table(part: Any) -> Table:
    """All checks of a cell."""
    return Table(
        cells.CONTRACT,
        LAYER_CHECKS,
        WEIGHT_CHECKS,
        cells.STEP_CHECKS,
        engine_checks(),
        option_checks(part),
        wrapper_checks(),
        head_checks(),
        BUNDLE_CHECKS,
        SPEED_CHECKS,
    )

def wrapper_table(part: Any) -> Table:
    return Table(
        wrappers.CONTRACT,
        LAYER_CHECKS,
        WEIGHT_CHECKS,
        wrappers.WRAPPER_CHECKS,
        nesting_checks(),
        head_checks(("classification",)),
        BUNDLE_CHECKS,
    )

def check_cell(cell_class: Any, *, settings: Settings | None = None, **options: Any) -> list[CheckResult]:
    table = cell_table(cell_class)
    return Run(table.checks, CellCase(cell_class, options), settings or Settings()).results()
def check_wrapper(cell_class: Any, *, settings: Settings | None = None, **options: Any) -> list[CheckResult]:
    table = wrapper_table(cell_class)
    return Run(table.checks, WrapperCase(cell_class, options), settings or Settings()).results()
