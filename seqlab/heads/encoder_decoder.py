"""Encoder-decoder: a sequence of tokens for a sequence (Sutskever et al. 2014; Cho et al. 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.construct import construct
from seqlab.errors import OptionError
from seqlab.heads.answer_limit import AnswerLimit
from seqlab.heads.attention import Memory
from seqlab.heads.base import Head, refuse_options
from seqlab.heads.decoder_network import DecoderNetwork, DecoderState
from seqlab.heads.losses import cross_entropy
from seqlab.heads.metrics import AnswersCut, ErrorRate, Outcome, SequenceAccuracy
from seqlab.heads.precision import at_least_float32
from seqlab.heads.search import Search
from seqlab.heads.teacher_forcing import TeacherForcing
from seqlab.layers.base import Layer
from seqlab.schema import Count, Fraction, Name, Positive, Share, checked
from seqlab.types import Batch, Encoded, EncoderInfo, State, TargetInfo, lengths_to_mask


class EncoderDecoderHead(Head):
    """A decoder that writes the target token by token, looking at the encoder's outputs.

    The equations are those of ``seqlab.heads.decoder_network``. The loss is the mean of
    ``-log p(token | tokens before, source)`` over all target tokens and the end mark. With pure
    teacher forcing and no input feeding it takes one call of the decoder's layer.

    Predictions: ``{"tokens": [ids], "score": log p, "cut": bool}`` without marks; ``cut`` says
    that the answer reached the largest length allowed.

    Metrics: ``token_error_rate`` (edit distance to the nearest reference / its length),
    ``token_error_rate_capped`` (the same, but no row counts more errors than its reference is
    long; runs are selected by it, since one answer that runs on cannot move it),
    ``sequence_error_rate`` (the share of rows that equal no reference) and
    ``sequence_accuracy``, all fractions; ``answers_cut`` counts the answers that reached the
    limit. ``token_name`` and ``sequence_name`` rename the first four.

    Args:
        encoder: the sizes of what the encoder hands over.
        target: of kind ``tokens``, with ``bos`` and ``eos``.
        decoder: ``{cell, num_layers, dropout, engine}`` of the decoder's recurrent layer.
        attention: a registered attention: none, dot, general, additive.
        embedding_size: of the target tokens.
        dropout: on target embeddings and before the output scores, in training.
        input_feeding: each step also sees the attention's result of the step before.
        bridge: start from the encoder's final state.
        tied_embedding: input embedding and output matrix are one.
        label_smoothing: see ``seqlab.heads.losses``.
        teacher_forcing: the probability that the decoder sees the true last token in training.
        schedule: lets that probability fall, see ``seqlab.heads.teacher_forcing``.
        search: the registered search that ``predict`` uses.
        validation_search: the one that ``measure`` uses, unless ``final``.
        max_length: the most tokens an answer may have.
        max_ratio: the most tokens for each source step (rounded up). With neither, the limit
            follows the training rows, see ``seqlab.heads.answer_limit``.
        token_name: what the metrics call a token, such as ``phoneme``.
        sequence_name: what they call a sequence, such as ``word``.
        metrics: further registered metrics.

    Raises:
        OptionError: an option does not fit, or the target lacks its marks.

    >>> target = TargetInfo("tokens", 9, bos=1, eos=2)
    >>> head = EncoderDecoderHead(EncoderInfo(4, 4, (4,)), target, token_name="phoneme")
    >>> head.monitor
    ('phoneme_error_rate_capped', 'min')
    """

    needs = ("tokens",)

    @checked
    def __init__(
        self,
        encoder: EncoderInfo,
        target: TargetInfo,
        *,
        decoder: Mapping[str, Any] | None = None,
        attention: Any = "general",
        embedding_size: Count = 64,
        dropout: Fraction = 0.0,
        input_feeding: bool = False,
        bridge: bool = True,
        tied_embedding: bool = False,
        label_smoothing: Fraction = 0.0,
        teacher_forcing: Share = 1.0,
        schedule: Mapping[str, Any] | None = None,
        search: Any = "greedy",
        validation_search: Any = "greedy",
        max_length: Count | None = None,
        max_ratio: Positive | None = None,
        token_name: Name = "token",  # noqa: S107 - a word for the metrics
        sequence_name: Name = "sequence",
        metrics: Sequence[Any] = (),
    ) -> None:
        super().__init__(encoder, target, metrics=metrics)
        self.bos, self.eos = _marks(target)
        self.label_smoothing = label_smoothing
        self.forcing = TeacherForcing(teacher_forcing, schedule)
        self.search = _search(search, "head.search")
        self.validation_search = _search(validation_search, "head.validation_search")
        self.limit = AnswerLimit(target, max_length, max_ratio)
        self.token_name, self.sequence_name = token_name, sequence_name
        self.monitor = (f"{token_name}_error_rate_capped", "min")
        self.decoder = DecoderNetwork(
            encoder,
            target.size,
            decoder=decoder,
            attention=attention,
            embedding_size=embedding_size,
            dropout=dropout,
            input_feeding=input_feeding,
            bridge=bridge,
            tied_embedding=tied_embedding,
        )

    def layers(self) -> Sequence[Layer]:
        """The decoder's layer."""
        return (self.decoder.layer,)

    def loss(self, encoded: Encoded, batch: Batch) -> Tensor:
        """See ``Head.loss``."""
        return self._loss(batch, *self.decoder.start(encoded))

    def predict(self, encoded: Encoded, **options: Any) -> list[dict[str, Any]]:
        """See ``Head.predict``.

        Args:
            encoded: from the encoder.
            **options: ``search`` (a spec), ``max_length``, ``max_ratio``, in place of the head's.
        """
        refuse_options(self, options, ("search", "max_length", "max_ratio"))
        chosen = options.pop("search", None)
        search = self.search if chosen is None else _search(chosen, "search")
        with torch.no_grad():
            answers = self._answer(search, encoded, *self.decoder.start(encoded), **options)
        columns = (answers.tokens, answers.score.tolist(), answers.cut.tolist())
        return [
            {"tokens": tokens, "score": score, "cut": cut}
            for tokens, score, cut in zip(*columns, strict=True)
        ]

    def metrics(self) -> dict[str, Metric]:
        """See ``Head.metrics``."""
        target = self.target_info
        return self.with_chosen(
            {
                f"{self.token_name}_error_rate": ErrorRate(target),
                f"{self.token_name}_error_rate_capped": ErrorRate(target, capped=True),
                f"{self.sequence_name}_error_rate": ErrorRate(target, level="sequence"),
                f"{self.sequence_name}_accuracy": SequenceAccuracy(target),
                "answers_cut": AnswersCut(target),
            }
        )

    def measure(
        self, metrics: Mapping[str, Metric], encoded: Encoded, batch: Batch, *, final: bool = False
    ) -> Tensor:
        """See ``Head.measure``; rows without references are held against their target."""
        memory, state = self.decoder.start(encoded)
        search = self.search if final else self.validation_search
        with torch.no_grad():
            answers = self._answer(search, encoded, memory, state)
        references = batch.references
        if references is None:
            target, lengths = self.target_of(batch).tolist(), self._target_lengths(batch).tolist()
            references = [[row[:n]] for row, n in zip(target, lengths, strict=True)]
        outcome = Outcome(answers.tokens, references, cut=answers.cut)
        for metric in metrics.values():
            metric.update(outcome)
        return self._loss(batch, memory, state)

    def _target_lengths(self, batch: Batch) -> Tensor:
        target = self.target_of(batch)
        if batch.target_lengths is None:
            return target.new_full((target.shape[0],), target.shape[1])
        return batch.target_lengths

    def _loss(self, batch: Batch, memory: Memory, state: DecoderState) -> Tensor:
        target, lengths = self.target_of(batch), self._target_lengths(batch)
        rows, steps = target.shape
        clean = target.masked_fill(~lengths_to_mask(lengths, steps), 0)
        begin = clean.new_full((rows, 1), self.bos)
        inputs = torch.cat([begin, clean], dim=1)
        goal = torch.cat([clean, torch.zeros_like(begin)], dim=1)
        goal = goal.scatter(1, lengths.unsqueeze(1), self.eos)
        mask = lengths_to_mask(lengths + 1, steps + 1)
        if self.decoder.input_feeding or (self.training and not self.forcing.always):
            scores = self._scores_by_step(inputs, mask, memory, state)
        else:
            scores = self.decoder.run(inputs, mask, memory, state)
        return cross_entropy(scores, goal, mask=mask, label_smoothing=self.label_smoothing)

    def _scores_by_step(
        self, inputs_BU: Tensor, mask_BU: Tensor, memory: Memory, state: DecoderState
    ) -> Tensor:
        """Scores ``[B, U, V]``, one step at a time; own tokens where teacher forcing says so."""
        mixed = self.training and not self.forcing.always
        given = self.forcing.draw(inputs_BU) if mixed else torch.ones_like(mask_BU)
        noise = self.decoder.sample_noise(*inputs_BU.shape)
        found: list[Tensor] = []
        for t in range(inputs_BU.shape[1]):
            token = inputs_BU[:, t : t + 1]
            if mixed and t > 0:
                p = at_least_float32(found[-1].detach()).softmax(-1)
                own = torch.multinomial(p.squeeze(1), 1)
                token = torch.where(given[:, t : t + 1], token, own)
            drawn = None if noise is None else noise.at(t)
            scores, state = self.decoder.step(token, memory, state, mask_BU[:, t], drawn)
            found.append(scores)
        return torch.cat(found, dim=1)

    def _answer(
        self,
        search: Search,
        encoded: Encoded,
        memory: Memory,
        state: DecoderState,
        *,
        max_length: Count | None = None,
        max_ratio: Positive | None = None,
    ) -> _Found:
        def step(tokens_BK: Tensor, state: State) -> tuple[Tensor, State]:
            scores, state = self.decoder.step(tokens_BK, memory, state)
            return at_least_float32(scores).log_softmax(-1), state

        limit = self.limit.changed(max_length, max_ratio).of(encoded.mask.sum(1))
        answers = search.find(step, state, limit, bos=self.bos, eos=self.eos)
        cut = (answers.lengths >= limit) & (limit > 0)
        return _Found(answers.to_lists(), answers.score, cut)


class _Found(NamedTuple):
    """Answers: their tokens, log probabilities, and which of them reached their limit."""

    tokens: list[list[int]]
    score: Tensor
    cut: Tensor


def _search(spec: Any, where: str) -> Search:
    search: Search = construct("search", spec, where=where)
    return search


def _marks(target: TargetInfo) -> tuple[int, int]:
    if target.bos is None or target.eos is None:
        raise OptionError("a target of kind 'tokens' needs bos and eos, the ids of its two marks")
    for name, mark in (("bos", target.bos), ("eos", target.eos)):
        if not 0 <= mark < target.size:
            raise OptionError(f"{name} is {mark}, outside of the {target.size} target tokens")
    return target.bos, target.eos
