"""Language models in both directions: how probable each token is beside the others of its text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from seqlab.errors import OptionError
from seqlab.heads.base import refuse_options
from seqlab.heads.dropout import LockedDropout
from seqlab.heads.losses import LossTerm
from seqlab.heads.masking import clean_output
from seqlab.heads.metrics import Outcome
from seqlab.heads.metrics.classes import Accuracy
from seqlab.heads.metrics.likelihood import BitsPerToken, Perplexity
from seqlab.heads.terms import SumOfTerms
from seqlab.heads.vocabulary_scores import AdaptiveSoftmax, FullSoftmax, VocabularyScores
from seqlab.schema import Count, Flag, Fraction, NonNegative, checked, with_defaults
from seqlab.types import Batch, Encoded, EncoderInfo, TargetInfo, lengths_to_mask

Direction = Literal["forward", "backward", "both"]
TERMS = ("forward", "backward", "both")
#: Padding has id 0 in every vocabulary.
_PAD = 0
#: The largest exponent of which there is a float.
_LARGEST = 700.0


class Places(NamedTuple):
    """The tokens that a term predicts, N in all, and what it sees of their contexts.

    ``real [B, U]`` says which places of the rows they stand at, ``context [N, ...]`` is the
    encoder's output beside them, and ``gold [N]`` their ids.
    """

    context: Tensor
    gold: Tensor
    real: Tensor


class LanguageModelHead(SumOfTerms):
    """The probability of each token of a text, given those before it, after it, or both.

    The encoder reads ``<bos> x_1 ... x_n <eos>``; f_t and b_t are its forward and backward outputs
    at step t, and ``s`` is a softmax over the vocabulary that all terms share (as in Peters et al.
    2018, "Deep contextualized word representations"):

        forward    p(x_t | x_<t) = s(P_f f_{t-1})                     t = 1 ... n + 1, <eos> last
        backward   p(x_t | x_>t) = s(P_b b_{t+1})                     t = n ... 0, <bos> last
        both       p(x_t | x_<t, x_>t) = s(tanh(W [f_{t-1}; b_{t+1}]))    t = 1 ... n
        loss = sum over terms of weight * mean over tokens of -log p

    P is a map where the widths differ, else nothing. By the chain rule the forward and the
    backward terms each multiply to a distribution over texts. No term sees its token: an encoder
    whose parts see both sides, such as layers above a bidirectional one, is refused.

    Predictions: ``{"ids", "log_probability", "perplexity", "forward", "backward", "both", "end",
    "begin"}``: the n tokens, the log probability of the text by the forward term (by the backward
    one where that is all there is), ``exp(-log_probability / (n + 1))``, the log probabilities of
    the tokens by each term there is, and those of ``<eos>`` after them and ``<bos>`` before them.
    A text that was cut has no ``end``, and its last token neither ``backward`` nor ``both``.

    Metrics: ``perplexity``, ``bits_per_token`` (of a vocabulary of characters
    ``bits_per_character``) and ``accuracy``, over all tokens and ends of all rows; those of the
    first term as they are, of others as ``backward_perplexity``, ``both_perplexity`` and so on.

    Args:
        encoder: the sizes of the encoder's output.
        target: of kind ``inputs``.
        direction: ``forward``, ``backward`` or ``both``; None for the direction of the encoder. A
            direction of the encoder that has no term is not trained.
        tied: the softmax's matrix is the embedding's table.
        cutoffs: of an adaptive softmax (Grave et al. 2017): the first id of each cluster, from
            frequent entries to rare ones; None for a full softmax.
        dropout: on the encoder's output in training, one mask for all steps ("locked"; Gal and
            Ghahramani 2016). Of the encoder, ``cell.dropout`` and ``cell.recurrent_dropout`` are
            locked too.
        weights: of the terms, such as ``{both: 0.5}``; 1 for those left out.
        metrics: further registered metrics, of the first term.

    Raises:
        OptionError: an option does not fit, or the encoder has not the directions that are asked
            for, or sees in one of them what it is to predict.

    >>> target = TargetInfo("inputs", 9, bos=2, eos=3)
    >>> head = LanguageModelHead(EncoderInfo(8, 8, (4, 4)), target)
    >>> head.terms, head.monitor
    (('forward', 'backward', 'both'), ('perplexity', 'min'))
    """

    needs = ("inputs",)

    @checked
    def __init__(
        self,
        encoder: EncoderInfo,
        target: TargetInfo,
        *,
        direction: Direction | None = None,
        tied: Flag = False,
        cutoffs: Sequence[Count] | None = None,
        dropout: Fraction = 0.0,
        weights: Mapping[str, NonNegative] | None = None,
        metrics: Sequence[Any] = (),
    ) -> None:
        super().__init__(encoder, target, metrics=metrics)
        if target.bos is None or target.eos is None:
            raise OptionError(
                "a target of kind 'inputs' needs bos and eos, the ids of its two marks"
            )
        self.terms = _terms(direction, encoder)
        # what each term can never predict: padding, and the marks that do not stand there
        begin, end = target.bos, target.eos
        self.never = dict(zip(TERMS, ((_PAD, begin), (_PAD, end), (_PAD, begin, end)), strict=True))
        self.weights = with_defaults(weights, dict.fromkeys(self.terms, 1.0), "weights")
        self.dropout = LockedDropout(dropout)
        widths = {
            "forward": sum(encoder.directions[::2]),
            "backward": sum(encoder.directions[1::2]),
        }
        widths["both"] = sum(widths.values())
        self.tied = tied
        self.vocabulary = self._vocabulary(widths, cutoffs)
        self.maps = nn.ModuleList(
            _map(term, widths[term], self.vocabulary.width) for term in self.terms
        )
        self.monitor = ("perplexity", "min")

    def _vocabulary(
        self, widths: Mapping[str, int], cutoffs: Sequence[int] | None
    ) -> VocabularyScores:
        size = self.target_info.size
        if self.tied:
            if cutoffs is not None:
                raise OptionError("cutoffs: an adaptive softmax cannot be tied; leave out one")
            width = self.encoder_info.embeddings.get(self.target_info.feature)
            if width is None:
                raise OptionError("tied: the encoder has no embedding of what is predicted")
            return FullSoftmax(width, size, tied=True)
        width = max(widths[term] for term in self.terms if term != "both")
        if cutoffs is None:
            return FullSoftmax(width, size)
        marks = max(pair for never in self.never.values() for pair in never)
        return AdaptiveSoftmax(width, size, cutoffs, marks)

    def share(self, tables: Mapping[str, nn.Embedding]) -> None:
        """Tie the softmax to the embedding, if so asked; see ``Head.share``."""
        if self.tied and isinstance(self.vocabulary, FullSoftmax):
            self.vocabulary.share(tables[self.target_info.feature])

    def loss(self, encoded: Encoded, batch: Batch) -> Tensor:
        """See ``Head.loss``."""
        places = self.places(encoded, self.target_of(batch), batch.target_lengths)
        chosen = {term: self._of_gold(term, part) for term, part in places.items()}
        return self.total(self._means(chosen))

    @property
    def loss_factors(self) -> tuple[float, ...]:
        """See ``Head.loss_factors``: of the directions."""
        return tuple(self.weights[term] for term in self.terms)

    def refuses_chunks(self) -> str | None:
        """See ``Head.refuses_chunks``."""
        return None

    def refuses_steps(self) -> str | None:
        """See ``Head.refuses_steps``."""
        return None if len(self.terms) == 1 else "a token's backward terms need those after it"

    def step_scores(self, output_BE: Tensor) -> Tensor:
        """``[B, V]``: the log probability of each entry of the vocabulary as the next token."""
        return self.log_probabilities(self.terms[0], output_BE)

    def step_scorer(self) -> Callable[[Tensor], Tensor]:
        """See ``Head.step_scorer``."""
        term = self.terms[0]
        project, never = self.projection(term), self.never[term]
        score = self.vocabulary.all
        return lambda output_BE: score(project(output_BE), never)

    def projection(self, term: str) -> Callable[[Tensor], Tensor]:
        """From a term's context to what ``vocabulary`` reads, for many steps."""
        project = self.maps[self.terms.index(term)]
        return _same if isinstance(project, nn.Identity) else project

    def predict(self, encoded: Encoded, **options: Any) -> list[dict[str, Any]]:
        """See ``Head.predict``; there are no options."""
        refuse_options(self, options)
        ids = encoded.inputs[self.target_info.feature]
        with torch.no_grad():
            places = self.places(encoded, ids)
            found = {term: self._rows(term, places[term]) for term in self.terms}
        rows = zip(ids.tolist(), encoded.lengths.tolist(), strict=True)
        return [
            self._answer({term: lists[row] for term, lists in found.items()}, tokens[:length])
            for row, (tokens, length) in enumerate(rows)
        ]

    def metrics(self) -> dict[str, Metric]:
        """See ``Head.metrics``."""
        target = self.target_info
        found: dict[str, Metric] = {}
        for term in self.terms:
            for name, metric in (
                ("perplexity", Perplexity),
                (f"bits_per_{target.unit}", BitsPerToken),
                ("accuracy", Accuracy),
            ):
                found[name if term == self.terms[0] else f"{term}_{name}"] = metric(target)
        return self.with_chosen(found)

    def _term_of(self, metric: str) -> str:
        """The term that a metric measures, by its name."""
        later = (term for term in self.terms[1:] if metric.startswith(f"{term}_"))
        return next(later, self.terms[0])

    def measure_terms(
        self, metrics: Mapping[str, Metric], encoded: Encoded, batch: Batch, *, final: bool = False
    ) -> list[LossTerm]:
        """See ``Head.measure_terms``."""
        del final
        places = self.places(encoded, self.target_of(batch), batch.target_lengths)
        chosen = {}
        for term, part in places.items():
            scores = self.log_probabilities(term, part.context)
            chosen[term] = scores.gather(1, part.gold.unsqueeze(1)).squeeze(1)
            outcome = Outcome(scores.argmax(1), part.gold, chosen[term].detach())
            for name, metric in metrics.items():
                if self._term_of(name) == term:
                    metric.update(outcome)
        return self._means(chosen)

    def log_probabilities(self, term: str, context: Tensor) -> Tensor:
        """``[N, V]``: of every entry of the vocabulary, beside contexts ``[N, ...]`` of a term.

        Args:
            term: ``forward``, ``backward`` or ``both``.
            context: the forward part of the encoder's output at the step before, the backward part
                at the step after, or these two side by side.
        """
        return self.vocabulary.all(self._hidden(term, context), self.never[term])

    def _hidden(self, term: str, context: Tensor) -> Tensor:
        hidden: Tensor = self.maps[self.terms.index(term)](context)
        return hidden

    def places(
        self, encoded: Encoded, ids_BU: Tensor, lengths: Tensor | None = None
    ) -> dict[str, Places]:
        """The places of each term.

        Args:
            encoded: from the encoder.
            ids_BU: ids of the texts that were encoded, or of a chunk and the token beside it.
            lengths: of a chunk: how many of the ids are real.
        """
        steps = ids_BU.shape[1]
        output, mask = self.dropout(clean_output(encoded)), encoded.mask[:, :steps]
        if lengths is not None:
            mask = lengths_to_mask(lengths, steps)
        elif output.shape[1] > steps:
            output = output[:, :steps]
        parts = output.split(list(encoded.directions), dim=-1)
        before, after = (torch.cat([output[..., :0], *parts[side::2]], -1) for side in (0, 1))
        begin, end = self.never["both"][1:]
        places = {}
        for term in self.terms:
            # marks beside each other, where texts stand end to end, are no part of any
            if term == "forward":
                context, goal = before[:, : steps - 1], ids_BU[:, 1:]
                real = mask[:, 1:] & (goal != begin)
            elif term == "backward":
                # of a chunk the first token has no output of its own
                context, goal = after[:, after.shape[1] - steps + 1 :], ids_BU[:, :-1]
                real = mask[:, 1:] & (goal != end)
            else:
                context = torch.cat([before[:, :-2], after[:, 2:]], -1)
                goal = ids_BU[:, 1:-1]
                real = mask[:, 2:] & (goal != begin) & (goal != end)
            places[term] = Places(context[real], goal[real], real)
        return places

    def _means(self, chosen: Mapping[str, Tensor]) -> list[LossTerm]:
        """The terms of the loss, from the log probabilities of what stands there."""
        return [LossTerm(-part.sum() / max(len(part), 1), len(part)) for part in chosen.values()]

    def _of_gold(self, term: str, part: Places) -> Tensor:
        """``[N]``: the log probabilities of what stands there."""
        return self.vocabulary.of(self._hidden(term, part.context), part.gold, self.never[term])

    def _rows(self, term: str, part: Places) -> list[list[float]]:
        """The log probabilities of each row's tokens, in order."""
        flat = self._of_gold(term, part).tolist()
        ends = part.real.sum(1).cumsum(0).tolist()
        return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _answer(self, terms: dict[str, list[float]], ids: list[int]) -> dict[str, Any]:
        """A row's answer from its log probabilities by each term, ends apart from tokens."""
        chain = terms[self.terms[0]]
        total = math.fsum(chain)
        begin, end = self.never["both"][1:]
        answer: dict[str, Any] = {
            "ids": [index for index in ids if index not in (begin, end)],
            "log_probability": total,
            "perplexity": math.exp(min(-total / max(len(chain), 1), _LARGEST)),
        }
        if "forward" in terms and ids[-1:] == [end]:
            *terms["forward"], answer["end"] = terms["forward"]
        if "backward" in terms and len(ids) > 1:
            answer["begin"], *terms["backward"] = terms["backward"]
        return {**answer, **terms}


