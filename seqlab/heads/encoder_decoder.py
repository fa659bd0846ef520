"""Encoder-decoder: a sequence of tokens for a sequence (Sutskever et al. 2014; Cho et al. 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.heads.answer_limit import AnswerLimit
from seqlab.heads.attention import Memory
from seqlab.heads.decoder_network import DecoderNetwork, DecoderState
from seqlab.heads.losses import cross_entropy
from seqlab.heads.metrics import AnswersCut, ErrorRate
from seqlab.heads.precision import at_least_float32
from seqlab.heads.search import Search
from seqlab.heads.teacher_forcing import TeacherForcing
from seqlab.heads.tokens import Found, TokensHead
from seqlab.layers.base import Layer
from seqlab.schema import Count, Fraction, Positive, Share, checked
from seqlab.types import Batch, Encoded, EncoderInfo, State, TargetInfo, lengths_to_mask


class EncoderDecoderHead(TokensHead):
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

    answer_options = ("max_length", "max_ratio")

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
        max_length: Count | None = None,
        max_ratio: Positive | None = None,
        **options: Any,
    ) -> None:
        super().__init__(encoder, target, **options)
        self.label_smoothing = label_smoothing
        self.forcing = TeacherForcing(teacher_forcing, schedule)
        self.limit = AnswerLimit(target, max_length, max_ratio)
        self.monitor = (f"{self.token_name}_error_rate_capped", "min")
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

    def begin(self, encoded: Encoded) -> tuple[Memory, DecoderState]:
        """See ``TokensHead.begin``."""
        return self.decoder.start(encoded)

    def own_metrics(self) -> dict[str, Metric]:
        """See ``TokensHead.own_metrics``."""
        target = self.target_info
        capped = {f"{self.token_name}_error_rate_capped": ErrorRate(target, capped=True)}
        return {**super().own_metrics(), **capped, "answers_cut": AnswersCut(target)}

    def loss_after(
        self, begun: tuple[Memory, DecoderState], encoded: Encoded, batch: Batch
    ) -> Tensor:
        """See ``TokensHead.loss_after``."""
        del encoded
        target, lengths = self.target_of(batch), self.target_lengths(batch)
        rows, steps = target.shape
        clean = target.masked_fill(~lengths_to_mask(lengths, steps), 0)
        begin = clean.new_full((rows, 1), self.bos)
        inputs = torch.cat([begin, clean], dim=1)
        goal = torch.cat([clean, torch.zeros_like(begin)], dim=1)
        goal = goal.scatter(1, lengths.unsqueeze(1), self.eos)
        mask = lengths_to_mask(lengths + 1, steps + 1)
        if self.decoder.input_feeding or (self.training and not self.forcing.always):
            scores = self._scores_by_step(inputs, mask, *begun)
        else:
            scores = self.decoder.run(inputs, mask, *begun)
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

    def answer(
        self,
        search: Search,
        begun: tuple[Memory, DecoderState],
        encoded: Encoded,
        *,
        n_best: int = 1,
        **options: Any,
    ) -> Found:
        """See ``TokensHead.answer``; ``options`` are those of ``AnswerLimit.changed``."""
        memory, state = begun

        def step(tokens_BK: Tensor, state: State) -> tuple[Tensor, State]:
            scores, state = self.decoder.step(tokens_BK, memory, state)
            return at_least_float32(scores).log_softmax(-1), state

        limit = self.limit.changed(**options).of(encoded.mask.sum(1))
        found = search.find_several(step, state, limit, bos=self.bos, eos=self.eos, n=n_best)
        return Found(found, (found[0].lengths >= limit) & (limit > 0))
