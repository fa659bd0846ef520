"""scikit-learn's own checks of estimators."""

from __future__ import annotations

import warnings

import pytest
from seqlab.sklearn import SequenceClassifier, SequenceRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

pytestmark = pytest.mark.slow
SMALL = {"hidden_size": 8, "max_epochs": 30, "lr": 0.02, "random_state": 0, "num_threads": 1}
#: In double precision all rows are one batch and each counts as itself: weights are exact then.
EXACT = {**SMALL, "batch_size": 512, "validation_fraction": None}
DOUBLE = {"trainer.precision": "64-true", "data.features.x.standardize": False}
#: They ask what is learnt of the training rows by heart.
LARGER = {**EXACT, "hidden_size": 16, "max_epochs": 150}
SCALED = "numbers are learnt in units of the mean and deviation of y, in which a row counts once"


def expected_failures(model):
    """Of which checks, and why."""
    if isinstance(model, SequenceRegressor):
        return {"check_sample_weight_equivalence_on_dense_data": SCALED}
    return {}


@parametrize_with_checks(
    [
        SequenceClassifier(**EXACT, options=DOUBLE),
        SequenceRegressor(**LARGER, options=DOUBLE),
    ],
    expected_failed_checks=expected_failures,
)
def test_estimator(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn's own test data
        check(estimator)
