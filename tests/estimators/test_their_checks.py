"""scikit-learn's own checks of estimators."""

from __future__ import annotations

import warnings

import pytest
from seqlab.sklearn import SequenceClassifier, SequenceRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

pytestmark = pytest.mark.slow
SMALL = {"hidden_size": 8, "max_epochs": 30, "lr": 0.02, "random_state": 0, "num_threads": 1}
#: They ask what is learnt of the training rows by heart.
LARGER = {**SMALL, "hidden_size": 16, "max_epochs": 50, "validation_fraction": None}
ROUNDING = "float32: a batch of another size rounds differently, by about 1e-7 of the deviation"


def expected_failures(model):
    """Of which checks, and why."""
    if isinstance(model, SequenceRegressor):
        return {"check_methods_subset_invariance": ROUNDING}
    return {}


@parametrize_with_checks(
    [SequenceClassifier(**SMALL), SequenceRegressor(**LARGER)],
    expected_failed_checks=expected_failures,
)
def test_estimator(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn's own test data
        check(estimator)
