"""Statistics of gates and units over all real steps."""

from __future__ import annotations

from typing import Any

from torch import Tensor

#: A gate nearer than this to its bound counts as closed or open (Karpathy et al., 2015).
_NEAR = 0.1
#: A unit is saturated if it is near a bound in this share of the steps.
_MOSTLY = 0.9
#: A unit is dead if its output moves less than this, in parts of the largest output.
_STILL = 1e-6


def gate_statistics(gate_BTH: Tensor, mask_BT: Tensor) -> dict[str, Any]:
    """Mean, spread, and the shares near the bounds, over real steps and units.

    A gate lies in 0..1, a candidate in -1..1; where values leave these bounds there are none, and
    the shares are None. ``by_step`` is the mean at each step, of the rows that have it.

    >>> import torch
    >>> gate = torch.tensor([[[0.02, 0.5], [0.98, 0.5]]])
    >>> found = gate_statistics(gate, torch.ones(1, 2, dtype=torch.bool))
    >>> found["closed"], found["open"]
    (0.25, 0.25)
    """
    values = gate_BTH[mask_BT]
    low = _lower_bound(values)
    shares: dict[str, float | None] = {"closed": None, "open": None}
    if low is not None:
        shares = {"closed": _mean(values < low + _NEAR), "open": _mean(values > 1 - _NEAR)}
    counts = mask_BT.sum(0)
    by_step = (gate_BTH.mean(2) * mask_BT).sum(0) / counts.clamp(min=1)
    return {
        "mean": _mean(values),
        "std": float(values.std(correction=0)) if values.numel() else None,
        "bounds": [low, 1.0] if low is not None else None,
        **shares,
        "by_step": by_step[counts > 0].tolist(),
    }


def _lower_bound(values: Tensor) -> float | None:
    """0 for values in 0..1, -1 for those in -1..1; None for others."""
    if not values.numel():
        return None
    least, most = float(values.min()), float(values.max())
    if most > 1 or least < -1:
        return None
    return 0.0 if least >= 0 else -1.0


def _mean(values: Tensor) -> float | None:
    return float(values.double().mean()) if values.numel() else None


def unit_statistics(output_BTE: Tensor, mask_BT: Tensor) -> dict[str, Any]:
    """Which units never move, and which stand near -1 or 1 almost always.

    >>> import torch
    >>> output = torch.tensor([[[0.0, 0.99, 0.3], [0.0, 0.97, -0.2]]])
    >>> unit_statistics(output, torch.ones(1, 2, dtype=torch.bool))["dead"]
    [0]
    """
    values = output_BTE[mask_BT]
    if not len(values):
        return {"units": output_BTE.shape[2], "dead": [], "saturated": []}
    span = values.amax(0) - values.amin(0)
    dead = span <= _STILL * values.abs().max()
    bounded = bool(values.abs().max() <= 1)
    near = (values.abs() > 1 - _NEAR).double().mean(0) >= _MOSTLY
    return {
        "units": values.shape[1],
        "dead": dead.nonzero().flatten().tolist(),
        "saturated": (near & ~dead).nonzero().flatten().tolist() if bounded else [],
    }
