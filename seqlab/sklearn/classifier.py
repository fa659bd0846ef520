"""A label for each sequence."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from seqlab.errors import DataError
from seqlab.sklearn.base import SequenceEstimator
from seqlab.sklearn.inputs import read_inputs
from sklearn.base import ClassifierMixin


class SequenceClassifier(ClassifierMixin, SequenceEstimator):  # type: ignore[misc]  # it ships no types
    """One of several labels for each sequence; parameters are those of ``SequenceEstimator``.

    Attributes:
        classes_: the labels, sorted.
        trained_: the model, a ``TrainedModel``.

    Example:
        >>> words = ["aba", "bab", "cdc", "dcd", "aab", "ddc"] * 5
        >>> labels = ["first", "first", "last", "last", "first", "last"] * 5
        >>> model = SequenceClassifier(
        ...     hidden_size=8, tokenizer="chars", max_epochs=20, random_state=0, num_threads=1)
        >>> model.fit(words, labels).predict(["abab", "cddc"]).tolist()
        ['first', 'last']
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train.

        Args:
            X: an array ``[N, T]`` or ``[N, T, D]``, a list of arrays ``[T]`` or ``[T, D]``, of
                strings or of lists of strings, or a data frame with such columns.
            y: N labels.

        Raises:
            ValueError: the rows or the labels are not of that form; or of one class alone.
        """
        if y is None:
            raise DataError("SequenceClassifier requires y to be passed, but the target y is None")
        inputs = read_inputs(self, X, reset=True)
        labels = column_or_1d(y, warn=True)
        check_consistent_length(range(len(inputs)), labels)
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y has 1 class ({self.classes_[0]!r}); expected two or more")
        # their numbers as names: labels may be of any type
        names = [str(number) for number in numbers]
        self._fit(inputs, names, {"kind": "label"}, {"name": "classification"})
        return self

    def predict_proba(self, X: Any) -> Any:
        """``[N, C]``: the probability of each of ``classes_``."""
        scores = np.array([answer["scores"] for answer in self._answers(X)], dtype=np.float64)
        order = np.argsort([int(name) for name in self.trained_.processor.info.target.names])
        return scores.reshape(-1, len(order))[:, order]

    def predict(self, X: Any) -> Any:
        """``[N]``: the most probable label of each row."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]
