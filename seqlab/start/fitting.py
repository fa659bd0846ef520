"""The numbers of a finished model's weights in the places of a new one's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from seqlab.bundle import TrainedModel
from seqlab.data.processor import Processor
from seqlab.errors import ConfigError
from seqlab.model import SequenceModel
from seqlab.start.axes import entry_axes, target_axis
from seqlab.start.parts import paired_tables
from seqlab.start.sizes import blocks, overlap
from seqlab.start.spec import StartSpec
from seqlab.start.wording import encoder_text, size_text

#: What became of a weight: taken whole, by entries of a vocabulary, in part, or drawn.
How = Literal["taken", "entries", "resized", "new"]


class Taken(NamedTuple):
    """What became of a weight.

    Args:
        tensor: its name.
        how: ``taken`` whole, by ``entries`` of a vocabulary, ``resized``, or ``new``.
        detail: how much of it, in words.
        numbers: how many numbers of it come from the bundle.
    """

    tensor: str
    how: How
    detail: str
    numbers: int


class _Places(NamedTuple):
    """Places along an axis here, and those there that go into them."""

    here: Tensor
    there: Tensor
    how: How
    note: str = ""


class Fit:
    """Where the numbers of each weight lie in the bundle's.

    Args:
        start: the run's key ``start``.
        trained: the bundle.
        model: whose weights are to be filled.
        processor: of the new data.
        spec: the run's spec.
    """

    def __init__(
        self,
        start: StartSpec,
        trained: TrainedModel,
        model: SequenceModel,
        processor: Processor,
        spec: Mapping[str, Any],
    ) -> None:
        self.spec, self.model, self.other = start, model, trained.model
        self._their_encoder = trained.config["encoder"]
        self.theirs = trained.model.state_dict()
        self.tables = paired_tables(model, trained.model)
        axes = {target_axis(name) for name in processor.targets}
        self.pairs = {**self.tables, **{axis: axis for axis in axes}}
        self.names = self._table_names()
        self.axes = entry_axes(spec, processor.info)
        self.other_axes = entry_axes(trained.config, trained.processor.info)
        self.entries = entries_of(processor)
        self.other_entries = entries_of(trained.processor)

    def _table_names(self) -> dict[str, str]:
        """The table of each feature under the name that it has in the bundle."""
        mine, other = list(self.model.encoder.tables()), list(self.other.encoder.tables())
        name = "encoder.embeddings.{}.weight".format
        return {name(mine.index(a)): name(other.index(b)) for a, b in self.tables.items()}

    def copy(self, name: str, tensor: Tensor) -> Taken:
        """Fill a weight with what the bundle has for it.

        Raises:
            ConfigError: it has another size, or other entries in places that cannot be told.
        """
        other = self.names.get(name, name)
        if name.startswith("encoder.embeddings.") and name not in self.names:
            return Taken(name, "new", "the bundle has no such feature", 0)
        if other not in self.theirs:
            return Taken(name, "new", "the bundle has none", 0)
        value = self.theirs[other]
        if value.dim() != tensor.dim():
            raise self._refusal(name, tensor, value)
        axes = [self._places(name, other, axis, tensor, value) for axis in range(tensor.dim())]
        here = torch.meshgrid(*(axis.here for axis in axes), indexing="ij")
        there = torch.meshgrid(*(axis.there for axis in axes), indexing="ij")
        tensor[here] = value[there].to(tensor)
        notes = dict.fromkeys(axis.note for axis in axes if axis.note)
        hows = {axis.how for axis in axes}
        how: How = "resized" if "resized" in hows else "entries" if "entries" in hows else "taken"
        numbers = math.prod(len(axis.here) for axis in axes)
        return Taken(name, how if numbers else "new", ", ".join(notes), numbers)

    def _places(self, name: str, other: str, axis: int, tensor: Tensor, value: Tensor) -> _Places:
        """Which places along an axis both weights have."""
        size, his = tensor.shape[axis], value.shape[axis]
        if (found := self._entries(name, other, axis)) is not None:
            here, there = found
            if len(here) == size:
                return _Places(here, there, "taken")
            return _Places(here, there, "entries", f"{len(here):,} of {size:,}")
        if size == his:
            return _Places(torch.arange(size), torch.arange(size), "taken")
        ours, theirs = blocks(self.model, name, axis), blocks(self.other, other, axis)
        if self.spec.sizes == "refuse" or len(ours) != len(theirs):
            raise self._refusal(name, tensor, value)
        return _Places(*overlap(ours, theirs), "resized", f"was {size_text(value)}")

    def _entries(self, name: str, other: str, axis: int) -> tuple[Tensor, Tensor] | None:
        """The places of entries that both have; None where the axis has no entries."""
        mine, his = self.axes.get(name, {}).get(axis), self.other_axes.get(other, {}).get(axis)
        if mine is None and his is None:
            return None
        known = mine is not None and his is not None and self.pairs.get(mine.over) == his.over
        if not known or mine is None or his is None:
            raise ConfigError(
                f"start: {name} does not run over the same entries here and in {self.spec.bundle}; "
                "leave it out of start.parts"
            )
        ours, theirs = self.entries[mine.over], self.other_entries[his.over]
        if ours == theirs:
            return None
        if not (mine.exact and his.exact):
            raise ConfigError(
                f"start: {name} has no place of its own for each entry, so the entries must be "
                f"those of {self.spec.bundle}; leave it out of start.parts, or use "
                "start.vocabulary=keep with data of the same labels"
            )
        where = {entry: index for index, entry in enumerate(theirs)}
        shared = [(index, where[entry]) for index, entry in enumerate(ours) if entry in where]
        columns = torch.tensor(shared, dtype=torch.long).reshape(-1, 2)
        return columns[:, 0], columns[:, 1]

    def _refusal(self, name: str, tensor: Tensor, value: Tensor) -> ConfigError:
        theirs = encoder_text(self._their_encoder) if name.startswith("encoder.") else "another"
        return ConfigError(
            f"start: {name} is {size_text(tensor)} here and {size_text(value)} in "
            f"{self.spec.bundle}, whose encoder is {theirs}; make the sizes equal, leave the part "
            "out of start.parts, or use start.sizes=resize"
        )


def entries_of(processor: Processor) -> dict[str, list[str]]:
    """The entries of each vocabulary, and of each target, in the order of their ids."""
    made = {feature.name: feature.tokenizer for feature in processor.features}
    made |= {target_axis(name): target.tokenizer for name, target in processor.targets.items()}
    found = {
        name: [tokenizer.entry(index) for index in range(tokenizer.size)]
        for name, tokenizer in made.items()
        if tokenizer is not None
    }
    for name, info in processor.info.target.named.items():
        axis = target_axis(name)
        if info.names:
            found[axis] = list(info.names)
        elif axis not in found:
            found[axis] = [str(index) for index in range(info.size)]
    return found
