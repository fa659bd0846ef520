"""The optimiser Lion and the callback AutoClip for seqlab."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from seqlab import Callback
from seqlab.schema import Fraction, NonNegative, Positive, Range


class Lion(torch.optim.Optimizer):
    """Lion, which steps by the sign of an interpolated momentum (Chen et al., 2023).

        u_t = sign(b1 m_{t-1} + (1 - b1) g_t)
        w_t = w_{t-1} - lr (u_t + decay w_{t-1})
        m_t = b2 m_{t-1} + (1 - b2) g_t

    The authors take a rate 3 to 10 times smaller, and a decay as much larger, than for AdamW.

    Args:
        params: what is trained.
        lr: how far every weight moves in a step.
        betas: b1 and b2.
        weight_decay: ``decay``, of matrices.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> weight.grad = torch.tensor([0.3, -50.0])
        >>> Lion([weight], lr=0.5).step()
        >>> weight.tolist()
        [0.5, -1.5]
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: Positive = 3e-4,
        betas: tuple[Fraction, Fraction] = (0.9, 0.99),
        weight_decay: NonNegative = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what ``closure`` does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            first, second = group["betas"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                momentum = state.setdefault("momentum", torch.zeros_like(weight))
                update = torch.lerp(weight.grad, momentum, first).sign_()
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(update, alpha=group["lr"])
                momentum.lerp_(weight.grad, 1 - second)
        return loss


class AutoClip(Callback):
    """Clips gradients to a percentile of all norms so far (Seetharaman et al., 2020).

    It comes before ``trainer.gradient_clip_val``, which then still holds.

    Args:
        percentile: of the norms of the steps so far, this one's included.
    """

    def __init__(self, *, percentile: Annotated[float, Range(above=0, most=100)] = 10.0) -> None:
        self.percentile = percentile
        self.norms: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Clip what the optimiser is about to use."""
        del trainer, optimizer
        weights = [weight for weight in pl_module.parameters() if weight.grad is not None]
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights])
        if not torch.isfinite(norm):
            return  # the run's own check says so
        self.norms.append(float(norm))
        seen = torch.tensor(self.norms, dtype=torch.float64)
        limit = float(torch.quantile(seen, self.percentile / 100))
        torch.nn.utils.clip_grads_with_norm_(weights, limit, norm)

    def state_dict(self) -> dict[str, Any]:
        """The norms so far."""
        return {"norms": list(self.norms)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.norms = list(state_dict["norms"])
