"""Hooks of a cell, which its layer runs, as nothing calls a cell."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def run_hooks(cell: Any, *inputs: Tensor) -> None:
    """Run the forward pre-hooks of a cell, as torch does for modules that are called.

    By such hooks ``torch.nn.utils.prune`` and the older norms of weights make a weight of its
    parts before each run. What a hook returns is not used.

    Args:
        cell: the cell.
        inputs: what the layer was called with, for the hooks to see.
    """
    hooks = cell._forward_pre_hooks  # noqa: SLF001  # torch's
    if not hooks:
        return
    for key, hook in tuple(hooks.items()):
        if key in cell._forward_pre_hooks_with_kwargs:  # noqa: SLF001  # torch's
            hook(cell, inputs, {})
        else:
            hook(cell, inputs)
