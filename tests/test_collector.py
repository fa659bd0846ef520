from __future__ import annotations

import gc

import pytest
from seqlab.collector import rare_collections


def _fail():
    with rare_collections():
        assert gc.get_threshold()[0] > 10_000
        raise ValueError("any")


def test_thresholds_come_back_whatever_happens():
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="any"):
        _fail()
    assert gc.get_threshold() == before
