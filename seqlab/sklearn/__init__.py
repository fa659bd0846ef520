"""Estimators of scikit-learn: ``SequenceClassifier``, ``SequenceTagger``, ``SequenceRegressor``.

They train as ``seqlab train`` does, on rows that a program holds, and fit into pipelines,
``cross_val_score`` and ``GridSearchCV``. Needs ``pip install 'seqlab[sklearn]'``.

>>> from seqlab.sklearn import SequenceClassifier
>>> SequenceClassifier(cell="gru", lr=0.01)
SequenceClassifier(cell='gru', lr=0.01)
"""

from __future__ import annotations

from importlib.util import find_spec

from seqlab.errors import MachineError

if find_spec("sklearn") is None:
    raise MachineError("seqlab.sklearn needs scikit-learn: pip install 'seqlab[sklearn]'")

from seqlab.sklearn.base import SequenceEstimator
from seqlab.sklearn.classifier import SequenceClassifier
from seqlab.sklearn.regressor import SequenceRegressor
from seqlab.sklearn.tagger import SequenceTagger

__all__ = ["SequenceClassifier", "SequenceEstimator", "SequenceRegressor", "SequenceTagger"]
