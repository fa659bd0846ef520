"""A label for each step of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils import check_consistent_length

from seqlab.errors import DataError
from seqlab.sklearn.base import SequenceEstimator
from seqlab.sklearn.inputs import read_inputs


class SequenceTagger(SequenceEstimator):
    """A label for each step; parameters are those of ``SequenceEstimator``.

    ``head={"crf": True}`` scores whole label sequences (a linear-chain CRF).

    Attributes:
        classes_: the labels, sorted.
        trained_: the model, a ``TrainedModel``.

    Example:
        >>> sentences = [["the", "dog", "barks"], ["a", "cat", "sleeps"]] * 12
        >>> tags = [["DET", "NOUN", "VERB"]] * 24
        >>> model = SequenceTagger(hidden_size=8, max_epochs=15, random_state=0, num_threads=1)
        >>> model.fit(sentences, tags).predict([["the", "cat", "sleeps"], ["a", "dog"]])
        [['DET', 'NOUN', 'VERB'], ['DET', 'NOUN']]
    """

    def fit(self, X: Any, y: Sequence[Sequence[Any]]) -> Self:
        """Train.

        Args:
            X: lists of strings, one a row, or any other form of ``SequenceClassifier.fit``.
            y: for each row a list with a label for each step.

        Raises:
            ValueError: the rows or the labels are not of that form; row and lengths are given.
        """
        if y is None:
            raise DataError("SequenceTagger requires y to be passed, but the target y is None")
        inputs = read_inputs(self, X, reset=True)
        labels = [_labels(row, place) for place, row in enumerate(y)]
        check_consistent_length(range(len(inputs)), labels)
        self.classes_ = np.unique([label for row in labels for label in row])
        self._by_name_ = {str(label): label for label in self.classes_.tolist()}
        names = [[str(label) for label in row] for row in labels]
        self._fit(inputs, names, {"kind": "tags"}, {"name": "tagging"})
        return self

    def predict(self, X: Any) -> list[list[Any]]:
        """For each row a list with a label for each step."""
        return [[self._by_name_[tag] for tag in answer["tags"]] for answer in self._answers(X)]

    def score(self, X: Any, y: Sequence[Sequence[Any]]) -> float:
        """The share of steps whose label is right, all rows together."""
        pairs = [
            (mine, right)
            for given, row in zip(self.predict(X), y, strict=True)
            for mine, right in zip(given, row, strict=True)
        ]
        return float(np.mean([mine == right for mine, right in pairs])) if pairs else 1.0


def _labels(row: Any, place: int) -> list[Any]:
    if isinstance(row, str) or not hasattr(row, "__iter__"):
        raise DataError(f"y: row {place}: expected a list with a label for each step, got {row!r}")
    return list(np.asarray(row).tolist()) if isinstance(row, np.ndarray) else list(row)
