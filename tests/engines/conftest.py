from __future__ import annotations

import pytest
from seqlab.engines.settled import Settled


@pytest.fixture(name="straight")
def _straight(monkeypatch):
    """For each call or step, whether it went straight to the engine."""
    seen, once = [], Settled.find

    def find(self, *args, **options):
        call = once(self, *args, **options)
        seen.append(call is not None)
        return call

    monkeypatch.setattr(Settled, "find", find)
    return seen
