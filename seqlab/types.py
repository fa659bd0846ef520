"""The values that pass between parts. `data` and `model` meet only here.

B batch, T time, D features, E encoder output, C classes, U target time, V vocabulary.
Padding is described by ``lengths`` or ``mask``, never by a magic value in the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from seqlab.bounds import Positive, Whole
from seqlab.target_names import SOLE

#: A recurrent state: a NamedTuple of ``[B, ...]`` tensors, or a tuple of such states.
State = Any
#: Where tensors are put, and their type; None: where and as the parameters are.
Device = torch.device | str | None
DType = torch.dtype | None


@dataclass(frozen=True)
class FeatureInfo:
    """One input feature.

    ``ids`` are ``[B, T]`` int64 below ``size``, ``numeric`` is ``[B, T, D]`` float, size = D,
    ``pieces`` are ``[B, T, 1 + longest]`` int64: of each entry how many ids it has, and these, and
    ``series`` ``[B, T, 1 + longest * D]`` float: of each how many steps it has, and their numbers.

    Args:
        name: the feature's.
        kind: ``ids``, ``numeric``, ``pieces`` or ``series``.
        size: V or D.
        role: ``step``: an entry for each of the T steps; ``row``: one entry, which stands beside
            every step; ``ahead``: an entry for each of the steps to come, for the head alone.
        row_scale: how the model brings each row to a size of its own: ``none``, ``mean`` or
            ``standard``, see ``seqlab.row_scales``.
        longest: of ``pieces`` and ``series``, the most ids or steps of an entry.
    """

    name: str
    kind: str
    size: int
    role: str = "step"
    row_scale: str = "none"
    longest: int = 0


@dataclass(frozen=True)
class TargetStatistics:
    """What the training rows say of a target; what was not counted is empty.

    Args:
        counts: of classes or tags: how many rows (of tags: steps) have each.
        total: the rows (of tags: steps) that were counted.
        mean, std: of ``values``, one number a value; of ``horizon``, those by which the input
            that it goes on with is scaled.
        length: of ``tokens``: ``(per_step, extra)``. No training row has more than
            ``per_step * T + extra`` tokens for T input steps.
    """

    counts: tuple[int, ...] = ()
    total: Whole = 0
    mean: tuple[float, ...] = ()
    std: tuple[Positive, ...] = ()
    length: tuple[float, ...] = ()


@dataclass(frozen=True)
class TargetInfo:
    """What a head must predict.

    ``kind``: ``label`` (``[B]`` int64), ``labels`` (``[B, C]`` float 0/1), ``tags`` (``[B, T]``
    int64), ``tokens`` (``[B, U]`` int64, without begin and end marks), ``values`` (``[B, C]``
    float), ``step_values`` (``[B, T, C]`` float), ``horizon`` (``[B, H, C]`` float, H ``steps``
    that come after those of the feature named ``feature``) or ``inputs`` (``[B, T]`` int64, the ids
    of the feature named ``feature``, marks included). NaN stands for numbers that are not known.
    ``size`` counts classes, tags, vocabulary or numbers; ``names`` are the classes or tags in
    order. ``bos`` and ``eos`` are ids inside the vocabulary of ``tokens`` and ``inputs``. ``unit``
    is what people call one entry of it. ``statistics`` are those of the training rows, for defaults
    that follow the data. ``copies``, of ``tokens`` that may be copied from the feature named
    ``feature``, is the id of the same token for each of that feature's ids. Several targets are one
    of kind ``joint``: ``parts`` has each by its name, and ``size`` is their number.
    """

    kind: str
    size: int
    names: tuple[str, ...] = ()
    bos: int | None = None
    eos: int | None = None
    statistics: TargetStatistics = TargetStatistics()
    feature: str = ""
    unit: str = "token"
    steps: int = 0
    copies: tuple[int, ...] = ()
    parts: Mapping[str, TargetInfo] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, TargetInfo]:
        """Each target by its name; a sole one by the name ``""``."""
        return dict(self.parts) if self.parts else {SOLE: self}


class Writer:
    """Ids to text, by what belongs to the data; copies of a model share it.

    Args:
        decode: the ids of one answer to what people read.
    """

    def __init__(self, decode: Callable[[Sequence[int]], Any]) -> None:
        self.decode = decode

    def __call__(self, ids: Sequence[int]) -> str:
        """The text."""
        return str(self.decode(ids))

    def __deepcopy__(self, memo: Any) -> Writer:
        return self


@dataclass(frozen=True)
class DataInfo:
    """All that a model needs to know of its data to be built; stored in the bundle."""

    features: tuple[FeatureInfo, ...]
    target: TargetInfo


class TargetValues(NamedTuple):
    """One of several targets of a batch, as ``Batch`` holds a sole one."""

    target: Tensor | None
    target_lengths: Tensor | None = None
    references: list[list[list[int]]] | None = None
    source_tokens: list[list[str]] | None = None

    def apply(self, function: Callable[[Tensor], Tensor]) -> TargetValues:
        """The same with a function applied to every tensor."""
        lengths = self.target_lengths
        return self._replace(
            target=None if self.target is None else function(self.target),
            target_lengths=None if lengths is None else function(lengths),
        )


@dataclass(frozen=True)
class Batch:
    """A batch of sequences.

    Args:
        inputs: feature name to ``[B, T]`` int64 ids or ``[B, T, D]`` float values.
        lengths: ``[B]`` int64, the number of real steps, from the left.
        target: the tensor described by ``TargetInfo``, or None when predicting.
        target_lengths: ``[B]`` int64 for ``tokens``, else None.
        references: for ``tokens``, and for ``label`` with several accepted classes, every accepted
            answer of each row as id lists, or None.
        source_tokens: for ``tokens`` that may be copied: the token of each step of each row's
            source, as text. In ``references`` the id V + 1 + t then is a word that the vocabulary
            has not, and the source has first at its step t.
        rows: each row's position in its data set, ``[B]`` int64, or None.
        starts: of chunks of rows, whether the rows start here, or go on from the batch before;
            None: the batch has whole rows. ``target_lengths`` are then those of ``target``, which
            may go a step beyond the inputs.
        targets: of a model with several targets, each by its name; ``target`` is then None.
        weights: ``[B]`` floats, how often each row counts in the loss; None: once.
    """

    inputs: dict[str, Tensor]
    lengths: Tensor
    target: Tensor | None = None
    target_lengths: Tensor | None = None
    references: list[list[list[int]]] | None = field(default=None, repr=False)
    source_tokens: list[list[str]] | None = field(default=None, repr=False)
    rows: Tensor | None = None
    starts: bool | None = None
    targets: Mapping[str, TargetValues] = field(default_factory=dict)
    weights: Tensor | None = None

    @property
    def size(self) -> int:
        """The number of rows, B."""
        return int(self.lengths.shape[0])

    def apply(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with a function applied to every tensor."""

        def maybe(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else function(tensor)

        return replace(
            self,
            inputs={name: function(value) for name, value in self.inputs.items()},
            lengths=function(self.lengths),
            target=maybe(self.target),
            target_lengths=maybe(self.target_lengths),
            rows=maybe(self.rows),
            weights=maybe(self.weights),
            targets={name: values.apply(function) for name, values in self.targets.items()},
        )

    def of_target(self, name: str) -> Batch:
        """The batch with one of several targets as its sole one; with none if it has it not."""
        values = self.targets.get(name, TargetValues(None))
        return replace(self, targets={}, **values._asdict())

    def without_targets(self) -> Batch:
        """The same inputs, as when predicting."""
        return replace(self, **TargetValues(None)._asdict(), targets={})

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The same batch on another device."""
        return self.apply(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory, for fast copies to a GPU."""
        return self.apply(Tensor.pin_memory)


#: The direction of time in which all of a layer runs, or both.
Reads = Literal["forward", "backward", "both"]


class Reading(NamedTuple):
    """What a model asks of rows in chunks.

    ``reads``: backward, it begins with the last. ``measures``: whether it is measured by chunks,
    too; else on whole rows.
    """

    reads: Reads
    measures: bool


class Encoded(NamedTuple):
    """What an encoder hands to a head.

    ``output`` is ``[B, T, E]``, zero at padded steps; ``state`` the layer's final state;
    ``final`` ``[B, S]`` the final hidden state of the last layer, directions joined;
    ``mask`` ``[B, T]`` bool, True = real. ``directions`` are the widths of the parts that lie side
    by side in ``output``, in turn forward and backward in time: ``(E,)``, ``(F, B)``, or
    ``(0, E)`` for a backward part alone. ``inputs`` are those of the batch. ``ahead`` ``[B, H, K]``
    is what is known of the steps to come, embedded and joined; ``scales`` are the center and the
    size ``[B, 1, D]`` by which rows of a feature were scaled.
    """

    output: Tensor
    state: State
    final: Tensor
    lengths: Tensor
    mask: Tensor
    directions: tuple[int, ...]
    inputs: Mapping[str, Tensor] = MappingProxyType({})
    ahead: Tensor | None = None
    scales: Mapping[str, tuple[Tensor, Tensor]] = MappingProxyType({})


@dataclass(frozen=True)
class EncoderInfo:
    """What a head needs to be built before any data is seen (see ``Encoded``).

    Args:
        output_size: E.
        final_size: S.
        directions: the widths of the output's parts, in turn forward and backward in time.
        embeddings: the widths of the tables of ``ids`` features, by name.
        one_sided: whether each part sees its own side alone: forward parts no later step,
            backward parts no earlier one.
        ahead_size: K, the width of what is known of a step to come; 0 for nothing.
    """

    output_size: int
    final_size: int
    directions: tuple[int, ...]
    embeddings: Mapping[str, int] = field(default_factory=dict)
    one_sided: bool = True
    ahead_size: int = 0


def lengths_to_mask(lengths: Tensor, steps: int) -> Tensor:
    """``[B]`` lengths to a ``[B, T]`` boolean mask, True = real.

    >>> lengths_to_mask(torch.tensor([2, 0]), 3).int().tolist()
    [[1, 1, 0], [0, 0, 0]]
    """
    return torch.arange(steps, device=lengths.device) < lengths.unsqueeze(1)
