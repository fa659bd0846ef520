"""What of a model is traced: whole rows, one step, or the two parts of a decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqlab.cells.base import leaves, map_state
from seqlab.errors import EngineError
from seqlab.heads.attention import Memory
from seqlab.heads.encoder_decoder import EncoderDecoderHead
from seqlab.heads.precision import at_least_float32
from seqlab.model import SequenceModel
from seqlab.registry import spoken
from seqlab.types import Batch, Encoded, FeatureInfo, State

#: Rows and steps of a trace.
TRACED = (3, 6)


class Graph(NamedTuple):
    """A module with the arguments of its trace, and names for what goes in and out.

    ``example`` makes its arguments for so many rows and steps; ``dynamic`` tells which of their
    dimensions may change.
    """

    module: nn.Module
    example: Callable[[int, int], tuple[Any, ...]]
    dynamic: tuple[Any, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class _WholeModel(nn.Module):
    """Features and lengths to the encoder's output, its final vector, and the head's scores."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Sequence[Tensor], lengths: Tensor) -> tuple[Tensor, ...]:
        encoded = _encoded(self.model, features, lengths)
        scores = self.model.head.scores(encoded)
        results = (encoded.output, encoded.final)
        return results if scores is None else (*results, scores)


class _OneStep(nn.Module):
    """A row of features and the state before, to output, state after, and the head's scores."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model
        self.scores = model.head.refuses_steps() is None

    def forward(self, features: Sequence[Tensor], state: Sequence[Tensor]) -> list[Tensor]:
        encoder = self.model.encoder
        names = [feature.name for feature in encoder.features if feature.role != "ahead"]
        before = _as_state(state, encoder.layer.initial_state(1))
        x_BD = encoder.read_step(dict(zip(names, features, strict=True)))
        output, after = encoder.layer.step(x_BD, before)
        scores = [self.model.head.step_scores(output)] if self.scores else []
        return [output, *leaves(after), *scores]


class _DecoderStart(nn.Module):
    """Features and lengths to what all steps of a decoder see, and its state before the first."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Sequence[Tensor], lengths: Tensor) -> list[Tensor]:
        memory, state = _decoder(self.model).start(_encoded(self.model, features, lengths))
        return [*memory.tensors(), *leaves(state)]


