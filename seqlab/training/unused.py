"""Parameters without a gradient, which the other processes of a run would wait for.

DDP averages gradients once all have come. Where one is missing in a process, that process goes on,
and the others wait for it; at the next batch torch says so, or nobody ever does.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy
from torch import nn
from torch.autograd.graph import get_gradient_edge

from seqlab.errors import ConfigError

_FEW = 5


class GradientWatch:
    """Which of a model's parameters the backward passes reach.

    Args:
        model: its parameters that are trained are watched.
    """

    def __init__(self, model: nn.Module) -> None:
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in trained]
        self._seen: set[str] = set()
        # of the nodes that DDP counts too: a gradient of None counts, where a node was reached
        self._nodes = [get_gradient_edge(parameter).node for _, parameter in trained]
        for name, node in zip(self.names, self._nodes, strict=True):
            node.register_hook(partial(self._reached, name))

    def _reached(self, name: str, *_: Any) -> None:
        self._seen.add(name)

    def check(self) -> None:
        """After a backward pass.

        Raises:
            ConfigError: it did not reach some parameters; the message names them.
        """
        if len(self._seen) < len(self.names):
            raise ConfigError(_text([name for name in self.names if name not in self._seen]))
        self._seen.clear()


def _text(missing: list[str]) -> str:
    named = ", ".join(missing[:_FEW])
    more = f" and {len(missing) - _FEW} more" if len(missing) > _FEW else ""
    return (
        f"{named}{more}: no gradient in a batch, and other processes wait for it; use "
        "trainer.strategy=ddp_find_unused_parameters_true, or let every batch use the parameter"
    )


def gradient_watch(trainer: pl.Trainer, model: nn.Module) -> GradientWatch | None:
    """What watches a run; None for one that waits for no missing gradient."""
    strategy = trainer.strategy
    if not isinstance(strategy, DDPStrategy) or trainer.world_size == 1:
        return None
    waits = not strategy._ddp_kwargs.get("find_unused_parameters")  # noqa: SLF001
    return GradientWatch(model) if waits else None