def _terms(direction: str | None, encoder: EncoderInfo) -> tuple[str, ...]:
    """The terms that a direction asks for, the encoder's own where none is given.

    Raises:
        OptionError: the encoder does not have the direction, or sees what is to be predicted.
    """
    if not encoder.one_sided:
        raise OptionError(
            "a part of the encoder's output sees both sides of its step, and so the token that it "
            "is to predict; use wrapper=bidirectional or wrapper=bidirectional_stacked with "
            "merge_mode=concat, or wrapper=none or stacked for one direction"
        )
    forward, backward = (any(encoder.directions[side::2]) for side in (0, 1))
    runs = "both" if forward and backward else "forward" if forward else "backward"
    wanted = direction or runs
    if runs not in ("both", wanted):
        raise OptionError(
            f"direction is {wanted}, and the encoder runs {runs} only; use wrapper=bidirectional, "
            f"or direction={runs}"
        )
    return TERMS if wanted == "both" else (wanted,)


def _same(context: Tensor) -> Tensor:
    return context


def _map(term: str, width: int, wanted: int) -> nn.Module:
    """From a term's context to the width of the softmax."""
    if term == "both":
        return nn.Sequential(nn.Linear(width, wanted), nn.Tanh())
    return nn.Identity() if width == wanted else nn.Linear(width, wanted)
