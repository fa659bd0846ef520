"""From the times of events to the gaps between them, and from missing values to masks."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from seqlab.data.numbers import is_missing, number_in
from seqlab.data.transforms.base import Row, Transform
from seqlab.data.transforms.windows import Columns, steps_of
from seqlab.schema import Name, Positive, checked

#: Seconds of a unit of time.
SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86400.0}


class GapsTransform(Transform):
    """Series at irregular times: the time since the step before, and since a value was last seen.

    The column ``gap`` is the time since the step before, 0 at the first. With ``columns``, each
    series ``x`` of numbers gets ``x_observed`` (1 where there is a value, 0 where it is missing)
    and ``x_gap``, the time since it was last there, as GRU-D reads it (Che et al., "Recurrent
    neural networks for multivariate time series with missing values", 2018); what is missing in
    ``x`` becomes the value before, or 0 where there is none yet. Cells for time gaps
    (``time_lstm``, ``cfc``) take the gap as the last feature.

    Args:
        times: the column of times: numbers, or dates and times as ISO 8601 writes them.
        columns: columns of numbers, of which some may be missing.
        unit: what one stands for in the gaps: a number by which times are divided, or, for dates,
            ``seconds``, ``minutes``, ``hours`` or ``days``.
        log: give ``log(1 + gap)`` for each gap, as they often differ by powers of ten.

    Raises:
        RowError: times go back, are missing or no times, or a column has another length.

    Example:
        >>> gaps = GapsTransform(times="t", columns="x")
        >>> [dict(row) for row in gaps.apply([Row({"t": [0, 1, 4], "x": [5, None, 7]}, 0)], "")]
        [{'t': [0, 1, 4], 'x': [5.0, 5.0, 7.0], 'gap': [0.0, 1.0, 3.0], 'x_observed': [1.0, 0.0, \
1.0], 'x_gap': [0.0, 1.0, 4.0]}]
    """

    @checked
    def __init__(
        self,
        *,
        times: Name,
        columns: Name | Columns = (),
        unit: Positive | Literal["seconds", "minutes", "hours", "days"] = 1.0,
        log: bool = False,
    ) -> None:
        self.times, self.log = times, log
        self.unit = SECONDS[unit] if isinstance(unit, str) else unit
        self.columns = (columns,) if isinstance(columns, str) else tuple(columns)
        self.reads = (times, *self.columns)
        made = (f"{column}_{what}" for column in self.columns for what in ("observed", "gap"))
        self.makes = ("gap", *made)

    def apply(self, rows: Iterable[Row], split: str) -> Iterator[Row]:
        """The same rows with the columns that are added."""
        del split
        for row in rows:
            gaps = self._gaps(row)
            values = {**row, "gap": self._shown(gaps)}
            for column in self.columns:
                filled, observed, since = self._filled(row, column, gaps)
                values[column], values[f"{column}_observed"] = filled, observed
                values[f"{column}_gap"] = self._shown(since)
            yield row.made(values)

    def _shown(self, gaps: Sequence[float]) -> list[float]:
        return [math.log1p(gap) if self.log else gap for gap in gaps]

    def _gaps(self, row: Row) -> list[float]:
        times = [self._time(row, value) for value in _steps(row, self.times)]
        gaps = [0.0, *((b - a) / self.unit for a, b in itertools.pairwise(times))]
        for place, gap in enumerate(gaps):
            if gap < 0:
                raise row.error(
                    f"column '{self.times}': times must not go back, and step {place + 1} is "
                    f"before step {place}; the transform group sorts steps"
                )
        return gaps[: len(times)]

    def _time(self, row: Row, value: Any) -> float:
        number = number_in(value)
        if number is not None and math.isfinite(number):
            return number
        try:
            moment = value if isinstance(value, dt.date) else dt.datetime.fromisoformat(str(value))
        except ValueError:
            raise row.error(
                f"column '{self.times}': expected a number, or a date as 2026-03-01T08:30, found "
                f"{value!r:.60}"
            ) from None
        if not isinstance(moment, dt.datetime):
            moment = dt.datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001  # naive as given
        # dates without a zone are taken as they stand, so that no clock change is between them
        zone = moment.tzinfo or dt.UTC
        return moment.replace(tzinfo=zone).timestamp()

    def _filled(
        self, row: Row, column: str, gaps: Sequence[float]
    ) -> tuple[list[float], list[float], list[float]]:
        """Values, whether they were there, and the time since they last were."""
        given = _steps(row, column)
        if len(given) != len(gaps):
            raise row.error(
                f"column '{column}' has {len(given)} steps and '{self.times}' {len(gaps)}"
            )
        filled: list[float] = []
        observed: list[float] = []
        since: list[float] = []
        for place, value in enumerate(given):
            before = since[-1] if place and not observed[-1] else 0.0
            since.append(gaps[place] + before)
            number = None if is_missing(value) else number_in(value)
            if number is None and not is_missing(value):
                raise row.error(f"column '{column}': expected a number, found {value!r:.60}")
            observed.append(0.0 if number is None else 1.0)
            last = filled[-1] if filled else 0.0
            filled.append(last if number is None else number)
        return filled, observed, since


def _steps(row: Row, column: str) -> Sequence[Any]:
    found = steps_of(row[column])
    if found is None:
        raise row.error(f"column '{column}': expected a list of steps, found {row[column]!r:.60}")
    return found