class _DecoderStep(nn.Module):
    """The token before, what all steps see and the state, to log probabilities and state after."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tokens_B: Tensor, memory: Sequence[Tensor], state: Sequence[Tensor]
    ) -> list[Tensor]:
        decoder = _decoder(self.model)
        before = _as_state(state, _one_row(self.model)[1])
        written, after = decoder.step(tokens_B.unsqueeze(1), Memory(*memory), before)
        log_p = at_least_float32(written.scores.squeeze(1)).log_softmax(-1)
        return [log_p, *(part.clone() for part in leaves(after))]


def whole(model: SequenceModel) -> Graph:
    """The graph of whole sequences, with dynamic rows and steps."""
    features = model.info.features
    rows, steps = torch.export.Dim("rows"), torch.export.Dim("steps")

    def example(batch: int, count: int) -> tuple[Any, ...]:
        lengths = torch.randint(1, count + 1, (batch,))
        lengths[0] = count
        steps = {"step": count, "row": 1, "ahead": model.info.target.steps}
        return [_values(f, (batch, steps[f.role])) for f in features], lengths

    module = _WholeModel(model).eval()
    with torch.no_grad():
        outputs = ("output", "final", "scores")[: len(module(*example(*TRACED)))]
    beside = [{0: rows, 1: steps} if f.role == "step" else {0: rows} for f in features]
    dynamic = (beside, {0: rows})
    return Graph(module, example, dynamic, (*(f.name for f in features), "lengths"), outputs)


def one_step(model: SequenceModel) -> Graph:
    """The graph of one step with explicit state, with dynamic rows.

    Raises:
        EngineError: the encoder runs backward in time.
    """
    features = tuple(f for f in model.info.features if f.role != "ahead")
    layer = model.encoder.layer
    model.check_steps()
    with torch.no_grad():  # a layer that cannot says so
        layer.step(torch.zeros(1, layer.input_size), layer.initial_state(1))
    rows = torch.export.Dim("rows")
    like = leaves(layer.initial_state(1))

    def example(batch: int, count: int) -> tuple[Any, ...]:
        del count
        return [_values(f, (batch,)) for f in features], _random(like, batch)

    module = _OneStep(model)
    before, after = _state_names(like)
    scores = ("scores",) if module.scores else ()
    dynamic = ([{0: rows} for _ in features], [{0: rows} for _ in before])
    names = tuple(f.name for f in features)
    return Graph(module, example, dynamic, (*names, *before), ("output", *after, *scores))


def decoder_start(model: SequenceModel) -> Graph:
    """The graph from a source to what a decoder's steps need, with dynamic rows and steps.

    Raises:
        EngineError: the model has no decoder.
    """
    _decoder(model)
    graph = whole(model)
    memory, state = _one_row(model)
    names, _ = _state_names(leaves(state))
    outputs = (*_memory_names(memory), *names)
    return graph._replace(module=_DecoderStart(model).eval(), outputs=outputs)


def decoder_step(model: SequenceModel) -> Graph:
    """The graph of one step of a decoder, with dynamic rows and source steps.

    Raises:
        EngineError: the model has no decoder.
    """
    _decoder(model)
    rows, steps = torch.export.Dim("rows"), torch.export.Dim("steps")
    start, (seen, state) = whole(model), _one_row(model)
    names, covered = _memory_names(seen), len(state.covered)

    def example(batch: int, count: int) -> tuple[Any, ...]:
        with torch.no_grad():
            found = _DecoderStart(model)(*start.example(batch, count))
        tokens = torch.randint(0, model.info.target.size, (batch,))
        memory, begun = found[: len(names)], found[len(names) :]
        return tokens, memory, [torch.rand_like(part) for part in begun]

    before, after = _state_names(leaves(state))
    # what is covered has an entry for each source step, and stands last
    own = [{0: rows} for _ in before[: len(before) - covered]]
    dynamic = (
        {0: rows},
        [{0: rows, 1: steps} for _ in names],
        [*own, *[{0: rows, 1: steps}] * covered],
    )
    inputs = ("token", *names, *before)
    return Graph(_DecoderStep(model), example, dynamic, inputs, ("log_probabilities", *after))


#: What can be traced, by name.
PARTS: dict[str, Callable[[SequenceModel], Graph]] = {
    "whole": whole,
    "step": one_step,
    "decoder_start": decoder_start,
    "decoder_step": decoder_step,
}


def _decoder(model: SequenceModel) -> Any:
    if not isinstance(model.head, EncoderDecoderHead):
        raise EngineError(
            f"this model has no decoder, it has {spoken('head', model.head)}; use part=whole or "
            "part=step"
        )
    return model.head.decoder


def _encoded(model: SequenceModel, features: Sequence[Tensor], lengths: Tensor) -> Encoded:
    names = [feature.name for feature in model.info.features]
    return model.encode(Batch(dict(zip(names, features, strict=True)), lengths))


def _one_row(model: SequenceModel) -> tuple[Memory, State]:
    """What a decoder starts with, for the form of its state."""
    features = [_values(feature, (1, 1)) for feature in model.info.features]
    with torch.no_grad():
        begun: tuple[Memory, State] = _decoder(model).start(
            _encoded(model, features, torch.ones(1, dtype=torch.int64))
        )
    return begun


def _memory_names(memory: Memory) -> tuple[str, ...]:
    """The names of what all steps see."""
    return Memory._fields[: len(memory.tensors())]


def _as_state(tensors: Sequence[Tensor], like: State) -> State:
    """Tensors in the structure of a state."""
    given = iter(tensors)
    return map_state(lambda _: next(given), like)


def _random(like: Sequence[Tensor], rows: int) -> list[Tensor]:
    return [torch.randn_like(part.expand(rows, *part.shape[1:])) for part in like]


def _state_names(like: Sequence[Tensor]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of a state's tensors before and after a step."""
    count = range(len(like))
    return tuple(f"state_{i}" for i in count), tuple(f"next_{i}" for i in count)


def _values(feature: FeatureInfo, shape: tuple[int, ...]) -> Tensor:
    if feature.kind == "ids":
        return torch.randint(0, feature.size, shape)
    if feature.kind == "pieces":
        counts = torch.randint(1, feature.longest + 1, (*shape, 1))
        return torch.cat([counts, torch.randint(0, feature.size, (*shape, feature.longest))], -1)
    if feature.kind == "series":
        counts = torch.randint(1, feature.longest + 1, (*shape, 1))
        return torch.cat([counts, torch.randn(*shape, feature.longest * feature.size)], -1)
    return torch.randn(*shape, feature.size)
