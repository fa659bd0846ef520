"""Heads with one bug each. Do not use them; the conformance kit must find them."""

# ruff: noqa: ARG002  # the signatures are the contract's; many a bug is an argument that is ignored

from __future__ import annotations

import torch
import torch.nn.functional as F
from seqlab.heads.classification import ClassificationHead
from seqlab.heads.metrics import Outcome
from seqlab.heads.tagging import TaggingHead


class CountsPadding(TaggingHead):
    """Its loss is the mean over all steps, padded ones too."""

    def _loss(self, scores_BTC, target_BT, mask_BT):
        real = super()._loss(scores_BTC, target_BT, mask_BT)
        return real * mask_BT.sum() / mask_BT.numel()


class AnswersWithTensors(ClassificationHead):
    """Its answers hold tensors."""

    def predict(self, encoded, **options):
        answers = super().predict(encoded, **options)
        return [{**answer, "scores": torch.tensor(answer["scores"])} for answer in answers]


class LosesARow(ClassificationHead):
    """It answers all rows but the last."""

    def predict(self, encoded, **options):
        return super().predict(encoded, **options)[:-1]


class LossPerRow(ClassificationHead):
    """Its loss is one number a row."""

    def _loss(self, scores_BC, target, counts_B):
        return super()._loss(scores_BC, target, counts_B).expand(scores_BC.shape[0])


class TwoLosses(ClassificationHead):
    """``measure`` returns another loss than ``loss``."""

    def measure(self, metrics, encoded, batch, *, final=False):
        return super().measure(metrics, encoded, batch, final=final) * 0.5


class OneSetOfMetrics(TaggingHead):
    """It hands out the same metrics to all."""

    kept = None

    def metrics(self):
        if self.kept is None:
            self.__dict__["kept"] = super().metrics()
        return dict(self.kept)


class WrongMonitor(TaggingHead):
    """It selects runs by a metric that it does not have."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.monitor = ("f1", "max")


class DetachedLoss(TaggingHead):
    """Its loss has no gradient for the encoder."""

    def scores(self, encoded):
        return super().scores(encoded._replace(output=encoded.output.detach()))


class DropoutAtInference(ClassificationHead):
    """It drops scores always."""

    def scores(self, encoded):
        return F.dropout(super().scores(encoded), 0.3)


class MixesRows(ClassificationHead):
    """It centres the scores over the batch."""

    def scores(self, encoded):
        scores = super().scores(encoded)
        return scores - scores.mean(0, keepdim=True)


class LearnsTheOpposite(ClassificationHead):
    """It answers the least probable class."""

    def predict(self, encoded, **options):
        answers = super().predict(encoded, **options)
        return [
            {**a, "id": min(range(len(a["scores"])), key=a["scores"].__getitem__)} for a in answers
        ]

    def measure(self, metrics, encoded, batch, *, final=False):
        scores, target = self.scores(encoded), self.target_of(batch)
        answer = (scores < 0).long() if self.multi_label else scores.argmin(-1)
        for metric in metrics.values():
            metric.update(Outcome(answer, target.long(), scores.softmax(-1)))
        return self._loss(scores, target, batch.weights)


class CrashesOnEmptyRows(ClassificationHead):
    """It divides by the number of steps."""

    def scores(self, encoded):
        return super().scores(encoded) * (encoded.lengths / encoded.lengths).unsqueeze(1)


class NoTargetCrash(TaggingHead):
    """A batch without target ends in an AttributeError."""

    def target_of(self, batch):
        return batch.target.long()
