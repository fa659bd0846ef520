"""Encoder-decoder: a sequence of tokens for a sequence (Sutskever et al. 2014; Cho et al. 2014)."""

from __future__ import annotations

import copy as copying
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.engines.calls import coming_steps
from seqlab.errors import OptionError
from seqlab.heads.answer_limit import AnswerLimit
from seqlab.heads.attention import Memory
from seqlab.heads.base import Head
from seqlab.heads.decoder_ensemble import DecoderEnsemble
from seqlab.heads.decoder_network import DecoderNetwork, DecoderState, Written, joined
from seqlab.heads.losses import cross_entropy
from seqlab.heads.metrics import AnswersCut, ErrorRate
from seqlab.heads.pointer import UNK, unknown_steps
from seqlab.heads.precision import at_least_float32
from seqlab.heads.search import Answers, Search
from seqlab.heads.teacher_forcing import TeacherForcing
from seqlab.heads.tokens import Found, TokensHead
from seqlab.layers.base import Layer
from seqlab.schema import Count, Flag, Fraction, NonNegative, Positive, Share, checked
from seqlab.types import Batch, Encoded, EncoderInfo, State, TargetInfo, lengths_to_mask


class Known(NamedTuple):
    """Known targets ``[B, U + 1]``: what the decoder is given, what is right, and what is real."""

    inputs: Tensor
    goal: Tensor
    mask: Tensor


