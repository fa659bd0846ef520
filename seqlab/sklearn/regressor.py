"""Numbers for each sequence."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils import Tags, check_array, check_consistent_length

from seqlab.errors import DataError
from seqlab.sklearn.base import SequenceEstimator
from seqlab.sklearn.inputs import read_inputs, read_weights
from sklearn.base import RegressorMixin


class SequenceRegressor(RegressorMixin, SequenceEstimator):  # type: ignore[misc]  # it ships no types
    """A number for each sequence, or several; parameters are those of ``SequenceEstimator``.

    Attributes:
        trained_: the model, a ``TrainedModel``.

    Example:
        >>> import numpy as np
        >>> draw = np.random.default_rng(0)
        >>> series = [draw.normal(size=(int(draw.integers(3, 9)), 2)) for _ in range(60)]
        >>> sums = [one[:, 0].sum() for one in series]
        >>> model = SequenceRegressor(hidden_size=8, max_epochs=3, random_state=0, num_threads=1)
        >>> model.fit(series, sums).predict(series[:4]).shape
        (4,)
    """

    def __sklearn_tags__(self) -> Tags:
        """What the estimator takes."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train.

        Args:
            X: as for ``SequenceClassifier.fit``.
            y: N numbers, or ``[N, K]``.
            sample_weight: as for ``SequenceClassifier.fit``.

        Raises:
            ValueError: the rows or the numbers are not of that form.
        """
        if y is None:
            raise DataError("SequenceRegressor requires y to be passed, but the target y is None")
        inputs = read_inputs(self, X, reset=True)
        numbers = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        check_consistent_length(range(len(inputs)), numbers)
        weights = read_weights(sample_weight, len(inputs))
        if weights is not None:
            counts = weights > 0
            inputs, numbers, weights = inputs.chosen(counts), numbers[counts], weights[counts]
        self.one_ = numbers.ndim == 1
        rows = list(numbers.reshape(len(numbers), -1))
        self._fit(inputs, rows, {"kind": "values"}, {"name": "regression"}, weights)
        return self

    def predict(self, X: Any) -> Any:
        """``[N]`` or ``[N, K]``, as ``y`` was."""
        values = np.array([answer["values"] for answer in self._answers(X)], dtype=np.float64)
        return values.reshape(-1) if self.one_ else values.reshape(len(values), -1)
