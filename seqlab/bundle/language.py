"""What a language model does beside scoring texts: it goes on with them, and fills their gaps."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from seqlab.data.processor import Processor
from seqlab.data.tokenizers.marks import UNK_ID
from seqlab.errors import OptionError
from seqlab.heads.language_model import LanguageModelHead
from seqlab.heads.sampling import draw
from seqlab.layers.base import Layer
from seqlab.model import Encoder, SequenceModel
from seqlab.schema import Count, NonNegative, Share, Whole, checked
from seqlab.types import Batch, State


def language_head(model: SequenceModel, verb: str) -> LanguageModelHead:
    """The model's head.

    Raises:
        OptionError: it is no language model.
    """
    if not isinstance(model.head, LanguageModelHead):
        raise OptionError(
            f"{verb} needs a language model, and this model has a {type(model.head).__name__}; "
            "train one with data=text head=language_model"
        )
    return model.head


class _Reader:
    """An encoder's layer of one direction, which reads tokens one after the other.

    Args:
        encoder: the encoder.
        backward: whether it reads from the last token to the first.

    Raises:
        OptionError: the encoder does not run that way.
    """

    def __init__(self, encoder: Encoder, *, backward: bool) -> None:
        found = encoder.layer.sides()[backward]
        if found is None:
            way = "backward" if backward else "forward"
            raise OptionError(f"direction: the encoder does not run {way}")
        self.layer: Layer = copy.deepcopy(found) if backward else found
        if backward:
            self.layer.reverse_()
        self.encoder, self.name = encoder, encoder.features[0].name
        self._read = encoder.step_reader()
        self.state: State = None

    def begin(self, ids_NT: Tensor) -> Tensor:
        """Read the first tokens in one run: ``[N, E]``, the output after the last of them."""
        output, self.state = self.layer(self._embedded(ids_NT))
        last: Tensor = output[:, -1]
        return last

    def step(self, ids_N: Tensor) -> Tensor:
        """Read one more token: ``[N, E]``."""
        output, self.state = self.layer.step(self._read({self.name: ids_N}), self.state)
        return output

    def _embedded(self, ids_NT: Tensor) -> Tensor:
        lengths = torch.full((ids_NT.shape[0],), ids_NT.shape[1], device=ids_NT.device)
        return self.encoder.read(Batch({self.name: ids_NT}, lengths))[1]


@checked
def generate(
    model: SequenceModel,
    processor: Processor,
    prompt: Any = "",
    *,
    max_length: Count = 100,
    temperature: NonNegative = 1.0,
    top_k: Count | None = None,
    top_p: Share | None = None,
    seed: Whole | None = None,
    n: Count = 1,
    direction: Literal["forward", "backward"] | None = None,
) -> list[dict[str, Any]]:
    """Texts that go on with a prompt; see ``TrainedModel.generate``."""
    head = language_head(model, "generate")
    term = direction or head.terms[0]
    if term not in head.terms:
        raise OptionError(f"direction: the head was trained {head.terms[0]} only")
    _require_one_feature(processor)
    ids = torch.tensor(_between_marks(processor, prompt))
    backward = term == "backward"
    context = ids[1:].flip(0) if backward else ids[:-1]
    device = next(model.parameters()).device
    reader = _Reader(model.encoder, backward=backward)
    random = None if seed is None else torch.Generator().manual_seed(seed)
    mark = int(ids[0 if backward else -1])
    chosen: list[list[int]] = []
    gains: list[Tensor] = []
    ended: set[int] = set()
    score, unknown = head.step_scorer(term), torch.tensor([UNK_ID])
    with torch.inference_mode():
        output = reader.begin(context.to(device).expand(n, -1))
        for _ in range(max_length):
            log_p = score(output).cpu()
            known = log_p.index_fill(1, unknown, float("-inf"))
            token = draw(known, temperature, top_k, top_p, random)
            gains.append(log_p.gather(1, token.unsqueeze(1)))
            chosen.append(token.tolist())
            ended.update(row for row, index in enumerate(chosen[-1]) if index == mark)
            if len(ended) == n:
                break
            output = reader.step(token.to(device))
    before = context.tolist()
    rows = zip(map(list, zip(*chosen, strict=True)), torch.cat(gains, 1).tolist(), strict=True)
    return [_written(processor, before, *row, mark, backward=backward) for row in rows]


def _written(
    processor: Processor,
    before: list[int],
    tokens: list[int],
    gains: list[float],
    mark: int,
    *,
    backward: bool,
) -> dict[str, Any]:
    """One answer: what was chosen up to its end, read together with the prompt."""
    ended = mark in tokens
    count = tokens.index(mark) if ended else len(tokens)
    ids = before + tokens[:count]
    return {
        "text": processor.decode_target(ids[::-1] if backward else ids),
        "log_probability": sum(gains[: count + ended]),
        "ended": ended,
    }


@checked
def fill(
    model: SequenceModel, processor: Processor, text: Any, *, gap: str = "_", n: Count = 5
) -> dict[str, Any]:
    """A text with its gaps filled; see ``TrainedModel.fill``."""
    head = language_head(model, "fill")
    if "both" not in head.terms:
        raise OptionError(
            f"fill needs both sides of a gap, and the head was trained {head.terms[0]} only; use "
            "wrapper=bidirectional head.direction=both"
        )
    _require_one_feature(processor)
    ids, gaps = _with_gaps(processor, text, gap)
    found: dict[int, list[dict[str, Any]]] = {}
    entry = processor.features[0].tokenizer
    while open_gaps := [place for place in gaps if place not in found]:
        log_p = _of_gaps(model, head, ids, open_gaps)
        best = int(log_p.amax(1).argmax())
        values, tokens = log_p[best].topk(min(n, int(log_p[best].isfinite().sum())))
        pairs = zip(tokens.tolist(), values.exp().tolist(), strict=True)
        place = open_gaps[best]
        found[place] = [{"token": entry.entry(i), "probability": p} for i, p in pairs]  # type: ignore[union-attr]
        ids[place] = int(tokens[0])
    return {"text": processor.decode_target(ids), "gaps": [found[place] for place in gaps]}


def _of_gaps(
    model: SequenceModel, head: LanguageModelHead, ids: list[int], places: list[int]
) -> Tensor:
    """``[G, V]``: the log probabilities at gaps, given all that stands beside them."""
    device = next(model.parameters()).device
    row = torch.tensor([ids], device=device)
    with torch.inference_mode():
        name = head.target_info.feature
        encoded = model.encode(Batch({name: row}, torch.tensor([len(ids)], device=device)))
        context = head.places(encoded, row)["both"].context
        log_p = head.log_probabilities("both", context[torch.tensor(places) - 1]).cpu()
    return log_p.index_fill(1, torch.tensor([UNK_ID]), float("-inf"))


def _with_gaps(processor: Processor, text: Any, gap: str) -> tuple[list[int], list[int]]:
    """Ids with marks, ``<unk>`` in the gaps, and where the gaps are.

    Raises:
        OptionError: there is no gap.
    """
    parts = list(_parts(text, gap))
    if len(parts) < 2:
        raise OptionError(f"fill: there is no gap '{gap}' in {text!r}")
    first, last = _between_marks(processor, parts[0][:0])
    ids, gaps = [first], []
    for index, part in enumerate(parts):
        if index:
            gaps.append(len(ids))
            ids.append(UNK_ID)
        ids += _between_marks(processor, part)[1:-1]
    return [*ids, last], gaps


def _parts(text: Any, gap: str) -> Iterator[Any]:
    """A text, or a list of tokens, cut at its gaps."""
    if isinstance(text, str):
        yield from text.split(gap)
        return
    tokens: list[str] = []
    for token in text:
        if token == gap:
            yield tokens
            tokens = []
        else:
            tokens.append(token)
    yield tokens


def _between_marks(processor: Processor, value: Any) -> list[int]:
    """The ids of a text, from ``<bos>`` to ``<eos>``."""
    encoded: Any = processor.target.encode([value], lambda _: "prompt")
    ids: list[int] = encoded.row(0).tolist()
    return ids


def _require_one_feature(processor: Processor) -> None:
    names: Sequence[str] = [feature.name for feature in processor.features]
    if len(names) > 1:
        raise OptionError(
            f"a new token has no values for the features {', '.join(names[1:])}; train a model "
            "whose only feature is the text"
        )
