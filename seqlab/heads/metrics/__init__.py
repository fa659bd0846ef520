"""Metrics: what a head measures beside its loss; registered kind ``metric``."""

from seqlab.heads.metrics.base import Outcome, TaskMetric
from seqlab.heads.metrics.errors import AnswersCut, ErrorRate, SequenceAccuracy, edit_distance
from seqlab.heads.metrics.spans import SpanF1

__all__ = [
    "AnswersCut",
    "ErrorRate",
    "Outcome",
    "SequenceAccuracy",
    "SpanF1",
    "TaskMetric",
    "edit_distance",
]
