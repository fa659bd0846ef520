"""Weights of a run in shares, one for each process: torch's ``fully_shard`` (FSDP2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import nn

from seqlab.errors import ConfigError
from seqlab.model import SequenceModel
from seqlab.registry import spoken
from seqlab.training.callbacks import Callback


class ShardedStrategy(ModelParallelStrategy):
    """Each process keeps a share of weights, gradients and the optimiser's state.

    For a step the weights are gathered, and the mean of the gradients goes to who keeps the share.
    A checkpoint is one file with all, as without shares.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """As many shares as there are processes."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


def is_sharded(strategy: Any) -> bool:
    """Whether the processes of a strategy share weights."""
    return isinstance(strategy, ShardedStrategy)


def shard(model: SequenceModel, strategy: Any) -> None:
    """Leave this process its share of a model's weights; nothing without such a strategy.

    The model is one group: layers read each other's weights (tied tables), and engines take those
    of a cell without calling it.
    """
    if not isinstance(strategy, ShardedStrategy):
        return
    # slow to import
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    fully_shard(model, mesh=strategy.device_mesh["data_parallel"], reshard_after_forward=False)
    register_fsdp_forward_method(model, "loss")


def gather(model: Any) -> None:
    """Have all weights here, until ``release``, so that nobody waits for others in a batch.

    Processes may have unequal numbers of batches to measure. A model without shares stays as it is.
    """
    if hasattr(model, "unshard"):
        with torch.inference_mode(mode=False):  # training reads the same memory
            model.unshard()


def release(model: Any) -> None:
    """Leave this process its share again."""
    if hasattr(model, "reshard"):
        model.reshard()


def fill(model: SequenceModel, sharded: nn.Module) -> None:
    """Give a whole model the weights that lie in shares; in all processes at once."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True)
    model.load_state_dict(get_model_state_dict(sharded, options=options))


def check_parts(strategy: Any, model: nn.Module, callbacks: Iterable[pl.Callback]) -> None:
    """Refuse what a run cannot have where weights lie in shares.

    Raises:
        ConfigError: a callback reads or keeps weights, or some weights may have no gradient in the
            batch of one process, which the others would wait for.
    """
    if not is_sharded(strategy):
        return
    where = "trainer.strategy=fsdp: weights lie in shares"
    for callback in callbacks:
        if isinstance(callback, Callback) and callback.needs_whole_weights:
            name = spoken("callback", callback)
            raise ConfigError(
                f"{where}, and {name} needs them whole; leave it out, or use trainer=ddp"
            )
    if leaves_unused(model):
        raise ConfigError(
            f"{where}, and an adaptive softmax leaves some without a gradient; leave out "
            "head.cutoffs, or use trainer=ddp"
        )


def leaves_unused(model: nn.Module) -> bool:
    """Whether some parameters get no gradient in some batches."""
    # a cluster of an adaptive softmax has none where no target is in it
    return any(isinstance(module, nn.AdaptiveLogSoftmaxWithLoss) for module in model.modules())
