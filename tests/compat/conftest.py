from __future__ import annotations

import os

import pytest

os.environ["KERAS_BACKEND"] = "torch"


@pytest.fixture(scope="session")
def keras():
    import keras

    return keras


@pytest.fixture
def exact_keras(keras, monkeypatch):
    """Keras that keeps float64.

    Keras 3.15.1 follows JAX's default on torch: mixed operations of float64 tensors come out as
    float32, except in the fallback loops of LSTM and GRU. One entry of its promotion table makes
    the difference.
    """
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    return keras
