"""Tagging: one label a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.errors import OptionError
from seqlab.heads.base import Head, refuse_options
from seqlab.heads.class_weights import ClassWeights
from seqlab.heads.class_weights import class_weights as make_weights
from seqlab.heads.classifier import Classifier
from seqlab.heads.crf import FORBIDDEN, LinearChainCRF, viterbi
from seqlab.heads.k_best import k_best
from seqlab.heads.losses import cross_entropy, entropy_weight
from seqlab.heads.masking import clean_output, compact_order, take_steps
from seqlab.heads.metrics import Outcome, SpanF1
from seqlab.heads.metrics.classes import Accuracy
from seqlab.heads.precision import at_least_float32
from seqlab.heads.schemes import Constraints, chunk_labels, scheme_constraints
from seqlab.schema import Count, Fraction, check_value, checked
from seqlab.types import Batch, Encoded, EncoderInfo, TargetInfo


class TaggingHead(Head):
    """One label for each real step, by softmax or a linear-chain CRF (Lafferty et al. 2001).

    The loss is the negative log likelihood per real step: of each label for softmax, of the
    whole label sequence divided by its length for the CRF. With a label scheme, sequences that
    break it are never predicted, and the CRF gives them probability 0.

    Predictions: ``{"tags": [...], "ids": [...], "scores": [...]}`` over the real steps; ``tags``
    are names where the target has names; a score is the probability of that label at that step.

    Metrics: ``accuracy`` over real steps; where the labels are chunk labels (``O``, ``B-X``,
    ...) also ``span_precision``, ``span_recall`` and ``span_f1``.

    Args:
        encoder: the sizes of the encoder's output.
        target: of kind ``tags``.
        crf: a CRF instead of independent softmax.
        scheme: ``iob1``, ``iob2``, ``bioes``, ``bilou``, or None for no constraints.
        dropout: on the encoder's output, in training.
        hidden_size: the width of a hidden layer before the scores; None for none.
        activation: of the hidden layer.
        class_weights: softmax only; a weight for each label, as a list, by name, or ``balanced``.
        label_smoothing: softmax only.
        metrics: further registered metrics, such as ``macro_f1``.

    Raises:
        OptionError: an option does not fit, or a label does not belong to the scheme.

    >>> head = TaggingHead(EncoderInfo(4, 4, (4,)), TargetInfo("tags", 3), crf=True)
    >>> sorted(head.metrics())
    ['accuracy']
    """

    needs = ("tags",)
    constraints: Constraints | None
    weight: Tensor | None

    @checked
    def __init__(
        self,
        encoder: EncoderInfo,
        target: TargetInfo,
        *,
        crf: bool = False,
        scheme: str | None = None,
        dropout: Fraction = 0.0,
        hidden_size: Count | None = None,
        activation: Any = "relu",
        class_weights: ClassWeights = None,
        label_smoothing: Fraction = 0.0,
        metrics: Sequence[Any] = (),
    ) -> None:
        super().__init__(encoder, target, metrics=metrics)
        self.constraints = _constraints(scheme, target)
        self.label_smoothing = label_smoothing
        if crf and (class_weights is not None or label_smoothing):
            raise OptionError("class_weights and label_smoothing belong to softmax: set crf=false")
        self.classifier = Classifier(
            encoder.output_size,
            target.size,
            hidden_size=hidden_size,
            activation=activation,
            dropout=dropout,
        )
        self.crf = LinearChainCRF(target.size, self.constraints) if crf else None
        weight = make_weights(class_weights, target)
        self.register_buffer("weight", weight, persistent=False)
        self.spans = chunk_labels(target.names) is not None
        self.monitor = ("span_f1", "max") if self.spans else ("accuracy", "max")

    def loss(self, encoded: Encoded, batch: Batch) -> Tensor:
        """See ``Head.loss``; a batch without real steps has loss 0."""
        return self._loss(self.scores(encoded), self.target_of(batch), encoded.mask)

    def predict(self, encoded: Encoded, **options: Any) -> list[dict[str, Any]]:
        """See ``Head.predict``.

        Args:
            encoded: from the encoder.
            **options: ``k_best``, a number: ``alternatives`` then holds the most probable label
                sequences of a row, best first, each with its log probability as ``score``;
                ``marginals``, true: the probability of each label at each step, ``[T][C]``.
        """
        refuse_options(self, options, ("k_best", "marginals"))
        count = check_value(options.get("k_best"), Count | None, "k_best")
        with_marginals = check_value(options.get("marginals", False), bool, "marginals")
        with torch.no_grad():
            order = compact_order(encoded.mask)
            lengths = encoded.mask.sum(1)
            scores = take_steps(self.scores(encoded), order)
            ids = self._decode(scores, lengths)
            probabilities = self._probabilities(scores, lengths)
            chosen = probabilities.gather(2, ids.unsqueeze(-1)).squeeze(-1)
            more: list[dict[str, Any]] = [{} for _ in range(len(ids))]
            if with_marginals:
                for row, values, n in zip(
                    more, probabilities.tolist(), lengths.tolist(), strict=True
                ):
                    row["marginals"] = values[:n]
            if count is not None:
                for row, found in zip(more, self._k_best(scores, lengths, count), strict=True):
                    row["alternatives"] = found
        counts = lengths.tolist()
        return [
            {
                "tags": [self.name_or_id(i) for i in row[:n]],
                "ids": row[:n],
                "scores": row_scores[:n],
                **added,
            }
            for row, row_scores, n, added in zip(
                ids.tolist(), chosen.tolist(), counts, more, strict=True
            )
        ]

    def metrics(self) -> dict[str, Metric]:
        """See ``Head.metrics``."""
        own: dict[str, Metric] = {"accuracy": Accuracy(self.target_info)}
        if self.spans:
            own["span_precision"] = SpanF1(self.target_info, score="precision")
            own["span_recall"] = SpanF1(self.target_info, score="recall")
            own["span_f1"] = SpanF1(self.target_info)
        return self.with_chosen(own)

    def measure(
        self, metrics: Mapping[str, Metric], encoded: Encoded, batch: Batch, *, final: bool = False
    ) -> Tensor:
        """See ``Head.measure``."""
        del final
        scores, target = self.scores(encoded), self.target_of(batch)
        order, lengths = compact_order(encoded.mask), encoded.mask.sum(1)
        own = take_steps(scores.detach(), order)
        outcome = Outcome(self._decode(own, lengths), take_steps(target, order), own, lengths)
        for metric in metrics.values():
            metric.update(outcome)
        return self._loss(scores, target, encoded.mask)

    def loss_weight(self, encoded: Encoded, batch: Batch) -> Tensor:
        """See ``Head.loss_weight``."""
        weight = None if self.crf is not None else self.weight
        return entropy_weight(self.target_of(batch), mask=encoded.mask, weight=weight)

    def refuses_chunks(self) -> str | None:
        """See ``Head.refuses_chunks``."""
        return None if self.crf is None else "a CRF scores the labels of whole rows"

    def refuses_steps(self) -> str | None:
        """See ``Head.refuses_steps``."""
        if self.constraints is not None:
            return "a label scheme chooses the labels of whole rows together"
        return self.refuses_chunks()

    def step_scores(self, output_BE: Tensor) -> Tensor:
        """``[B, C]``: of each label, before the softmax."""
        return at_least_float32(self.classifier(output_BE))

    def answer_steps(self, scores: Tensor) -> list[dict[str, Any]]:
        """``{"tag", "id", "score"}``, as in the lists of ``predict``."""
        best, ids = scores.softmax(-1).max(-1)
        return [
            {"tag": self.name_or_id(index), "id": index, "score": p}
            for index, p in zip(ids.tolist(), best.tolist(), strict=True)
        ]

    def scores(self, encoded: Encoded) -> Tensor:
        """``[B, T, C]``: of each label at each step, before the softmax or the CRF."""
        return at_least_float32(self.classifier(clean_output(encoded)))

    def _loss(self, scores_BTC: Tensor, target_BT: Tensor, mask_BT: Tensor) -> Tensor:
        if self.crf is None:
            return cross_entropy(
                scores_BTC,
                target_BT,
                mask=mask_BT,
                weight=self.weight,
                label_smoothing=self.label_smoothing,
            )
        order = compact_order(mask_BT)
        likelihood = self.crf.log_likelihood(
            take_steps(scores_BTC, order), take_steps(target_BT, order), mask_BT.sum(1)
        )
        return -likelihood.sum() / mask_BT.sum().clamp(min=1)

    def _decode(self, scores_BTC: Tensor, lengths_B: Tensor) -> Tensor:
        """The best labels of rows whose real steps come first."""
        if self.crf is not None:
            return self.crf.decode(scores_BTC, lengths_B)
        if self.constraints is None:
            return scores_BTC.argmax(-1)
        start, end, transitions = self._penalties(scores_BTC)
        return viterbi(scores_BTC.log_softmax(-1), lengths_B, start, transitions, end)

    def _penalties(self, scores_BTC: Tensor) -> list[Tensor]:
        """Softmax's start, end and transition scores: 0, or what forbids."""
        if self.constraints is None:
            size = scores_BTC.shape[2]
            return [scores_BTC.new_zeros(shape) for shape in ((size,), (size,), (size, size))]
        return [
            FORBIDDEN * (~allowed).to(scores_BTC.device, scores_BTC.dtype)
            for allowed in self.constraints
        ]

    def _k_best(self, scores_BTC: Tensor, lengths_B: Tensor, k: int) -> list[list[dict[str, Any]]]:
        """The most probable label sequences of rows whose real steps come first."""
        rows, steps, _ = scores_BTC.shape
        if steps == 0:
            return [[self._alternative([], 0.0)] for _ in range(rows)]
        if self.crf is not None:
            labels, rank = self.crf.k_best(scores_BTC, lengths_B, k)
            every = [
                self.crf.log_likelihood(scores_BTC, one, lengths_B) for one in labels.unbind(1)
            ]
            log_p = torch.stack(every, 1)
        else:
            start, end, transitions = self._penalties(scores_BTC)
            labels, rank = k_best(
                scores_BTC.log_softmax(-1), lengths_B, start, transitions, end, k=k
            )
            log_p = rank
        # what the scheme forbids, and places behind the last sequence
        good = rank > rank[:, :1] + FORBIDDEN / 2
        good[:, 0] = True
        columns = (labels.tolist(), log_p.tolist(), good.tolist(), lengths_B.tolist())
        answers = []
        for row, values, kept, n in zip(*columns, strict=True):
            # without steps there is one sequence, the empty one
            found = zip(row, values, kept, strict=True) if n else [([], 0.0, True)]
            answers.append([self._alternative(ids[:n], value) for ids, value, ok in found if ok])
        return answers

    def _alternative(self, ids: list[int], log_p: float) -> dict[str, Any]:
        return {"tags": [self.name_or_id(i) for i in ids], "ids": ids, "score": log_p}

    def _probabilities(self, scores_BTC: Tensor, lengths_B: Tensor) -> Tensor:
        if self.crf is None:
            return scores_BTC.softmax(-1)
        return self.crf.marginals(scores_BTC, lengths_B)


def _constraints(scheme: str | None, target: TargetInfo) -> Constraints | None:
    if scheme is None:
        return None
    if not target.names:
        raise OptionError(f"scheme '{scheme}' needs the names of the labels; this target has none")
    return scheme_constraints(scheme, target.names)
