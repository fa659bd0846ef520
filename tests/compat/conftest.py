from __future__ import annotations

import os

import pytest

os.environ["KERAS_BACKEND"] = "torch"


@pytest.fixture(scope="session")
def keras():
    import keras

    return keras
