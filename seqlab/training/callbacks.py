"""What happens beside the training loop: the base class, and building what a spec names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytorch_lightning as pl
from torch import nn

from seqlab.construct import build_part, switched_parts
from seqlab.errors import OptionError
from seqlab.heads.base import Head

#: What a callback must be at least.
LightningCallback = pl.Callback
#: Keys of ``callbacks`` that are settings of every run and no parts.
SETTINGS = ("checkpoint", "progress")


class Callback(pl.Callback):
    """Acts at points of a run: Lightning's hooks, with a name; registered kind ``callback``.

    Any callback of Lightning's can be registered as it is; this class adds what a run of seqlab's
    can tell it. Options are keyword arguments of ``__init__``.

    A resumed run ends bit-identical to an unbroken one if ``state_dict`` returns all that the
    callback keeps between steps, as plain values and tensors, and ``load_state_dict`` takes it
    back. A run may be resumed before any batch. ``on_train_start`` is then called again, hooks of
    an epoch or a batch that were called before are not. Random numbers need no care: all generators
    are set anew before each batch.

    Class attributes:
        needs_validation: it is left out of a run without validation rows.
        needs_whole_weights: it reads or keeps weights, and is refused where each process has a
            share of them (``trainer.strategy=fsdp``).
        options_may_change: a resumed run may give it other options, which hold from there on.

    Example:
        >>> class StopAt(Callback):
        ...     def __init__(self, *, loss: float = 0.1) -> None:
        ...         self.loss = loss
        ...     def on_validation_end(self, trainer, pl_module):
        ...         if trainer.callback_metrics["val_loss"] < self.loss:
        ...             trainer.should_stop = True
        ...             self.reason = f"the validation loss is below {self.loss}"
    """

    needs_validation: ClassVar[bool] = False
    needs_whole_weights: ClassVar[bool] = False
    options_may_change: ClassVar[bool] = False
    #: Why it stopped the run, in words; None while it has not.
    reason: str | None = None

    @contextlib.contextmanager
    def measured_weights(self, module: nn.Module) -> Iterator[None]:
        """Put the weights that validation measures into a module, where they are not the run's own.

        Args:
            module: what is trained.
        """
        del module
        yield

    def end_with(self, module: nn.Module) -> None:
        """Leave in a module what a run without validation rows is to end with.

        Args:
            module: what was trained.
        """

    def prepare(self, head: Head, where: str) -> None:
        """Look at the task before the run begins, and refuse options that do not fit it.

        Args:
            head: whose metrics validation measures.
            where: the key of its options, for messages.
        """


def build_callbacks(
    spec: Mapping[str, Any] | None, head: Head, *, validates: bool
) -> list[pl.Callback]:
    """The callbacks that a spec names, in its order.

    Args:
        spec: the node ``callbacks``.
        head: the task.
        validates: whether the run has validation rows.

    Raises:
        SeqlabError: a name or an option is unknown or refused, or two have their state in one
            place.
    """
    found: list[pl.Callback] = []
    keys: dict[str, str] = {}
    for key, name, options in switched_parts("callback", spec, "callbacks", apart=SETTINGS):
        made = build_part("callback", name, options, where=key)
        if not isinstance(made, pl.Callback):
            raise OptionError(f"{key}: '{name}' is no callback of Lightning's or seqlab's")
        if isinstance(made, Callback):
            if made.needs_validation and not validates:
                continue
            made.prepare(head, key)
        other = keys.setdefault(made.state_key, key)
        if other != key:
            raise OptionError(f"{key}: is the same callback as {other}; one of them is enough")
        found.append(made)
    return found
