"""The decoder of an encoder-decoder: embedding, recurrent layer, attention, output scores.

    h_t = layer([embedding(y_{t-1}); r_{t-1}], h_{t-1})       r only with input feeding
    c_t = attention(h_t, source)
    r_t = tanh(W [h_t; c_t])
    scores_t = V r_t

as in Luong, Pham and Manning (2015). Since ``c_t`` comes after the recurrence, all steps of a
known target run in one call of the layer, unless input feeding ties each step to the last. With
coverage the looks at the source still follow one another (``seqlab.heads.coverage``); with copying
the scores are those of ``seqlab.heads.pointer``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from seqlab.cells.base import map_state
from seqlab.construct import construct, split_spec
from seqlab.errors import OptionError
from seqlab.heads.attention import Attention, Memory
from seqlab.heads.coverage import Coverage, Looked
from seqlab.heads.dropout import dropout as make_dropout
from seqlab.heads.pointer import Pointer
from seqlab.heads.states import leaves
from seqlab.layers.base import Layer, step_with
from seqlab.schema import Count, check_value, checked, with_defaults
from seqlab.types import Encoded, EncoderInfo, State, TargetInfo
from seqlab.wrappers.base import LayerFactory, Wrapper

#: What ``decoder: {...}`` of an encoder-decoder holds, with its defaults.
DEFAULT_DECODER: Mapping[str, Any] = {
    "cell": {"name": "lstm", "hidden_size": 128},
    "num_layers": 1,
    "dropout": 0.0,
    "residual": False,
    "engine": "auto",
    "initial_state": "zeros",
}


class DecoderState(NamedTuple):
    """Between two steps.

    ``layer`` is the layer's state; ``feed`` with input feeding ``(r_{t-1},)``, else ``()``;
    ``covered`` with coverage ``(c_t,)``, else ``()``.
    """

    layer: State
    feed: tuple[Tensor, ...]
    covered: tuple[Tensor, ...] = ()


class Written(NamedTuple):
    """Scores ``[B, U, V]`` and where the decoder looked for them."""

    scores: Tensor
    looked: Looked


def joined(steps: Sequence[Written]) -> Written:
    """Written steps, side by side in time."""
    scores = torch.cat([step.scores for step in steps], dim=1)
    looks = [step.looked for step in steps]
    context = torch.cat([look.context for look in looks], dim=1)
    weights = torch.cat([look.weights for look in looks], dim=1)
    overlap = [look.overlap for look in looks if look.overlap is not None]
    overlaps = torch.cat(overlap, dim=1) if overlap else None
    return Written(scores, Looked(context, weights, overlaps, looks[-1].covered))


class Bridge(nn.Module):
    """The decoder's initial state from the encoder's final one: ``tanh(W s + b)`` for each field.

    Args:
        final_size: the width of ``Encoded.final``.
        layer: the decoder's layer, whose state may have any structure.
    """

    def __init__(self, final_size: int, layer: Layer) -> None:
        super().__init__()
        fields = leaves(layer.initial_state(1))
        self.maps = nn.ModuleList(
            nn.Linear(final_size, field.numel()) if field.is_floating_point() else nn.Identity()
            for field in fields
        )

    def forward(self, final_BS: Tensor, initial: State) -> State:
        """The state in the structure of ``initial``; fields that are no floats stay as there."""
        maps = iter(self.maps)

        def fill(field: Tensor) -> Tensor:
            part = next(maps)
            if isinstance(part, nn.Identity):
                return field
            return torch.tanh(part(final_BS)).view(field.shape).to(field.dtype)

        return map_state(fill, initial)


def _same_form(state: State, initial: State) -> State:
    """The encoder's state as the decoder's.

    Raises:
        OptionError: they have not the same form.
    """
    sizes = [[tuple(field.shape[1:]) for field in leaves(one)] for one in (state, initial)]
    if sizes[0] != sizes[1]:
        raise OptionError(
            f"head.bridge=copy: the encoder's state is {sizes[0]}, the decoder's {sizes[1]}; give "
            "both the same cell, size and number of layers, one direction, or use bridge=true"
        )
    fields = iter(leaves(state))
    return map_state(lambda _: next(fields), initial)


def build_layer(spec: Mapping[str, Any] | None, input_size: int) -> Layer:
    """The decoder's recurrent layer, one or several deep.

    Args:
        spec: see ``DEFAULT_DECODER``; keys that are missing have the default.
        input_size: the width of one input step.

    Raises:
        OptionError: a key is unknown or an option does not fit; ``head.decoder`` is named.
    """
    options = with_defaults(spec, DEFAULT_DECODER, "head.decoder")
    count = check_value(options["num_layers"], Count, "head.decoder.num_layers")
    name, cell_options = split_spec("cell", options["cell"], "head.decoder.cell")
    make_layer = LayerFactory(
        {"name": name, **cell_options},
        engine=options["engine"],
        initial_state=options["initial_state"],
        where="head.decoder.cell",
    )
    if count == 1:
        return make_layer(input_size)
    stack = {key: options[key] for key in ("num_layers", "residual", "dropout")}
    stacked: Wrapper = construct("wrapper", {"name": "stacked", **stack}, where="head.decoder")
    return stacked.build(make_layer, input_size)


class DecoderNetwork(nn.Module):
    """Scores of the next target token, over a whole target at once or step by step.

    Args:
        encoder: the sizes of what the encoder hands over.
        target: its vocabulary, and what of the source may be copied.
        decoder: the recurrent layer, see ``DEFAULT_DECODER``.
        attention: a registered attention.
        embedding_size: of the target tokens.
        dropout: on the embeddings and before the output scores, in training.
        input_feeding: each step also sees ``r`` of the step before.
        bridge: start from a map of the encoder's final state; ``copy``: from that itself; False:
            from the layer's own initial state.
        tied_embedding: the output matrix V is the embedding matrix (Press and Wolf 2017).
        coverage: the attention knows where it has looked.
        copy: tokens of the source may be copied.

    Raises:
        OptionError: an option does not fit.
    """

    @checked
    def __init__(
        self,
        encoder: EncoderInfo,
        target: TargetInfo,
        *,
        decoder: Mapping[str, Any] | None,
        attention: Any,
        embedding_size: Count,
        dropout: float,
        input_feeding: bool,
        bridge: bool | Literal["copy"],
        tied_embedding: bool,
        coverage: bool,
        copy: bool,
    ) -> None:
        super().__init__()
        _check_start(decoder, bridge=bridge)
        self.input_feeding = input_feeding
        self.embedding = nn.Embedding(target.size, embedding_size)
        self.dropout = make_dropout("dropout", dropout)
        width = build_layer(decoder, embedding_size).output_size
        self.readout_size = embedding_size if tied_embedding else width
        self.layer = build_layer(
            decoder, embedding_size + (self.readout_size if input_feeding else 0)
        )
        self.attention: Attention = construct(
            "attention", attention, width, encoder.output_size, where="head.attention"
        )
        self.readout = self._readout(width + self.attention.output_size, width)
        self.output = nn.Linear(self.readout_size, target.size)
        if tied_embedding:
            nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
            self.output.weight = self.embedding.weight
        self.copies_state = bridge == "copy"
        self.bridge = Bridge(encoder.final_size, self.layer) if bridge is True else None
        self.coverage = Coverage(self.attention) if coverage else None
        seen = self.attention.output_size + width + embedding_size
        self.pointer = Pointer(self.attention, target, seen) if copy else None

    def _readout(self, joined: int, width: int) -> nn.Module:
        """``tanh(W [h; c])``, or nothing where there is no context and no other width."""
        if joined == width == self.readout_size:
            return nn.Identity()
        return nn.Sequential(nn.Linear(joined, self.readout_size, bias=False), nn.Tanh())

    @property
    def copies(self) -> bool:
        """Whether tokens of the source may be copied."""
        return self.pointer is not None

    def sources(self, memory: Memory) -> Memory:
        """The memory that says what the tokens of the source are."""
        return memory

    def start(self, encoded: Encoded) -> tuple[Memory, DecoderState]:
        """The memory for the attention and the state before the first step, from the source."""
        memory = self.attention.prepare(encoded.output, encoded.mask)
        rows, device = encoded.final.shape[0], encoded.final.device
        layer_state = self.layer.initial_state(rows, device=device)
        if self.bridge is not None:
            layer_state = self.bridge(encoded.final, layer_state)
        if self.copies_state:
            layer_state = _same_form(encoded.state, layer_state)
        if self.pointer is not None:
            memory = memory._replace(ids=self.pointer.source(encoded))
        weight = self.embedding.weight
        feed = (weight.new_zeros(rows, self.readout_size),) if self.input_feeding else ()
        covered = () if self.coverage is None else (self.coverage.begin(memory),)
        return memory, DecoderState(layer_state, feed, covered)

    def run(
        self, tokens_BU: Tensor, mask_BU: Tensor, memory: Memory, state: DecoderState
    ) -> Written:
        """Scores after each of the known tokens, in one call of the layer.

        Raises:
            RuntimeError: with input feeding, where each step needs the one before.
        """
        if self.input_feeding:
            raise RuntimeError("input feeding needs one step at a time; call step")
        embedded = self.dropout(self.embedding(tokens_BU))
        # without a mask engines take their fastest path; no real step looks at a padded one
        mask = mask_BU if self._sees_padding() else None
        hidden, _ = self.layer(embedded, state.layer, mask=mask)
        if self.coverage is None:
            looked = Looked(*self.attention(hidden, memory))
        else:
            looked = self.coverage.run(self.attention, hidden, memory, *state.covered)
        return self._write(embedded, hidden, self._read(hidden, looked), looked, memory)

    def step(
        self,
        tokens_BK: Tensor,
        memory: Memory,
        state: DecoderState,
        mask_B: Tensor | None = None,
        noise: Any = None,
    ) -> tuple[Written, DecoderState]:
        """Scores after one token each of K answers a row.

        The state has ``B * K`` rows. ``mask_B`` (K = 1) says which rows are still real, ``noise``
        is ``sample_noise(...).at(t)``.
        """
        rows, answers = tokens_BK.shape
        embedded = self.dropout(self.embedding(tokens_BK.flatten()))
        x = torch.cat([embedded, *state.feed], dim=1)
        after, layer_state = step_with(self.layer, x, state.layer, noise, mask_B)
        hidden = after.view(rows, answers, -1)
        if self.coverage is None:
            looked = Looked(*self.attention(hidden, memory))
        else:
            looked = self.coverage.step(self.attention, hidden, memory, *state.covered)
        readout = self._read(hidden, looked)
        feed = (readout.flatten(0, 1).to(x.dtype),) if self.input_feeding else ()
        covered = () if looked.covered is None else (looked.covered,)
        written = self._write(embedded.view(rows, answers, -1), hidden, readout, looked, memory)
        return written, DecoderState(layer_state, feed, covered)

    def sample_noise(self, rows: int, steps: int) -> Any:
        """The layer's random masks for one answer a row, the same ones at all its steps."""
        weight = self.embedding.weight
        return self.layer.sample_noise(rows, steps, device=weight.device, dtype=weight.dtype)

    def _sees_padding(self) -> bool:
        """Whether a cell's penalty on its outputs would count padded steps."""
        cells = self.layer.cells()
        return any(getattr(cell, "activity_regularizer", None) is not None for cell in cells)

    def _read(self, hidden_BUH: Tensor, looked: Looked) -> Tensor:
        readout: Tensor = self.readout(torch.cat([hidden_BUH, looked.context], dim=-1))
        return readout

    def _write(
        self, embedded: Tensor, hidden: Tensor, readout: Tensor, looked: Looked, memory: Memory
    ) -> Written:
        """Scores of the next token, ``[B, U, V]``; log probabilities where tokens are copied."""
        scores: Tensor = self.output(self.dropout(readout))
        if self.pointer is not None:
            seen = torch.cat([looked.context, hidden, embedded], dim=-1)
            scores = self.pointer(scores, seen, looked.weights, memory)
        return Written(scores, looked)


def _check_start(decoder: Mapping[str, Any] | None, *, bridge: bool | str) -> None:
    if bridge and (decoder or {}).get("initial_state") == "trained":
        raise OptionError(
            "head.decoder.initial_state: the bridge sets where the decoder begins; for a trained "
            "state give head.bridge=false"
        )
