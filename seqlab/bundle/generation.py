"""A language model goes on with a text: token after token, each from those before it.

A token is drawn by Gumbel's rule, ``argmax(score / temperature + g)``, so that neither the scores
need a softmax nor a row is asked at each step whether it has ended. Noise, log probabilities and
ends are seen to for a block of steps at once; what was written after the end is cut off.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from seqlab.bundle.language import (
    between_marks,
    language_head,
    require_one_feature,
    warn_of_unknown,
)
from seqlab.data.processor import Processor
from seqlab.data.tokenizers.marks import UNK_ID
from seqlab.engines.calls import coming_calls
from seqlab.errors import OptionError, RunError
from seqlab.heads.language_model import LanguageModelHead
from seqlab.heads.sampling import NEVER, gumbel_noise, narrowed
from seqlab.layers.base import Layer
from seqlab.model import Encoder, SequenceModel
from seqlab.schema import Count, NonNegative, Share, Whole, checked
from seqlab.types import Batch, State

#: The steps of the first block; each is twice as long as the one before, up to ``_MOST_STEPS``.
_FIRST_STEPS = 8
_MOST_STEPS = 64
#: A block has no more noise than this many numbers, or is one step.
_MOST_NUMBERS = 1 << 22


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


class _Chooser:
    """Tokens for what a language model has read, never ``<unk>``.

    Args:
        head: the model's.
        term: ``forward`` or ``backward``.
        temperature: 0 for the most probable.
        top_k: see ``seqlab.heads.sampling``.
        top_p: see there.
        random: the random state; None for torch's own.
    """

    def __init__(
        self,
        head: LanguageModelHead,
        term: str,
        *,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        random: torch.Generator | None,
    ) -> None:
        self.vocabulary, self.never = head.vocabulary, head.never[term]
        self.temperature, self.random = temperature, random
        self.top_k, self.top_p = top_k, top_p
        self.narrow = temperature > 0 and (top_k is not None or top_p is not None)
        # scores are divided by a temperature above 1, noise is multiplied by one below: no overflow
        self.share = 1 / temperature if self.narrow or temperature > 1 else 1.0
        bias, self._score = self.vocabulary.scorer(self.never, scale=self.share)
        self.bias = bias.index_fill(0, torch.tensor([UNK_ID], device=bias.device), NEVER)

    def added(self, steps: int, rows: int) -> Tensor:
        """``[steps, N, V]``: what ``choose`` adds to the scores of each step."""
        size = len(self.bias)
        if self.temperature == 0:
            return self.bias.expand(steps, rows, size)
        noise = gumbel_noise(steps, rows, size, random=self.random).to(self.bias)
        return noise if self.narrow else noise.mul_(min(self.temperature, 1.0)).add_(self.bias)

    def choose(self, hidden_NW: Tensor, added_NV: Tensor) -> Tensor:
        """``[N]``: a token a row."""
        if not self.narrow:
            return self._score(hidden_NW, added_NV).argmax(1)
        scores = self._score(hidden_NW, self.bias.expand_as(added_NV))
        return (narrowed(scores, self.top_k, self.top_p) + added_NV).argmax(1)

    def gains(self, hidden_NW: Tensor, tokens_N: Tensor) -> Tensor:
        """``[N]``: the log probabilities of tokens; ``<unk>`` has its share of the others."""
        return self.vocabulary.of(hidden_NW, tokens_N, self.never)


class _Block(NamedTuple):
    """Some steps: tokens and log probabilities, a list a row."""

    tokens: list[list[int]]
    gains: list[list[float]]


def _blocks(
    reader: _Reader, context: Tensor, hidden: Callable[[Tensor], Tensor], chooser: _Chooser
) -> Iterator[_Block]:
    """Steps after a context ``[N, T]``, block after block, without end."""
    rows, steps = len(context), _FIRST_STEPS
    most = max(1, min(_MOST_STEPS, _MOST_NUMBERS // (rows * len(chooser.bias))))
    token: Tensor | None = None
    while True:
        steps = min(steps, most)
        read: list[Tensor] = []
        chosen: list[Tensor] = []
        for added in chooser.added(steps, rows):
            output = reader.begin(context) if token is None else reader.step(token)
            read.append(hidden(output))
            token = chooser.choose(read[-1], added)
            chosen.append(token)
        gains = chooser.gains(torch.cat(read), torch.cat(chosen)).view(steps, rows)
        yield _Block(torch.stack(chosen, 1).tolist(), gains.t().tolist())
        steps *= 2


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
    require_one_feature(processor)
    ids = torch.tensor(between_marks(processor, prompt))
    warn_of_unknown(processor, [prompt], "generate")
    backward = term == "backward"
    context = ids[1:].flip(0) if backward else ids[:-1]
    mark = int(ids[0 if backward else -1])
    reader = _Reader(model.encoder, backward=backward)
    random = None if seed is None else torch.Generator().manual_seed(seed)
    chooser = _Chooser(head, term, temperature=temperature, top_k=top_k, top_p=top_p, random=random)
    texts = [_Text() for _ in range(n)]
    with torch.inference_mode(), coming_calls(max_length):
        begin = context.to(next(model.parameters()).device).expand(n, -1)
        for block in _blocks(reader, begin, head.projection(term), chooser):
            for text, tokens, gains in zip(texts, *block, strict=True):
                text.extend(tokens, gains, mark, max_length)
            if all(text.ended or len(text.tokens) == max_length for text in texts):
                break
    before = context.tolist()
    return [text.written(processor, before, backward=backward) for text in texts]


class _Text:
    """What was chosen for one row, up to its end."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.gains: list[float] = []
        self.ended = False

    def extend(self, tokens: list[int], gains: list[float], mark: int, most: int) -> None:
        """Add a block, or what of it stands before the end mark and within ``most`` tokens."""
        if self.ended:
            return
        tokens = tokens[: most - len(self.tokens)]
        self.ended = mark in tokens
        count = tokens.index(mark) if self.ended else len(tokens)
        self.tokens += tokens[:count]
        self.gains += gains[: count + self.ended]

    def written(self, processor: Processor, before: list[int], *, backward: bool) -> dict[str, Any]:
        """The answer, read together with the prompt."""
        ids = before + self.tokens
        total = sum(self.gains)
        if math.isnan(total):
            raise RunError("generate: the model's scores are no numbers (NaN); was it trained?")
        return {
            "text": processor.decode_target(ids[::-1] if backward else ids),
            "log_probability": total,
            "ended": self.ended,
        }
