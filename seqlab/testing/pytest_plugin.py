"""What pytest loads wherever seqlab is installed: the mark of the kit's tests, nothing heavy."""

from __future__ import annotations

from typing import Any


def pytest_configure(config: Any) -> None:
    """Make the mark known, so that ``--strict-markers`` accepts it."""
    config.addinivalue_line(
        "markers", "seqlab_check: a check of seqlab's conformance kit; select with -m seqlab_check"
    )
