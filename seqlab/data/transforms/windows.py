"""Long series as windows of some steps, each with the steps that follow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

from seqlab.data.numbers import is_missing
from seqlab.data.part import NEXT
from seqlab.data.splitting import words_of
from seqlab.data.transforms.base import PREDICT, Row, Transform
from seqlab.data.written_lists import written_list
from seqlab.schema import Count, Name, Rule, Whole, checked

#: Columns of series.
Columns = Annotated[Sequence[Name], Rule(bool, "a column of series, or a list of them")]


class WindowsTransform(Transform):
    """Each series as windows: ``context`` steps, and the ``horizon`` steps after them.

    Window k begins at step ``k * stride`` and has the steps
    ``x[k * stride : k * stride + context]`` in their column, ``x``; the ``horizon`` steps after
    these are the column ``x_next``: one step as it is, several as a list. Other columns are
    repeated.

    What is ``known`` ahead, such as a calendar or a plan, has a column ``x_next`` in ``predict``
    too, always a list: there its series go on for a horizon after those of ``columns``. A table may
    have rows for these steps in which ``columns`` have nothing.

    Args:
        columns: the columns of series, as long as each other in each row.
        known: further columns of series, whose steps after the last one are known.
        context: the steps of a window.
        horizon: the steps to come; 0 for none.
        stride: from the beginning of one window to the next.
        predict: which windows ``predict`` answers, where nothing need come after them: the
            ``last``, or ``all``, aligned to the series' end; null: the last if there is a horizon.

    Raises:
        RowError: a series is shorter than a window with its horizon, or the columns of a row are
            not equally long.

    Example:
        >>> windows = WindowsTransform(columns="x", context=2)
        >>> [dict(row) for row in windows.apply([Row({"x": [1, 2, 3, 4]}, 0)], "train")]
        [{'x': [1, 2], 'x_next': 3}, {'x': [2, 3], 'x_next': 4}]
        >>> [dict(row) for row in windows.apply([Row({"x": [1, 2, 3, 4]}, 0)], "predict")]
        [{'x': [3, 4]}]
    """

    @checked
    def __init__(
        self,
        *,
        columns: Name | Columns,
        known: Name | Sequence[Name] = (),
        context: Count,
        horizon: Whole = 1,
        stride: Count = 1,
        predict: Literal["last", "all"] | None = None,
    ) -> None:
        self.columns = (columns,) if isinstance(columns, str) else tuple(columns)
        self.known = (known,) if isinstance(known, str) else tuple(known)
        self.context, self.horizon, self.stride = context, horizon, stride
        self.predict = predict or ("last" if horizon else "all")
        self.makes = tuple(column + NEXT for column in (*self.columns, *self.known) if horizon)

    def needs(self, wanted: Collection[str]) -> Collection[str]:
        """The series that are asked for, or whose next steps are; one of them at least."""
        made = set(wanted) & set(self.makes)
        every = (*self.columns, *self.known)
        series = [c for c in every if c in wanted or c + NEXT in made]
        if not set(series) & set(self.columns):
            series.append(self.columns[0])
        return tuple(dict.fromkeys([*super().needs(wanted), *series]))

    def apply(self, rows: Iterable[Row], split: str) -> Iterator[Row]:
        """The windows of each row, in their order."""
        for row in rows:
            series = {column: _steps(row, column) for column in self.columns if column in row}
            if not series:
                raise row.missing(self.columns[0])
            known = {column: _steps(row, column) for column in self.known if column in row}
            if split == PREDICT and known:
                series = {column: _begun(steps) for column, steps in series.items()}
            length = self._length(row, series)
            known = self._going_on(row, known, length, split)
            ahead = 0 if split == PREDICT else self.horizon
            for start in self._starts(row, length, ahead, split):
                yield self._window(row, start, {**series, **known}, ahead)

    def _window(self, row: Row, start: int, series: dict[str, Sequence[Any]], ahead: int) -> Row:
        values = dict(row)
        end = start + self.context
        for column, steps in series.items():
            values[column] = steps[start:end]
            if column in self.known and self.horizon:
                values[column + NEXT] = steps[end : end + self.horizon]
            elif ahead:
                values[column + NEXT] = steps[end] if ahead == 1 else steps[end : end + ahead]
        return row.made(values, f"steps {start + 1}-{end}")

    def _going_on(
        self, row: Row, known: dict[str, Sequence[Any]], length: int, split: str
    ) -> dict[str, Sequence[Any]]:
        """What is known ahead, as long as the series, and in ``predict`` a horizon longer.

        Raises:
            RowError: it is not as long.
        """
        wanted = length + (self.horizon if split == PREDICT else 0)
        for column, steps in known.items():
            if len(steps) < wanted or (split != PREDICT and len(steps) > wanted):
                more = f", and {self.horizon} that follow" if split == PREDICT else ""
                raise row.error(
                    f"column '{column}': expected the {length} steps of "
                    f"'{next(iter(self.columns))}'{more}, found {len(steps)}"
                )
        return {column: steps[:wanted] for column, steps in known.items()}

    def _starts(self, row: Row, length: int, ahead: int, split: str) -> Iterable[int]:
        """Where the windows of a row begin."""
        last = length - self.context - ahead
        if last < 0:
            wanted = f"{self.context} steps" + (f" and the {ahead} after them" if ahead else "")
            raise row.error(
                f"column '{next(c for c in self.columns if c in row)}': a window takes {wanted}, "
                f"found {length}; give a smaller context, or leave short rows out by the "
                "transform filter"
            )
        if split != PREDICT:
            return range(0, last + 1, self.stride)
        first = last if self.predict == "last" else last % self.stride
        return range(first, last + 1, self.stride)

    def _length(self, row: Row, series: dict[str, Sequence[Any]]) -> int:
        lengths = {column: len(steps) for column, steps in series.items()}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{column}: {length}" for column, length in lengths.items())
            raise row.error(f"columns of series must be equally long, found {found}")
        return next(iter(lengths.values()))


def steps_of(value: Any) -> Sequence[Any] | None:
    """The entries of a list, or of a text that spells one; None for anything else."""
    if isinstance(value, str):
        try:
            found = written_list(value)
        except (ValueError, SyntaxError):
            return None
        return words_of(value) if found is None else found
    entries = value.tolist() if hasattr(value, "tolist") else value
    return entries if isinstance(entries, (list, tuple)) else None


def _begun(steps: Sequence[Any]) -> Sequence[Any]:
    """A series without the steps at its end that have no value yet."""
    end = len(steps)
    while end and is_missing(steps[end - 1]):
        end -= 1
    return steps[:end]


def _steps(row: Row, column: str) -> Sequence[Any]:
    steps = steps_of(row[column])
    if steps is None:
        raise row.error(f"column '{column}': expected a list of steps, found {row[column]!r:.60}")
    return steps
