"""Which options of a gated cell the vendors' kernels compute."""

from __future__ import annotations

import functools
from typing import Any

from seqlab import registry
from seqlab.cells.base import VendorKernel
from seqlab.cells.gated import GatedCell
from seqlab.registry import spoken

#: What a subclass may override, so that a kernel no longer computes its step.
_EQUATIONS = (
    "project", "step", "step_with", "update", "second_input", "input_matrix", "recurrent_matrix",
)  # fmt: skip


def vendor_kernel(cell: GatedCell, name: str, **needed: str) -> VendorKernel:
    """The kernel ``name``, unless an option of the cell changes the step it computes.

    Args:
        cell: the cell with its options.
        name: the kernel that computes the cell's equations with default options.
        needed: options that must have this registered name, such as ``activation="tanh"``.
    """
    changed = _overridden(cell)
    if changed:
        return VendorKernel(None, f"{spoken('cell', cell)} overrides {changed}")
    for option, wanted in needed.items():
        # the function itself counts too: it may have been replaced since
        replaced = getattr(cell, option) is not _activation(wanted)
        if replaced or getattr(cell, f"{option}_spec") != wanted:
            return VendorKernel(None, f"the vendor's kernel has {option}={wanted} only")
    refused = _refused_option(cell)
    if refused is not None:
        return VendorKernel(None, f"the vendor's kernel has no {refused}")
    return VendorKernel(name)


def _refused_option(cell: GatedCell) -> str | None:
    """The first option in use that no kernel has; it is asked for in every step of streaming."""
    if cell.training:
        if cell.recurrent_dropout > 0:
            return "recurrent_dropout"
        if cell.untied_dropout and cell.dropout > 0 and len(cell.gates) > 1:
            return "untied_dropout"
    if cell.layer_norm:
        return "layer_norm"
    if cell.heads > 1:
        return "heads"
    if any(cell.zoneout) or cell.modifier is not None:
        return "zoneout" if any(cell.zoneout) else "modifier"
    narrows = cell.proj_size is None or (
        cell.projects_state and cell.output_size < cell.hidden_size
    )
    return None if narrows else "proj_size that does not narrow the state"


@functools.cache
def _activation(name: str) -> Any:
    return registry.get("activation", name)


def _overridden(cell: GatedCell) -> str | None:
    """The first of the equations that a class below the one which names the kernel overrides."""
    if not vars(cell).keys().isdisjoint(_EQUATIONS):
        return next(method for method in _EQUATIONS if method in vars(cell))
    for cls in type(cell).__mro__:
        if "vendor_kernel" in vars(cls):
            return None
        for method in _EQUATIONS:
            if method in vars(cls):
                return method
    return None
