"""Which options of a gated cell the vendors' kernels compute."""

from __future__ import annotations

from seqlab.cells.base import VendorKernel
from seqlab.cells.gated import GatedCell


def vendor_kernel(cell: GatedCell, name: str, **needed: str) -> VendorKernel:
    """The kernel ``name``, unless an option of the cell changes the step it computes.

    Args:
        cell: the cell with its options.
        name: the kernel that computes the cell's equations with default options.
        needed: options that must have this registered name, such as ``activation="tanh"``.
    """
    for option, wanted in needed.items():
        if getattr(cell, f"{option}_spec") != wanted:
            return VendorKernel(None, f"the vendor's kernel has {option}={wanted} only")
    changed = {
        "recurrent_dropout": cell.recurrent_dropout > 0,
        "layer_norm": cell.layer_norm,
        "zoneout": any(cell.zoneout),
    }
    for option, on in changed.items():
        if on:
            return VendorKernel(None, f"the vendor's kernel has no {option}")
    return VendorKernel(name)
