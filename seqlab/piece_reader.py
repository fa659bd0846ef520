"""An encoder inside the encoder: a vector of an entry that is a sequence itself.

Such are the characters of a word, or a series of numbers of a length of its own.
``encoder.embedding.features.NAME`` says how the entries of a feature of pieces or of series are
read; ``size`` is of pieces alone:

```yaml
{size: 32, convolution: {width: 3, size: 64}, pooling: max}
{cell: {name: lstm, hidden_size: 50}, wrappers: [{name: bidirectional}]}
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.construct import construct
from seqlab.heads.dropout import dropout as make_dropout
from seqlab.heads.pooling import Poolings
from seqlab.layers.base import Layer
from seqlab.options.resolve import resolve_activation
from seqlab.schema import Count, check_value, with_defaults
from seqlab.types import Encoded, EncoderInfo, FeatureInfo, lengths_to_mask
from seqlab.wrappers.base import LayerFactory, require_joined

_DEFAULTS: Mapping[str, Any] = {
    "dropout": 0.0,
    "convolution": None,
    "cell": None,
    "wrappers": None,
    "pooling": None,
}
_CONVOLUTION: Mapping[str, Any] = {"width": 3, "size": 64, "activation": "relu"}
_CELL = {"name": "lstm", "hidden_size": 32}


class EntryReader(nn.Module):
    """Base of what reads each entry to one vector: convolved, run through a layer, pooled.

    Convolution and layer may each be left out; without both the layer is a bidirectional LSTM.

    Args:
        width: of a step of an entry, D.
        spec: the options, see the subclasses.
        where: the config key, for messages.
        engine: the engine of every recurrent layer.
    """

    def __init__(self, width: int, spec: Mapping[str, Any], where: str, engine: str) -> None:
        super().__init__()
        self.dropout = make_dropout(f"{where}.dropout", spec["dropout"])
        self.convolution = None
        if spec["convolution"] is not None:
            self.convolution = _Convolutions(width, spec["convolution"], f"{where}.convolution")
            width = self.convolution.output_size
        self.layer = _layer(spec, width, where, engine)
        info = EncoderInfo(width, width, (width,))
        if self.layer is not None:
            directions = tuple(self.layer.directions)
            directions = (0, *directions) if self.layer.reverse else directions
            info = EncoderInfo(self.layer.output_size, self.layer.final_size, directions)
        self.directions = info.directions
        usual = "max" if self.layer is None else "final_state"
        self.pooling = Poolings(info, spec["pooling"] or usual, where=f"{where}.pooling")
        self.output_size = self.pooling.output_size

    def pooled(self, x_NPD: Tensor, counts_N: Tensor) -> Tensor:
        """``[N, output_size]``: each entry by itself.

        Args:
            x_NPD: the entries' steps.
            counts_N: how many each has, from the left.
        """
        mask = lengths_to_mask(counts_N, x_NPD.shape[1])
        x = self.dropout(x_NPD)
        if self.convolution is not None:
            x = self.convolution(x, mask)
        x = x.masked_fill(~mask.unsqueeze(-1), 0.0)
        state, final = None, x.new_zeros(x.shape[0], x.shape[2])
        if self.layer is not None:
            x, state = self.layer(x, None, lengths=counts_N)
            final = self.layer.final_output(state)
        encoded = Encoded(x, state, final, counts_N, mask, self.directions)
        found: Tensor = self.pooling(encoded)
        return found


class PieceReader(EntryReader):
    """Each entry's pieces to one vector: embedded, then as ``EntryReader``.

    Equal entries of a batch are read once, and share their dropout.

    Args:
        feature: of kind ``pieces``.
        options: ``size`` of the pieces' vectors, ``dropout`` on them in training, ``convolution``
            (``{width: 3, size: 64, activation: relu}``, or a list of such, side by side), ``cell``
            and ``wrappers`` as those of the encoder, and ``pooling``: a registered one, or several;
            by default ``final_state`` of a layer, ``max`` of a convolution.
        where: the config key, for messages.
        engine: the engine of every recurrent layer.

    >>> feature = FeatureInfo("letters", "pieces", 30, longest=4)
    >>> reader = PieceReader(feature, {"convolution": {"size": 5}})
    >>> reader(torch.tensor([[[2, 7, 8, 0, 0], [0, 0, 0, 0, 0]]])).shape
    torch.Size([1, 2, 5])
    """

    def __init__(
        self,
        feature: FeatureInfo,
        options: Mapping[str, Any] | None = None,
        *,
        where: str = "encoder.embedding.features",
        engine: str = "auto",
    ) -> None:
        spec = with_defaults(options, {"size": 32, **_DEFAULTS}, where)
        width = check_value(spec["size"], Count, f"{where}.size")
        table = nn.Embedding(feature.size, width)
        super().__init__(width, spec, where, engine)
        self.table = table

    def forward(self, value_BTP: Tensor) -> Tensor:
        """``[B, T, 1 + longest]``, how many pieces and their ids, to ``[B, T, output_size]``."""
        entries = value_BTP.flatten(0, 1)
        if torch.compiler.is_exporting():
            found = self.read(entries[:, 1:], entries[:, 0])
        else:
            if not len(entries):
                return self.table.weight.new_zeros(*value_BTP.shape[:2], self.output_size)
            different, places = torch.unique(entries, dim=0, return_inverse=True)
            longest = max(1, int(different[:, 0].max()))
            found = self.read(different[:, 1 : 1 + longest], different[:, 0])[places]
        return found.reshape(*value_BTP.shape[:2], self.output_size)

    def read(self, ids_NP: Tensor, counts_N: Tensor) -> Tensor:
        """``[N, output_size]``: each entry by itself.

        Args:
            ids_NP: the entries' pieces.
            counts_N: how many each has, from the left.
        """
        mask = lengths_to_mask(counts_N, ids_NP.shape[1])
        return self.pooled(self.table(ids_NP.masked_fill(~mask, 0)), counts_N)


class SeriesReader(EntryReader):
    """Each entry's numbers to one vector, as ``EntryReader``.

    Args:
        feature: of kind ``series``.
        options: those of ``PieceReader``, without ``size``.
        where: the config key, for messages.
        engine: the engine of every recurrent layer.

    >>> feature = FeatureInfo("pulse", "series", 2, role="row", longest=3)
    >>> reader = SeriesReader(feature, {"cell": {"name": "gru", "hidden_size": 5}})
    >>> reader(torch.tensor([[[1.0, 0.5, -0.5, 0.0, 0.0, 0.0, 0.0]]])).shape
    torch.Size([1, 1, 5])
    """

    def __init__(
        self,
        feature: FeatureInfo,
        options: Mapping[str, Any] | None = None,
        *,
        where: str = "encoder.embedding.features",
        engine: str = "auto",
    ) -> None:
        super().__init__(feature.size, with_defaults(options, _DEFAULTS, where), where, engine)
        self.shape = feature.longest, feature.size

    def forward(self, value_BTP: Tensor) -> Tensor:
        """``[B, T, 1 + longest * D]``, how many steps and their numbers, to ``[B, T, S]``."""
        entries = value_BTP.flatten(0, 1)
        counts, x_NPD = entries[:, 0].long(), entries[:, 1:].reshape(-1, *self.shape)
        if not torch.compiler.is_exporting():
            if not len(entries):
                return value_BTP.new_zeros(*value_BTP.shape[:2], self.output_size)
            x_NPD = x_NPD[:, : max(1, int(counts.max()))]
        mask = lengths_to_mask(counts, x_NPD.shape[1])
        # a NaN behind an entry's end would pass through a convolution
        found = self.pooled(x_NPD.masked_fill(~mask.unsqueeze(-1), 0.0), counts)
        return found.reshape(*value_BTP.shape[:2], self.output_size)


class _Convolutions(nn.Module):
    """Convolutions over the pieces, side by side; the padding is zero."""

    def __init__(self, width: int, spec: Any, where: str) -> None:
        super().__init__()
        specs = list(spec) if isinstance(spec, Sequence) and not isinstance(spec, str) else [spec]
        options = [with_defaults(one, _CONVOLUTION, where) for one in specs]
        self.parts = nn.ModuleList(
            nn.Conv1d(
                width,
                check_value(one["size"], Count, f"{where}.size"),
                check_value(one["width"], Count, f"{where}.width"),
            )
            for one in options
        )
        self.activations = [
            resolve_activation(f"{where}.activation", one["activation"]) for one in options
        ]
        self.widths = [one["width"] for one in options]
        self.output_size = sum(one["size"] for one in options)

    def forward(self, x_NPD: Tensor, mask_NP: Tensor) -> Tensor:
        """``[N, P, output_size]``."""
        x_NDP = x_NPD.masked_fill(~mask_NP.unsqueeze(-1), 0.0).transpose(1, 2)
        found = [
            activation(part(F.pad(x_NDP, ((width - 1) // 2, width // 2))))
            for part, activation, width in zip(
                self.parts, self.activations, self.widths, strict=True
            )
        ]
        return torch.cat(found, dim=1).transpose(1, 2)


def _layer(spec: Mapping[str, Any], width: int, where: str, engine: str) -> Layer | None:
    """The recurrent layer, or None where there is a convolution alone."""
    cell, wrappers = spec["cell"], spec["wrappers"]
    if cell is None:
        if spec["convolution"] is not None:
            return None
        cell, wrappers = _CELL, wrappers or [{"name": "bidirectional"}]
    built = [
        construct("wrapper", one, where=f"{where}.wrappers[{place}]")
        for place, one in enumerate(check_value(wrappers or (), Sequence, f"{where}.wrappers"))
    ]
    named = {"name": cell} if isinstance(cell, str) else cell
    factory = LayerFactory(named, tuple(built), engine=engine, where=f"{where}.cell")
    return require_joined(factory(width), where)
