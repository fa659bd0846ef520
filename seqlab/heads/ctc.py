"""CTC: a sequence of tokens for a longer sequence of frames, without an alignment."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from seqlab.errors import DataError, OptionError
from seqlab.heads.classifier import Classifier
from seqlab.heads.crf import FORBIDDEN
from seqlab.heads.ctc_prefixes import PrefixSteps, best_path, empty_prefixes
from seqlab.heads.masking import clean_output, compact_order, take_steps
from seqlab.heads.precision import at_least_float32
from seqlab.heads.tokens import Found, TokensHead
from seqlab.repeatable import ctc_loss
from seqlab.schema import Count, Fraction, checked
from seqlab.types import Batch, Encoded, EncoderInfo, TargetInfo, lengths_to_mask

BEST_PATH = "best_path"


class CTCHead(TokensHead):
    """Connectionist temporal classification (Graves et al. 2006): tokens in order, unaligned.

    Each real step of the input gives ``upsampling`` frames, and each frame a softmax over the
    tokens and a blank, for which the id of ``bos`` is used. An alignment writes one of them at
    each frame; equal neighbours then become one, and blanks are left out. The loss is

        -sum over rows of log sum over alignments of prod_t y_t(alignment_t) / (tokens + rows)

    A target of U tokens needs as many frames, and one more for each token that equals the one
    before it; shorter rows have no alignment, and no finite loss.

    Predictions: ``{"tokens": [ids], "score": log p}``; the score is the log probability of the
    tokens, summed over all alignments (of ``best_path``: that of the one alignment). Searches walk
    over label prefixes, whose probabilities are exact, see ``seqlab.heads.ctc_prefixes``.

    Metrics: ``token_error_rate`` (edit distance to the nearest reference / its length), by which
    runs are selected, ``sequence_error_rate`` and ``sequence_accuracy``, all fractions;
    ``token_name`` and ``sequence_name`` rename them.

    Args:
        encoder: the sizes of the encoder's output.
        target: of kind ``tokens``, with ``bos`` and ``eos``.
        upsampling: the frames of each input step, by weights of their own.
        too_long: what to do with rows whose target needs more frames than they have: ``refuse``
            the data, or ``skip`` them in the loss; their answers are measured nevertheless.
        dropout: on the encoder's output and the hidden layer, in training.
        hidden_size: the width of a hidden layer before the scores; None for none.
        activation: of the hidden layer.
        search: how ``predict`` finds answers: a registered search, such as greedy, or
            ``{name: beam, width: 8}`` for prefix beam search, or ``best_path`` for the most
            probable alignment.
        validation_search: how ``measure`` does, unless ``final``.
        token_name: what the metrics call a token, such as ``phoneme``.
        sequence_name: what they call a sequence, such as ``word``.
        metrics: further registered metrics.

    Raises:
        OptionError: an option does not fit, or the target lacks its marks.

    >>> target = TargetInfo("tokens", 9, bos=1, eos=2)
    >>> head = CTCHead(EncoderInfo(4, 4, (4,)), target, upsampling=2)
    >>> head.monitor
    ('token_error_rate', 'min')
    """

    @checked
    def __init__(
        self,
        encoder: EncoderInfo,
        target: TargetInfo,
        *,
        upsampling: Count = 1,
        too_long: Literal["refuse", "skip"] = "refuse",
        dropout: Fraction = 0.0,
        hidden_size: Count | None = None,
        activation: Any = "relu",
        validation_search: Any = BEST_PATH,
        **options: Any,
    ) -> None:
        super().__init__(encoder, target, validation_search=validation_search, **options)
        self.upsampling, self.too_long = upsampling, too_long
        self.classifier = Classifier(
            encoder.output_size,
            upsampling * target.size,
            hidden_size=hidden_size,
            activation=activation,
            dropout=dropout,
        )

    def make_search(self, spec: Any, where: str) -> Any:
        """A search from its spec; ``best_path`` is this head's own."""
        return spec if spec == BEST_PATH else super().make_search(spec, where)

    def scores(self, encoded: Encoded) -> Tensor:
        """``[B, T * upsampling, V]``: log probabilities of the frames of each step."""
        raw = at_least_float32(self.classifier(clean_output(encoded)))
        rows, steps, _ = raw.shape
        raw = raw.reshape(rows, steps * self.upsampling, self.target_info.size)
        marks = torch.arange(raw.shape[2], device=raw.device) == self.eos
        return raw.masked_fill(marks, FORBIDDEN).log_softmax(-1)

    def begin(self, encoded: Encoded) -> Tensor:
        """The frames ``[B, F, V]`` of the real steps, in order; blank for certain after them."""
        order = compact_order(encoded.mask)
        output, mask = take_steps(encoded.output, order), take_steps(encoded.mask, order)
        frames = self.scores(encoded._replace(output=output, mask=mask))
        if not frames.shape[1]:
            frames = frames.new_zeros(frames.shape[0], 1, frames.shape[2])
        certain = torch.full_like(frames[:1, :1], FORBIDDEN)
        certain[..., self.bos] = 0.0
        real = lengths_to_mask(self._frames(encoded.mask.sum(1)), frames.shape[1])
        return torch.where(real.unsqueeze(-1), frames, certain)

    def loss_after(self, begun: Tensor, encoded: Encoded, batch: Batch) -> Tensor:
        """See ``TokensHead.loss_after``.

        Raises:
            DataError: a target needs more frames than its row has; the row is named.
        """
        steps = encoded.mask.sum(1)
        if (found := self._refusal(batch, steps)) is not None:
            row, reason = found
            place = (
                f"row {row + 1} of the batch" if batch.rows is None else f"row {batch.rows[row]}"
            )
            raise DataError(f"{place}: {reason}")
        target, lengths = self._clean(batch)
        fits = _needed(target, lengths) <= self._frames(steps)
        # an input of no frames has one of certain blank
        frames = self._frames(steps).clamp(min=1)
        loss = ctc_loss(
            begun.transpose(0, 1),
            target,
            frames,
            lengths,
            blank=self.bos,
            reduction="none",
            zero_infinity=True,
        )
        return (loss * fits).sum() / ((lengths + 1) * fits).sum().clamp(min=1)

    def loss_weight(self, encoded: Encoded, batch: Batch) -> Tensor:
        """See ``Head.loss_weight``: tokens, and one of each row, of rows with frames enough."""
        target, lengths = self._clean(batch)
        fits = _needed(target, lengths) <= self._frames(encoded.mask.sum(1))
        return ((lengths + 1) * fits).sum()

    def refusal(self, batch: Batch) -> tuple[int, str] | None:
        """See ``Head.refusal``: a target that needs more frames than its row has."""
        return self._refusal(batch, batch.lengths)

    def answer(
        self, search: Any, begun: Tensor, encoded: Encoded, *, n_best: int = 1, **options: Any
    ) -> Found:
        """See ``TokensHead.answer``."""
        del options
        if search == BEST_PATH:
            if n_best > 1:
                raise OptionError(
                    f"n_best: {BEST_PATH} finds one answer a row; give search={{name: beam, "
                    f"width: {n_best}}}"
                )
            return Found([best_path(begun, self.bos)])
        step = PrefixSteps(begun, blank=self.bos, eos=self.eos)
        limit = self._frames(encoded.mask.sum(1))
        start = empty_prefixes(begun, self.bos)
        marks = {"bos": self.bos, "eos": self.eos}
        return Found(search.find_several(step, start, limit, **marks, n=n_best))

    def _frames(self, steps_B: Tensor) -> Tensor:
        return steps_B * self.upsampling

    def _clean(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The targets, blank after their ends, and their lengths."""
        target, lengths = self.target_of(batch), self.target_lengths(batch)
        return target.masked_fill(~lengths_to_mask(lengths, target.shape[1]), self.bos), lengths

    def _refusal(self, batch: Batch, steps_B: Tensor) -> tuple[int, str] | None:
        if self.too_long == "skip":
            return None
        target, lengths = self._clean(batch)
        needed = _needed(target, lengths)
        bad = (needed > self._frames(steps_B)).nonzero()
        if not len(bad):
            return None
        row = int(bad[0])
        tokens, wanted, steps = int(lengths[row]), int(needed[row]), int(steps_B[row])
        advice = f"raise head.upsampling to {-(-wanted // steps)}, or " if steps else ""
        return row, (
            f"CTC needs {wanted} frames to write {tokens} tokens, with a blank between equal ones; "
            f"{steps} steps with head.upsampling={self.upsampling} give {steps * self.upsampling}; "
            f"{advice}leave such rows out of the loss by head.too_long=skip"
        )


def _needed(target_BU: Tensor, lengths_B: Tensor) -> Tensor:
    """The fewest frames that can write each row: its tokens, and a blank between equal ones."""
    inside = lengths_to_mask(lengths_B - 1, max(target_BU.shape[1] - 1, 0))
    repeats = (target_BU[:, 1:] == target_BU[:, :-1]) & inside
    return lengths_B + repeats.sum(1)
