"""A label for each sequence, or any number of them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils import Tags, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from seqlab.errors import DataError
from seqlab.sklearn.base import SequenceEstimator
from seqlab.sklearn.inputs import read_inputs, read_weights
from sklearn.base import ClassifierMixin


class SequenceClassifier(ClassifierMixin, SequenceEstimator):  # type: ignore[misc]  # it ships no types
    """A label for each sequence, or several; parameters are those of ``SequenceEstimator``.

    Attributes:
        classes_: the labels, sorted; of several labels a row the numbers of their columns.
        trained_: the model, a ``TrainedModel``.

    Example:
        >>> words = ["aba", "bab", "cdc", "dcd", "aab", "ddc"] * 5
        >>> labels = ["first", "first", "last", "last", "first", "last"] * 5
        >>> model = SequenceClassifier(
        ...     hidden_size=8, tokenizer="chars", max_epochs=20, random_state=0, num_threads=1)
        >>> model.fit(words, labels).predict(["abab", "cddc"]).tolist()
        ['first', 'last']
    """

    def __sklearn_tags__(self) -> Tags:
        """What the estimator takes."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train.

        Args:
            X: an array ``[N, T]`` or ``[N, T, D]``, a list of arrays ``[T]`` or ``[T, D]``, of
                strings or of lists of strings, or a data frame with such columns.
            y: N labels; or ``[N, C]`` zeros and ones, each column a label that applies or not.
            sample_weight: ``[N]``, how often each row stands in its batch: with 2 the loss is that
                of the row twice; a row with 0 is left out. A batch's loss is the weighted mean
                ``sum w l / sum w``. Rows that are held out choose the best weights as they are.

        Raises:
            ValueError: the rows, the labels or the weights are not of that form; the labels are of
                one class alone.
        """
        if y is None:
            raise DataError("SequenceClassifier requires y to be passed, but the target y is None")
        inputs = read_inputs(self, X, reset=True)
        self.several_ = type_of_target(y) == "multilabel-indicator"
        labels = _flags(y) if self.several_ else column_or_1d(y, warn=True)
        check_consistent_length(range(len(inputs)), labels)
        check_classification_targets(labels)
        weights = read_weights(sample_weight, len(inputs))
        if weights is not None:
            counts = weights > 0
            inputs, labels, weights = inputs.chosen(counts), labels[counts], weights[counts]
        head = {"name": "classification"}
        if self.several_:
            self.classes_ = np.arange(labels.shape[1])
            _check_columns(labels)
            lists = [[str(place) for place in np.flatnonzero(row)] for row in labels]
            self._fit(inputs, lists, {"kind": "labels"}, head, weights)
            return self
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y has 1 class ({self.classes_[0]!r}); expected two or more")
        # their numbers as names: labels may be of any type
        names = [str(number) for number in numbers]
        self._fit(inputs, names, {"kind": "label"}, head, weights)
        return self

    def predict_proba(self, X: Any) -> Any:
        """``[N, C]``: the probability of each of ``classes_``; of several labels a row, each."""
        answers = self._answers(X)
        names = [int(name) for name in self.trained_.processor.info.target.names]
        found = np.zeros((len(answers), len(self.classes_)))  # a label of no row has none
        if answers:
            found[:, names] = [answer["scores"] for answer in answers]
        return found

    def predict(self, X: Any) -> Any:
        """``[N]``: the most probable label; or ``[N, C]``: 1 for each label above a half."""
        probabilities = self.predict_proba(X)
        if self.several_:
            return (probabilities > 0.5).astype(np.int64)
        return self.classes_[probabilities.argmax(axis=1)]


def _flags(y: Any) -> Any:
    """``[N, C]``: several labels a row, as zeros and ones."""
    dense = y.toarray() if hasattr(y, "toarray") else y
    return np.asarray(dense).astype(np.int64)


def _check_columns(flags: Any) -> None:
    """Refuse labels of which fewer than two apply to any row.

    Raises:
        ValueError: there are not enough.
    """
    there = int(flags.any(axis=0).sum())
    if there < 2:
        raise DataError(f"y: {there} of its {flags.shape[1]} classes apply to a row; expected two")