class EncoderDecoderHead(TokensHead):
    """A decoder that writes the target token by token, looking at the encoder's outputs.

    The equations are those of ``seqlab.heads.decoder_network``. The loss is the mean of
    ``-log p(token | tokens before, source)`` over all target tokens and the end mark. With pure
    teacher forcing and no input feeding it takes one call of the decoder's layer.

    Predictions: ``{"tokens": [ids], "score": log p, "cut": bool}`` without marks; ``cut`` says
    that the answer reached the largest length allowed. With ``copy`` there is ``copied``, too:
    pairs of a place in the answer where ``<unk>`` stands and the source step it was taken from.

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
        attention: a registered attention: none, dot, general, additive, multi_head.
        embedding_size: of the target tokens.
        dropout: on target embeddings and before the output scores, in training.
        input_feeding: each step also sees the attention's result of the step before.
        bridge: start from the encoder's final state, by a map of it, or by ``copy`` as it is
            (Sutskever et al. 2014), where decoder and encoder have states of one form.
        tied_embedding: input embedding and output matrix are one.
        coverage: the attention knows where it has looked before; this is the weight of the loss
            for looking there again (See et al. 2017 take 1), the mean over all target tokens.
            None for no coverage, see ``seqlab.heads.coverage``.
        copy: an answer may take tokens from the source, see ``seqlab.heads.pointer``; the data
            say from which feature (``data.target.copies``).
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
        bridge: bool | Literal["copy"] = True,
        tied_embedding: bool = False,
        coverage: NonNegative | None = None,
        copy: Flag = False,
        label_smoothing: Fraction = 0.0,
        teacher_forcing: Share = 1.0,
        schedule: Mapping[str, Any] | None = None,
        max_length: Count | None = None,
        max_ratio: Positive | None = None,
        **options: Any,
    ) -> None:
        super().__init__(encoder, target, **options)
        self.label_smoothing, self.coverage = label_smoothing, coverage
        self.forcing = TeacherForcing(teacher_forcing, schedule)
        self.limit = AnswerLimit(target, max_length, max_ratio)
        self.monitor = (f"{self.token_name}_error_rate_capped", "min")
        self.decoder = DecoderNetwork(
            encoder,
            target,
            decoder=decoder,
            attention=attention,
            embedding_size=embedding_size,
            dropout=dropout,
            input_feeding=input_feeding,
            bridge=bridge,
            tied_embedding=tied_embedding,
            coverage=coverage is not None,
            copy=copy,
        )

    def together(self, heads: Sequence[Head]) -> Head:
        """See ``Head.together``: the same head with all decoders, averaged at each step."""
        networks = [head.decoder for head in heads if isinstance(head, EncoderDecoderHead)]
        if len(networks) < len(heads):
            raise OptionError("an ensemble needs models of one kind; these have different heads")
        twin = copying.copy(self)
        # the copy would share the parts of this one
        twin.__dict__["_modules"] = {**self._modules, "decoder": DecoderEnsemble(networks)}
        return twin

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
        known = self._known(self.target_of(batch), self.target_lengths(batch))
        written = self._write(known, *begun)
        loss = cross_entropy(
            written.scores, known.goal, mask=known.mask, label_smoothing=self.label_smoothing
        )
        overlap = written.looked.overlap
        if self.coverage and overlap is not None:
            loss = loss + self.coverage * overlap[known.mask].to(loss.dtype).mean()
        return loss

    def loss_weight(self, encoded: Encoded, batch: Batch) -> Tensor:
        """See ``Head.loss_weight``: tokens, and an end of each row."""
        del encoded
        return (self.target_lengths(batch) + 1).sum()

    def _known(self, target_BU: Tensor, lengths_B: Tensor) -> Known:
        """Targets between their marks, whatever stands in their padding."""
        rows, steps = target_BU.shape
        clean = target_BU.masked_fill(~lengths_to_mask(lengths_B, steps), 0)
        begin = clean.new_full((rows, 1), self.bos)
        goal = torch.cat([clean, torch.zeros_like(begin)], dim=1)
        return Known(
            torch.cat([begin, clean], dim=1),
            goal.scatter(1, lengths_B.unsqueeze(1), self.eos),
            lengths_to_mask(lengths_B + 1, steps + 1),
        )

    def _write(self, known: Known, memory: Memory, state: DecoderState) -> Written:
        """What the decoder gives for known targets, at once where it can."""
        if self.decoder.input_feeding or (self.training and not self.forcing.always):
            return self._write_by_step(known, memory, state)
        return self.decoder.run(known.inputs, known.mask, memory, state)

    def _write_by_step(self, known: Known, memory: Memory, state: DecoderState) -> Written:
        """One step at a time; own tokens where teacher forcing says so."""
        inputs = known.inputs
        mixed = self.training and not self.forcing.always
        given = self.forcing.draw(inputs) if mixed else known.mask
        noise = self.decoder.sample_noise(*inputs.shape)
        found: list[Written] = []
        for t in range(inputs.shape[1]):
            token = inputs[:, t : t + 1]
            if mixed and t > 0:
                p = at_least_float32(found[-1].scores.detach()).softmax(-1)
                own = torch.multinomial(p.squeeze(1), 1)
                token = torch.where(given[:, t : t + 1], token, own)
            drawn = None if noise is None else noise.at(t)
            written, state = self.decoder.step(token, memory, state, known.mask[:, t], drawn)
            found.append(written)
        return joined(found)

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
            written, state = self.decoder.step(tokens_BK, memory, state)
            return at_least_float32(written.scores).log_softmax(-1), state

        limit = self.limit.changed(**options).of(encoded.mask.sum(1))
        with coming_steps(int(limit.max()) + 1):
            found = search.find_several(step, state, limit, bos=self.bos, eos=self.eos, n=n_best)
        cut = (found[0].lengths >= limit) & (limit > 0)
        return Found(found, cut, self._copied(found, begun))

    def _copied(
        self, found: Sequence[Answers], begun: tuple[Memory, DecoderState]
    ) -> list[list[list[list[int]]]] | None:
        """Of each answer where its unknown tokens were taken from; None where nothing is copied."""
        if not self.decoder.copies:
            return None
        memory = self.decoder.sources(begun[0])
        copied: list[list[list[list[int]]]] = []
        for answers in found:
            if not (answers.tokens == UNK).any():
                copied.append([[] for _ in answers.lengths])
                continue
            known = self._known(answers.tokens, answers.lengths)
            looked = self._write(known, *begun).looked
            copied.append(unknown_steps(answers, looked.weights, memory))
        return copied
