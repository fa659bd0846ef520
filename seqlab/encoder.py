"""The encoder: features side by side, and a layer that reads them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.encoder_features import (
    READERS,
    beside_steps,
    checked_value,
    embedding_options,
    feature_options,
    features_ahead,
    joined_width,
    piece_readers,
    widths,
)
from seqlab.errors import OptionError, ShapeError
from seqlab.heads.dropout import dropout as make_dropout
from seqlab.layers.base import Layer
from seqlab.options.resolve import resolve_activation
from seqlab.piece_reader import EntryReader
from seqlab.row_scales import row_scale
from seqlab.schema import Count, Flag, check_value, with_defaults
from seqlab.types import (
    Batch,
    Encoded,
    EncoderInfo,
    FeatureInfo,
    State,
    lengths_to_mask,
)

_DEFAULT_INPUT_LAYER: Mapping[str, Any] = {"size": None, "activation": "linear"}


class Encoder(nn.Module):
    """Features to one sequence of vectors, through a layer.

    Each ``ids`` feature is looked up in a table of its own, ``numeric`` features stand as they
    are, or scaled row by row, ``pieces`` and ``series`` are read by encoders of their own; all are
    joined step by step, optionally projected, and run through the layer. A feature of ``role`` row
    stands at every step; those of role ahead are joined for the head alone. What stands in the
    padding never matters. A layer that runs backward in time hands over ``directions`` that begin
    with an empty forward part, ``(0, E)``.

    Args:
        features: the data's features, in order.
        layer: the recurrent layer, or a function from the input size to it.
        embedding: ``{size: 64, dropout: 0.0, word_dropout: 0.0, features: {NAME: {size: 8}}}``.
            A feature of ids has ``size``, ``vectors`` (a file whose word vectors its table begins
            with, see ``seqlab.data.word_vectors``), ``words`` (``all``: the data's vocabulary has
            the file's words, too, at most ``max_words`` of them) and ``trained``, false for a table
            that stays as it began; one of pieces or series what ``seqlab.piece_reader`` says. In
            training ``dropout`` leaves out single numbers, ``word_dropout`` whole entries of the
            tables, wherever they stand in the batch (Gal and Ghahramani 2016).
        input_layer: ``{size: 128, activation: tanh}`` between the features and the layer; None
            for none.
        dropout: on the output, in training.
        readers: what reads each feature of pieces or series, by its name; made here unless given.

    Raises:
        OptionError: an option does not fit, or the layer's input has another size.

    >>> import seqlab
    >>> features = (FeatureInfo("text", "ids", 30), FeatureInfo("pitch", "numeric", 2))
    >>> encoder = Encoder(features, lambda size: seqlab.GRU(size, 5), embedding={"size": 8})
    >>> encoder.layer.input_size, encoder.info.output_size
    (10, 5)
    """

    def __init__(
        self,
        features: Sequence[FeatureInfo],
        layer: Layer | Callable[[int], Layer],
        *,
        embedding: Mapping[str, Any] | None = None,
        input_layer: Mapping[str, Any] | None = None,
        dropout: float = 0.0,
        readers: Mapping[str, EntryReader] | None = None,
    ) -> None:
        super().__init__()
        self.features = tuple(features)
        if readers is None:
            readers = piece_readers(self.features, embedding)
        self.readers = nn.ModuleList(readers.values())
        joined = joined_width(self.features, embedding, readers, ahead=False)
        sizes = widths(self.features, embedding, readers)
        self.embeddings = nn.ModuleList(
            nn.Embedding(feature.size, size)
            for feature, size in zip(self.features, sizes, strict=True)
            if feature.kind == "ids"
        )
        self._freeze(embedding)
        rates = embedding_options(embedding)
        self.embedding_dropout = make_dropout("encoder.embedding.dropout", rates["dropout"])
        self.word_dropout = make_dropout("encoder.embedding.word_dropout", rates["word_dropout"])
        self.input_layer = _input_layer(joined, input_layer)
        input_size = self.input_size_for(self.features, embedding, input_layer, readers)
        self.layer = layer if isinstance(layer, Layer) else layer(input_size)
        if self.layer.input_size != input_size:
            raise OptionError(
                f"encoder: the layer takes {self.layer.input_size} inputs, the features give "
                f"{input_size}"
            )
        if not self.layer.joins:
            raise OptionError(
                "encoder: the layer gives its two directions as two outputs (merge_mode none); "
                "a head needs one: choose concat, sum, mul or ave"
            )
        self.output_dropout = make_dropout("encoder.dropout", dropout)
        directions = tuple(self.layer.directions)
        if self.layer.reverse:
            directions = (0, *directions)
        found = zip(directions, itertools.cycle(self.layer.sides()), strict=False)
        self.info = EncoderInfo(
            self.layer.output_size,
            self.layer.final_size,
            directions,
            {name: table.embedding_dim for name, table in self.tables().items()},
            all(side is not None for width, side in found if width),
            joined_width(self.features, embedding, readers, ahead=True),
        )

    def _freeze(self, embedding: Mapping[str, Any] | None) -> None:
        """Let tables that are not trained stay as they are."""
        options = feature_options(self.features, embedding)
        for name, table in self.tables().items():
            key = f"encoder.embedding.features.{name}.trained"
            table.weight.requires_grad_(check_value(options[name]["trained"], Flag, key))

    def tables(self) -> dict[str, nn.Embedding]:
        """The table of each ``ids`` feature."""
        names = [feature.name for feature in self.features if feature.kind == "ids"]
        tables = (table for table in self.embeddings if isinstance(table, nn.Embedding))
        return dict(zip(names, tables, strict=True))

    @staticmethod
    def input_size_for(
        features: Sequence[FeatureInfo],
        embedding: Mapping[str, Any] | None = None,
        input_layer: Mapping[str, Any] | None = None,
        readers: Mapping[str, EntryReader] | None = None,
    ) -> int:
        """The size of one input step of the layer that these features and options need."""
        if input_layer is None:
            return joined_width(features, embedding, readers or {}, ahead=False)
        return _input_layer_options(input_layer)[0]

    def forward(self, batch: Batch, state: State | None = None) -> Encoded:
        """Read a batch, from the layer's initial state or the one given.

        Raises:
            DataError: the batch lacks a feature.
            ShapeError: a feature has another shape; the message gives both.
        """
        mask, x_BTD = self.read(batch)
        return self.run(x_BTD, mask, batch, state)

    def run(self, x_BTD: Tensor, mask: Tensor, batch: Batch, state: State | None = None) -> Encoded:
        """What the layer makes of ``x_BTD``, which stands for the inputs of the batch."""
        output, state = self.layer(x_BTD, state, lengths=batch.lengths)
        final = self.layer.final_output(state)
        return Encoded(
            self.output_dropout(output),
            state,
            final,
            batch.lengths,
            mask,
            self.info.directions,
            batch.inputs,
            self._joined_ahead(batch),
            self._scales(batch, mask),
        )

    @property
    def scaled_by_row(self) -> str | None:
        """Which feature is scaled by its whole row, in words; None: none is."""
        names = [feature.name for feature in self.features if feature.row_scale != "none"]
        return f"feature '{names[0]}' is scaled by its whole row (row_scale)" if names else None

    def read_step(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What the layer is given for one step, ``[B, D]``.

        Args:
            inputs: feature name to ids ``[B]`` or numbers ``[B, D]``.
        """
        batch = {name: value.unsqueeze(1) for name, value in inputs.items()}
        like = next(iter(batch.values()), torch.empty(0))
        # not len, which would make a number of a size that an export leaves open
        lengths = torch.ones(like.shape[0], dtype=torch.int64, device=like.device)
        return self.read(Batch(batch, lengths))[1].squeeze(1)

    def step_reader(self) -> Callable[[Mapping[str, Tensor]], Tensor]:
        """``read_step`` for many steps: what it looks up in the encoder is looked up once.

        So it is of the encoder's parts as they are now; their weights may change.
        """
        if len(self.features) > 1 or not len(self.embeddings) or self.training:
            return self.read_step
        name, table, width = self.features[0].name, self.embeddings[0], self.input_layer
        plain = isinstance(width, nn.Identity)

        def read(inputs: Mapping[str, Tensor]) -> Tensor:
            ids = inputs.get(name)
            if ids is None or ids.dim() != 1:
                return self.read_step(inputs)  # which says what is wrong
            found: Tensor = table(ids) if plain else width(table(ids))
            return found

        return read

    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The mask ``[B, T]`` and what the layer is given, ``[B, T, D]``; each step by itself."""
        mask, x_BTD = self._join(batch)
        return mask, self.input_layer(x_BTD)

    def _join(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The mask and all features side by side, ``[B, T, D]``; zeros at padded steps."""
        mask = self._mask(batch)
        scales = self._scales(batch, mask)
        parts = []
        for feature in beside_steps(self.features):
            value = checked_value(feature, batch)
            if feature.role == "row" and feature.kind in READERS:
                ones = torch.ones_like(mask[:, :1])
                parts.append(self._vectors(feature, value, ones).expand(-1, mask.shape[1], -1))
                continue
            if feature.role == "row":
                shape = [-1] * (value.dim() - 2)
                value = value[:, :1].expand(-1, mask.shape[1], *shape)
            if value.shape[:2] != mask.shape:
                raise ShapeError(
                    f"feature '{feature.name}' has {tuple(value.shape[:2])} rows and steps, the "
                    f"first feature has {tuple(mask.shape)}"
                )
            if feature.name in scales:
                center, size = scales[feature.name]
                value = (value - center) / size
            parts.append(self._vectors(feature, value, mask))
        return mask, parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    def _mask(self, batch: Batch) -> Tensor:
        """``[B, T]``: which steps are real."""
        first = next(feature for feature in self.features if feature.role == "step")
        return lengths_to_mask(batch.lengths, checked_value(first, batch).shape[1])

    def _vectors(self, feature: FeatureInfo, value: Tensor, mask: Tensor) -> Tensor:
        """A feature as vectors, ``[B, T, D]``; zeros for padded numbers."""
        if feature.kind in READERS:
            places = [other.name for other in self.features if other.kind in READERS]
            read = self.readers[places.index(feature.name)]
            value = value if feature.kind == "pieces" else value.to(self._dtype())
            vectors: Tensor = self.embedding_dropout(
                read(value.masked_fill(~mask.unsqueeze(-1), 0))
            )
            return vectors
        if feature.kind != "ids":
            return value.masked_fill(~mask.unsqueeze(-1), 0.0).to(self._dtype())
        # padded ids may lie outside of the table
        ids, table = value.masked_fill(~mask, 0), self.tables()[feature.name]
        found: Tensor = table(ids)
        if self.training and isinstance(self.word_dropout, nn.Dropout):
            ones = torch.ones_like(table.weight[:, :1])
            found = found * F.embedding(ids, self.word_dropout(ones))
        dropped: Tensor = self.embedding_dropout(found)
        return dropped

    def _joined_ahead(self, batch: Batch) -> Tensor | None:
        """``[B, H, K]``: all that is known of the steps to come; None where nothing is."""
        values = [
            (feature, checked_value(feature, batch)) for feature in features_ahead(self.features)
        ]
        if not values:
            return None
        first = values[0][1]
        known = torch.ones(first.shape[:2], dtype=torch.bool, device=first.device)
        parts = [self._vectors(feature, value, known) for feature, value in values]
        return torch.cat(parts, dim=-1)

    def _scales(self, batch: Batch, mask: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Center and size of each row of the features that are scaled row by row."""
        return {
            feature.name: row_scale(feature.row_scale, checked_value(feature, batch), mask)
            for feature in self.features
            if feature.row_scale != "none"
        }

    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


def _input_layer(input_size: int, spec: Mapping[str, Any] | None) -> nn.Module:
    if spec is None:
        return nn.Identity()
    return _Projection(input_size, *_input_layer_options(spec))


def _input_layer_options(spec: Mapping[str, Any]) -> tuple[int, Any]:
    options = with_defaults(spec, _DEFAULT_INPUT_LAYER, "encoder.input_layer")
    return check_value(options["size"], Count, "encoder.input_layer.size"), options["activation"]


class _Projection(nn.Module):
    """``f(W x + b)`` at every step."""

    def __init__(self, input_size: int, size: int, activation: Any) -> None:
        super().__init__()
        self.map = nn.Linear(input_size, size)
        self.activation = resolve_activation("encoder.input_layer.activation", activation)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., D]`` to ``[..., size]``."""
        return self.activation(self.map(x))
