"""What a language model does beside scoring texts: it fills their gaps."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from seqlab.data.processor import Processor
from seqlab.data.tokenizers.marks import UNK, UNK_ID
from seqlab.errors import OptionError, UnknownPieceWarning, shortened
from seqlab.heads.language_model import LanguageModelHead
from seqlab.model import SequenceModel
from seqlab.registry import spoken
from seqlab.schema import Count, checked
from seqlab.types import Batch

#: Pieces that a warning names.
_NAMED = 5


def language_head(model: SequenceModel, verb: str) -> LanguageModelHead:
    """The model's head.

    Raises:
        OptionError: it is no language model.
    """
    if not isinstance(model.head, LanguageModelHead):
        raise OptionError(
            f"{verb} needs a language model, and this model has {spoken('head', model.head)}; "
            "train one with data=text head=language_model"
        )
    return model.head


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
    require_one_feature(processor)
    ids, gaps = _with_gaps(processor, text, gap)
    warn_of_unknown(processor, _parts(text, gap), "fill")
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
    first, last = between_marks(processor, parts[0][:0])
    ids, gaps = [first], []
    for index, part in enumerate(parts):
        if index:
            gaps.append(len(ids))
            ids.append(UNK_ID)
        ids += between_marks(processor, part)[1:-1]
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


def between_marks(processor: Processor, value: Any) -> list[int]:
    """The ids of a text, from ``<bos>`` to ``<eos>``."""
    encoded: Any = processor.target.encode([value], lambda _: "prompt")
    ids: list[int] = encoded.row(0).tolist()
    return ids


def warn_of_unknown(processor: Processor, parts: Iterable[Any], verb: str) -> None:
    """Say which pieces of a text the model reads as unknown, if any.

    Args:
        processor: the model's, with one feature.
        parts: of the text, each a string or a list of tokens.
        verb: what is done with it.
    """
    find = processor.features[0].unknown_in
    unknown = list(dict.fromkeys(piece for part in parts for piece in find(part)))
    if not unknown:
        return
    named = ", ".join(shortened(repr(piece), 40) for piece in unknown[:_NAMED])
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    warnings.warn(
        f"{verb}: the model does not know {named}{more}, and reads what it does not know as {UNK}",
        UnknownPieceWarning,
        stacklevel=5,
    )


def require_one_feature(processor: Processor) -> None:
    """Refuse a model that reads more than the text.

    Raises:
        OptionError: it does.
    """
    names: Sequence[str] = [feature.name for feature in processor.features]
    if len(names) > 1:
        raise OptionError(
            f"a new token has no values for the features {', '.join(names[1:])}; train a model "
            "whose only feature is the text"
        )
