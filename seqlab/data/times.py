"""Values of a time column as numbers that can be put in order."""

from __future__ import annotations

import contextlib
import math
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np


def time_of(value: Any) -> float | None:
    """A number or a date as a number that grows with time; None for anything else.

    Args:
        value: a number, or text of one; a date, or text of one as ISO 8601 writes it (a year and a
            month, too). A date without a zone is taken as one of UTC.

    >>> time_of("12"), time_of("2000-06-05") < time_of("2000-06-05 00:30"), time_of("soon")
    (12.0, True, None)
    >>> time_of("1970-02"), time_of("1970-01-01T01:00:00+01:00")
    (2678400.0, 0.0)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC).timestamp()
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        number = float(value)
        return number if math.isfinite(number) else None
    return _written(value.strip()) if isinstance(value, str) else None


def _written(text: str) -> float | None:
    """A date that a text spells."""
    with contextlib.suppress(ValueError, OverflowError):
        return time_of(datetime.fromisoformat(text))
    with contextlib.suppress(ValueError, OverflowError):
        if text[:1].isdigit() and len(text) == len("2000-01"):
            return float(np.datetime64(text, "s").astype(np.int64))
    return None
