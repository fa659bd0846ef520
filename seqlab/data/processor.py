"""The processor, and how it is fitted, on training rows only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from seqlab.data.data_spec import DataSpec
from seqlab.data.fitted_processor import Processor, missing, step_limit
from seqlab.data.known_vocabularies import KnownVocabularies
from seqlab.data.part import Column, ColumnPart
from seqlab.data.passes import Columns, Read, learn_together
from seqlab.data.processor_files import unfitted
from seqlab.data.raw_columns import Where
from seqlab.data.statistics import fit_statistics
from seqlab.data.transforms.base import Row, Transform
from seqlab.data.transforms.chain import Chain
from seqlab.errors import DataError
from seqlab.target_names import target_key

_CHUNK = 4096


__all__ = ["Processor", "column_of", "fit_columns", "fit_processor"]


def fit_processor(
    data_spec: Mapping[str, Any] | DataSpec, train_rows: Iterable[Mapping[str, Any]]
) -> Processor:
    """Fit vocabularies, label sets and statistics on training rows.

    Args:
        data_spec: the ``data`` part of a config, or a ``DataSpec``.
        train_rows: mappings of column to value, which go through the transforms first.

    Raises:
        ConfigError: the spec has an unknown key or a wrong value.
        DataError: there are no rows, a column is missing, or a value does not fit.
    """
    spec = DataSpec.from_mapping(data_spec)
    rows, transforms = list(train_rows), spec.new_transforms()
    if transforms:
        chain = Chain(transforms, spec.columns)
        given = partial(_numbered, rows)
        chain.fit(given, partial(_train_row, 0))
        rows = list(chain.apply(given(), "train", partial(_train_row, 0)))
    for index, row in enumerate(rows):
        for column in spec.columns:
            if column not in row:
                raise missing(f"train row {index + 1}", column, row)

    def read(names: Sequence[str]) -> Iterator[tuple[Columns, Where]]:
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            yield {name: [row[name] for row in part] for name in names}, partial(_train_row, start)

    return fit_columns(spec, read, transforms=transforms)


def _numbered(rows: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    return (Row(dict(row), number) for number, row in enumerate(rows))


def _train_row(start: int, index: int) -> str:
    return f"train row {start + index + 1}"


def fit_columns(
    spec: DataSpec,
    read: Read,
    names: Callable[[str], Column] | None = None,
    transforms: Sequence[Transform] = (),
    *,
    together: bool = False,
    known: KnownVocabularies | None = None,
) -> Processor:
    """Fit on the columns of training rows, in chunks that may be gone through several times.

    Args:
        spec: the data spec.
        read: begins a pass over some columns.
        names: gives a target's column of all rows that may say which classes or tags there are,
            for a target that has such; by default the training rows.
        transforms: the fitted ones that have made the rows.
        together: whether a pass is dear, so that parts learn in one where they can.
        known: vocabularies to go on from.

    Raises:
        DataError: there are no rows, or a value does not fit its column.
    """
    if next(iter(read([next(iter(spec.targets.values())).column])), None) is None:
        raise DataError("the training split has no rows")
    features, targets = unfitted(spec)
    fit_on_all = [part for part in targets.values() if names is not None and part.fits_on_all]
    alone = [part for part in targets.values() if part not in fit_on_all]
    parts: list[ColumnPart] = [*features, *alone]
    shared = [part for part in parts if together and part.fits_in_one_pass]
    if len(shared) > 1:
        learn_together([(part.column, part.fit) for part in shared], read)
    for part in parts:
        if part not in shared or len(shared) == 1:
            part.fit(column_of(read, part.column))
    for target in fit_on_all:
        target.fit(names(target.column) if names else column_of(read, target.column))
    if known is not None:
        known.hand_over(
            [
                *((f"features.{feature.name}", feature) for feature in features),
                *((target_key(name).removeprefix("data."), t) for name, t in targets.items()),
            ]
        )
    limit = step_limit(spec, features)
    statistics = {
        name: fit_statistics(target, features[0], read, limit) for name, target in targets.items()
    }
    return Processor(spec, features, targets, statistics, transforms)


def column_of(read: Read, name: str) -> Column:
    """Passes over one column."""
    return lambda: ((columns[name], where) for columns, where in read([name]))
