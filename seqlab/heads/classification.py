"""Classification: one label a sequence, or several."""

from __future__ import annotations

import copy as copying
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric

from seqlab.errors import OptionError
from seqlab.heads.base import Head, refuse_options
from seqlab.heads.class_weights import ClassWeights
from seqlab.heads.class_weights import class_weights as make_weights
from seqlab.heads.classifier import Classifier
from seqlab.heads.losses import cross_entropy, entropy_weight, weighted_mean
from seqlab.heads.metrics import Outcome
from seqlab.heads.metrics.classes import Accuracy, CalibrationError, ExactMatch, MacroF1
from seqlab.heads.pooling import Poolings
from seqlab.heads.precision import at_least_float32
from seqlab.schema import Count, Fraction, Positive, Share, checked
from seqlab.types import Batch, Encoded, EncoderInfo, TargetInfo

Temperature = Positive | Literal["fitted"]
#: What the error of calibrated probabilities is called.
CALIBRATION = "calibration_error"


class ClassificationHead(Head):
    """One label a sequence (softmax), or any number of labels (one logistic unit each).

    Predictions: ``{"label": ..., "id": int, "scores": [C floats]}``; with several labels
    ``{"labels": [...], "ids": [...], "scores": [C floats]}``. Scores are probabilities; labels
    are names where the target has names.

    A row with several accepted classes is right if its answer is any of them; the loss is that of
    the first.

    Metrics: ``accuracy`` and ``macro_f1``; with several labels ``accuracy`` counts each yes or
    no, and ``exact_match`` the rows where all are right.

    Args:
        encoder: the sizes of the encoder's output.
        target: of kind ``label`` or ``labels``.
        pooling: a registered pooling (last, first, mean, max, final_state, attention), or a list
            of them, whose vectors are joined.
        dropout: on the pooled vector and the hidden layer, in training.
        hidden_size: the width of a hidden layer before the scores; None for none.
        activation: of the hidden layer.
        class_weights: a weight for each class, as a list, by name, or ``balanced``; for several
            labels it weighs the positive answers. See ``seqlab.heads.class_weights``.
        label_smoothing: moves this share of the target evenly over the classes (Szegedy et al.
            2016); with several labels each 0/1 moves half that share towards the other.
        threshold: several labels only: a label is given where its probability is above it.
        temperature: divides the scores before the softmax; above 1 makes answers less sure.
            ``fitted``: a run fits it on the validation rows when it has ended and keeps it in the
            bundle, see ``seqlab.heads.calibration``; ``calibration_error`` is then measured, too.
        metrics: further registered metrics, such as ``top_k_accuracy``.

    Raises:
        OptionError: an option does not fit.

    >>> target = TargetInfo("label", 2, ("no", "yes"))
    >>> head = ClassificationHead(EncoderInfo(4, 4, (4,)), target, pooling="mean")
    >>> sorted(head.metrics())
    ['accuracy', 'macro_f1']
    """

    needs = ("label", "labels")
    weighs_rows = True
    weight: Tensor | None

    @checked
    def __init__(
        self,
        encoder: EncoderInfo,
        target: TargetInfo,
        *,
        pooling: Any = ("last", "max"),
        dropout: Fraction = 0.0,
        hidden_size: Count | None = None,
        activation: Any = "relu",
        class_weights: ClassWeights = None,
        label_smoothing: Fraction = 0.0,
        threshold: Share = 0.5,
        temperature: Temperature = 1.0,
        metrics: Sequence[Any] = (),
    ) -> None:
        super().__init__(encoder, target, metrics=metrics)
        if target.size < 2:
            raise OptionError("the target has 1 class; classification needs at least 2")
        self.multi_label = target.kind == "labels"
        self.label_smoothing, self.threshold = label_smoothing, threshold
        self.fits_temperature = temperature == "fitted"
        self.temperature = 1.0 if isinstance(temperature, str) else temperature
        self.calibrated = temperature != 1.0
        if self.calibrated and self.multi_label:
            raise OptionError(
                "temperature: it calibrates one label a row; of several labels a row each has its "
                "own yes and no: leave it out"
            )
        self.poolings = Poolings(encoder, pooling)
        self.classifier = Classifier(
            self.poolings.output_size,
            target.size,
            hidden_size=hidden_size,
            activation=activation,
            dropout=dropout,
        )
        weight = make_weights(class_weights, target)
        self.register_buffer("weight", weight, persistent=False)
        self.monitor = ("macro_f1", "max") if self.multi_label else ("accuracy", "max")

    def together(self, heads: Sequence[Head]) -> Head:
        """See ``Head.together``: the same head over the mean of all heads' probabilities."""
        own = [head for head in heads if isinstance(head, ClassificationHead)]
        if len(own) < len(heads):
            raise OptionError("an ensemble needs models of one kind; these have different heads")
        twin = copying.copy(self)
        twin.temperature = 1.0
        # the copy would share the parts of this one
        averaged = _Averaged(own, several=self.multi_label)
        twin.__dict__["_modules"] = {"poolings": nn.Identity(), "classifier": averaged}
        return twin

    def loss(self, encoded: Encoded, batch: Batch) -> Tensor:
        """See ``Head.loss``; the mean over rows."""
        return self._loss(self.scores(encoded), self.target_of(batch), batch.weights)

    def predict(self, encoded: Encoded, **options: Any) -> list[dict[str, Any]]:
        """See ``Head.predict``; there are no options."""
        refuse_options(self, options)
        with torch.no_grad():
            scores = self.scores(encoded)
            if self.multi_label:
                given, rows = self._yes(scores).tolist(), scores.sigmoid().tolist()
                return [self._labels(*pair) for pair in zip(given, rows, strict=True)]
            probabilities = scores.softmax(-1)
            best = probabilities.argmax(-1)
        return [
            {"label": self.name_or_id(i), "id": i, "scores": row}
            for i, row in zip(best.tolist(), probabilities.tolist(), strict=True)
        ]

    def metrics(self) -> dict[str, Metric]:
        """See ``Head.metrics``."""
        target = self.target_info
        own: dict[str, Metric] = {"accuracy": Accuracy(target), "macro_f1": MacroF1(target)}
        if self.multi_label:
            own["exact_match"] = ExactMatch(target)
        if self.calibrated and CALIBRATION not in self.chosen:
            own[CALIBRATION] = CalibrationError(target)
        return self.with_chosen(own)

    def measure(
        self, metrics: Mapping[str, Metric], encoded: Encoded, batch: Batch, *, final: bool = False
    ) -> Tensor:
        """See ``Head.measure``."""
        del final
        scores, target = self.scores(encoded), self.target_of(batch)
        raw = scores.detach()
        if batch.references is not None and not self.multi_label:
            target = _nearest(raw.argmax(-1), target, batch.references)
        outcome = (
            Outcome(self._yes(raw).long(), target.long(), raw.sigmoid())
            if self.multi_label
            else Outcome(raw.argmax(-1), target, raw.softmax(-1))
        )
        for metric in metrics.values():
            metric.update(outcome)
        return self._loss(scores, self.target_of(batch), batch.weights)

    def loss_weight(self, encoded: Encoded, batch: Batch) -> Tensor | float:
        """See ``Head.loss_weight``."""
        if self.multi_label:
            return batch.size if batch.weights is None else batch.weights.sum()
        del encoded
        target = self.target_of(batch)
        return entropy_weight(target, weight=self.weight, counts=batch.weights)

    def scores(self, encoded: Encoded) -> Tensor:
        """``[B, C]``: log probabilities up to a constant a row, or one logit a label."""
        scores = at_least_float32(self.classifier(self.poolings(encoded)))
        return scores if self.temperature == 1.0 else scores / self.temperature

    def _loss(self, scores_BC: Tensor, target: Tensor, counts_B: Tensor | None) -> Tensor:
        if self.multi_label:
            weight = None if self.weight is None else self.weight.to(scores_BC.dtype)
            smoothing = self.label_smoothing
            goal = target.to(scores_BC.dtype) * (1 - smoothing) + smoothing / 2
            if counts_B is None:
                return F.binary_cross_entropy_with_logits(scores_BC, goal, pos_weight=weight)
            costs_BC = F.binary_cross_entropy_with_logits(
                scores_BC, goal, pos_weight=weight, reduction="none"
            )
            return weighted_mean(costs_BC.mean(1), counts_B)
        return cross_entropy(
            scores_BC,
            target,
            weight=self.weight,
            counts=counts_B,
            label_smoothing=self.label_smoothing,
        )

    def _yes(self, scores_BC: Tensor) -> Tensor:
        return scores_BC.sigmoid() > self.threshold

    def _labels(self, given: list[bool], probabilities: list[float]) -> dict[str, Any]:
        ids = [i for i, yes in enumerate(given) if yes]
        return {
            "labels": [self.name_or_id(i) for i in ids],
            "ids": ids,
            "scores": probabilities,
        }


class _Averaged(nn.Module):
    """Scores whose softmax, or logistic function, is the mean of that of several heads."""

    def __init__(self, heads: Sequence[ClassificationHead], *, several: bool) -> None:
        super().__init__()
        self.heads, self.several = nn.ModuleList(heads), several

    def forward(self, together: Sequence[Encoded]) -> Tensor:
        """``[B, C]``, from what each head's encoder made of the batch."""
        heads = (head for head in self.heads if isinstance(head, ClassificationHead))
        scores = torch.stack([h.scores(e) for h, e in zip(heads, together, strict=True)])
        if self.several:
            return torch.logit(scores.sigmoid().mean(0))
        return scores.log_softmax(-1).logsumexp(0) - math.log(len(scores))


def _nearest(answer_B: Tensor, target_B: Tensor, accepted: Sequence[Sequence[list[int]]]) -> Tensor:
    """What each row is held against: its answer, where that is accepted, else its target."""
    rows = zip(answer_B.tolist(), target_B.tolist(), accepted, strict=True)
    nearest = [answer if [answer] in ids else gold for answer, gold, ids in rows]
    return torch.tensor(nearest, dtype=target_B.dtype, device=target_B.device)
