"""The processor: rows of a data set to tensors, and predictions back to text.

It knows nothing of where rows come from, is fitted on training rows only, and is saved with
the model as plain JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seqlab.data.data_spec import DataSpec
from seqlab.data.encoded import EncodedRows, Example
from seqlab.data.features.base import Feature
from seqlab.data.known_vocabularies import KnownVocabularies
from seqlab.data.part import Column, ColumnPart
from seqlab.data.passes import Columns, Read, learn_together
from seqlab.data.processor_files import Parts, read_parts, unfitted, write_parts
from seqlab.data.ragged import Array, Ragged
from seqlab.data.raw_columns import Where, show
from seqlab.data.statistics import fit_statistics
from seqlab.data.targets.base import Target
from seqlab.data.transforms.base import PREDICT, Row, Transform
from seqlab.data.transforms.chain import Chain
from seqlab.errors import DataError
from seqlab.types import Batch, DataInfo, TargetStatistics

_CHUNK = 4096


class Processor:
    """Rows to tensors and back; made by ``fit_processor`` or ``Processor.load``.

    Args:
        spec: the data spec.
        features: the fitted features, in order.
        target: the fitted target.
        statistics: what the training rows say of the target.
        transforms: the fitted transforms, in order.

    Example:
        >>> spec = {"features": {"text": {"column": "word", "tokenizer": "chars"}},
        ...         "target": {"column": "kind", "kind": "label"}}
        >>> rows = [{"word": "abba", "kind": "band"}, {"word": "ab", "kind": "part"}]
        >>> processor = fit_processor(spec, rows)
        >>> batch = processor.collate([processor.encode(row) for row in rows])
        >>> batch.inputs["text"].tolist(), batch.lengths.tolist(), batch.target.tolist()
        ([[2, 3, 3, 2], [2, 3, 0, 0]], [4, 2], [0, 1])
        >>> processor.decode_target(1)
        'part'
    """

    def __init__(
        self,
        spec: DataSpec,
        features: Sequence[Feature],
        target: Target,
        statistics: TargetStatistics | None = None,
        transforms: Sequence[Transform] = (),
    ) -> None:
        self.spec = spec
        self.transforms = tuple(transforms)
        self.features = tuple(features)
        self.target = target
        described = replace(target.info, statistics=statistics or TargetStatistics())
        self.info = DataInfo(tuple(feature.info for feature in features), described)
        self._limit = _step_limit(spec, features)

    def encode(self, row: Mapping[str, Any], *, where: str = "row") -> Example:
        """One row with its target.

        Args:
            row: column to value, as the transforms leave it.
            where: how errors call it, such as ``test row 7``.

        Raises:
            DataError: a column is missing, or a value does not fit its column.
        """
        for column in self.spec.columns:
            if column not in row:
                raise _missing(where, column, row)
        columns = {column: [value] for column, value in row.items()}
        return self.encode_columns(columns, lambda _: where).example(0)

    def encode_input(self, value: Any, *, where: str = "input") -> Example:
        """One input to predict: no target needed, and no steps at all are fine.

        Args:
            value: as the transforms leave it: a string, a list of tokens, a list of numbers or of
                rows of numbers, or, where features have different columns, a mapping of column to
                value.
            where: how errors call it.

        Raises:
            DataError: the value does not fit the feature's kind.
        """
        return self.encode_inputs([value], lambda _: where).example(0)

    def encode_inputs(self, values: Sequence[Any], where: Where) -> EncodedRows:
        """Many inputs at once, as ``encode_input`` takes them; the fast way.

        Args:
            values: one for each input.
            where: where the i-th of them stands, for errors.

        Raises:
            DataError: a value does not fit its feature.
        """
        names = self.spec.input_columns
        if len(names) == 1 and not any(isinstance(value, Mapping) for value in values):
            return EncodedRows(self._encode_inputs({names[0]: values}, where))
        rows = [_input_row(value, names, where, place) for place, value in enumerate(values)]
        columns = {column: [row[column] for row in rows] for column in names}
        return EncodedRows(self._encode_inputs(columns, where))

    def transform_inputs(self, values: Sequence[Any], where: Where) -> list[Row]:
        """The rows that the transforms make of inputs to predict.

        Args:
            values: one for each input, as ``encode_input`` takes them.
            where: where the i-th of them stands, for errors.

        Raises:
            DataError: a value does not fit a transform.
        """
        chain = Chain(self.transforms, self.spec.input_columns)
        rows = (
            Row(dict(_input_row(value, chain.needs, where, place)), place)
            for place, value in enumerate(values)
        )
        return list(chain.apply(rows, PREDICT, where))

    def encode_columns(self, columns: Columns, where: Where) -> EncodedRows:
        """Many rows at once, column by column; the fast way.

        Args:
            columns: column to the rows' values.
            where: where the i-th of the rows stands, for errors.

        Raises:
            DataError: a value does not fit its column, features or tags of a row have
                different lengths, or a row's input is empty.
        """
        inputs = self._encode_inputs(columns, where, cut=False)
        lengths = next(iter(inputs.values())).lengths
        if not self.spec.allow_empty and not lengths.all():
            row, first = int(np.argmin(lengths)), self.features[0]
            raise DataError(
                f"{where(row)}: column '{first.column}' is empty, so there is nothing to learn "
                "from; take the row out or set data.allow_empty=true"
            )
        target: Array | Ragged | None = self.target.of_inputs(inputs)
        if target is None:
            target = self.target.encode(columns[self.target.column], where)
        if self.target.layout == "steps" and isinstance(target, Ragged):
            self._check_steps(lengths, target, where)
            target = target.truncate(self._limit)
        references = None
        column = self.target.references
        if column is not None and column in columns:
            references = self.target.encode_references(columns[column], where)
        inputs = {name: self._cut(name, ragged) for name, ragged in inputs.items()}
        return EncodedRows(inputs, target, references, self.target.layout)

    def _encode_inputs(
        self, columns: Columns, where: Where, *, cut: bool = True
    ) -> dict[str, Ragged]:
        inputs: dict[str, Ragged] = {}
        for feature in self.features:
            ragged = feature.encode(columns[feature.column], where)
            wanted, of = self._steps_wanted(feature, inputs, ragged)
            if not np.array_equal(wanted, ragged.lengths):
                row = int(np.argmax(wanted != ragged.lengths))
                raise DataError(
                    f"{where(row)}: {of} {wanted[row]} steps and feature '{feature.name}' "
                    f"{ragged.lengths[row]}; all features of a row need the same number"
                )
            inputs[feature.name] = ragged
        return {name: self._cut(name, ragged) for name, ragged in inputs.items()} if cut else inputs

    def _steps_wanted(
        self, feature: Feature, inputs: Mapping[str, Ragged], ragged: Ragged
    ) -> tuple[Array, str]:
        """How many steps a feature must have in each row, and of what that is the number."""
        if feature.role == "ahead" and self.info.target.steps:
            return np.full_like(ragged.lengths, self.info.target.steps), "the target has"
        if feature.role == "row":
            return np.ones_like(ragged.lengths), "a feature with role=row has"
        first = next((f for f in self.features if f.role == feature.role), feature)
        return inputs.get(first.name, ragged).lengths, f"feature '{first.name}' has"

    def _cut(self, name: str, ragged: Ragged) -> Ragged:
        """The first steps of a row, as many as are read."""
        roles = {feature.name: feature.role for feature in self.features}
        return ragged.truncate(self._limit) if roles[name] == "step" else ragged

    def _check_steps(self, lengths: Any, target: Ragged, where: Where) -> None:
        if np.array_equal(lengths, target.lengths):
            return
        row = int(np.argmax(lengths != target.lengths))
        raise DataError(
            f"{where(row)}: column '{self.target.column}' has {target.lengths[row]} "
            f"{self.info.target.kind} for {lengths[row]} steps in column "
            f"'{self.features[0].column}'; give one a step"
        )

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Examples as one padded batch; ``Batch.rows`` numbers them from 0.

        Raises:
            DataError: there are no examples.
        """
        if not examples:
            raise DataError("a batch needs at least one example")
        rows = EncodedRows.from_examples(examples, self.target.layout)
        return rows.batch(np.arange(len(examples)))

    def decode_target(self, prediction: Any) -> Any:
        """Predicted ids as people read them.

        Args:
            prediction: a class id (``label``), a list of ids (``labels``, ``tags``, ``text``),
                or numbers (``values``).

        Returns:
            The class's name, a list of names, a text, or a list of numbers.
        """
        return self.target.decode(prediction)

    def decode_input(self, values: Sequence[Any], feature: str | None = None) -> Any:
        """A feature's ids as text (``text``) or tokens (``tokens``); numbers unscaled.

        Args:
            values: ids ``[T]`` or numbers ``[T, D]``, without padding.
            feature: which feature; by default the first.
        """
        known = {part.name: part for part in self.features}
        return known[feature or self.features[0].name].decode(values)

    def save(self, folder: str | Path) -> None:
        """Write ``processor.json``, tokenizers and labels into an existing folder."""
        learnt = (self.info.target.statistics, self.transforms)
        write_parts(Path(folder), Parts(self.spec, self.features, self.target, *learnt))

    @classmethod
    def load(cls, folder: str | Path) -> Processor:
        """Read what ``save`` wrote; nothing in the folder chooses code.

        Raises:
            BundleError: a file is missing, too large, damaged, or does not fit the others.
        """
        return cls(*read_parts(Path(folder)))


def _step_limit(spec: DataSpec, features: Sequence[Feature]) -> int | None:
    """Inputs are cut after so many steps."""
    limits = [feature.tokenizer.max_length for feature in features if feature.tokenizer is not None]
    given = [limit for limit in [*limits, spec.max_length] if limit is not None]
    return min(given, default=None)


def _input_row(value: Any, names: Sequence[str], where: Where, place: int) -> Mapping[str, Any]:
    """An input as a row with the columns of the features."""
    if isinstance(value, Mapping):
        for column in names:
            if column not in value:
                raise _missing(where(place), column, value)
        return value
    if len(names) > 1:
        raise DataError(
            f"{where(place)}: expected a mapping with the columns {', '.join(names)}, "
            f"found {show(value)}"
        )
    return {names[0]: value}


def _missing(where: str, column: str, row: Mapping[str, Any]) -> DataError:
    return DataError(f"{where}: column '{column}' is missing; there are {', '.join(map(str, row))}")


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
                raise _missing(f"train row {index + 1}", column, row)

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
    names: Column | None = None,
    transforms: Sequence[Transform] = (),
    *,
    together: bool = False,
    known: KnownVocabularies | None = None,
) -> Processor:
    """Fit on the columns of training rows, in chunks that may be gone through several times.

    Args:
        spec: the data spec.
        read: begins a pass over some columns.
        names: the target column of all rows that may say which classes or tags there are, for
            a target that has such; by default the training rows.
        transforms: the fitted ones that have made the rows.
        together: whether a pass is dear, so that parts learn in one where they can.
        known: vocabularies to go on from.

    Raises:
        DataError: there are no rows, or a value does not fit its column.
    """
    if next(iter(read([spec.target.column])), None) is None:
        raise DataError("the training split has no rows")
    features, target = unfitted(spec)
    alone = [target] if names is None or not target.fits_on_all else []
    parts: list[ColumnPart] = [*features, *alone]
    shared = [part for part in parts if together and part.fits_in_one_pass]
    if len(shared) > 1:
        learn_together([(part.column, part.fit) for part in shared], read)
    for part in parts:
        if part not in shared or len(shared) == 1:
            part.fit(column_of(read, part.column))
    if not alone:
        target.fit(names or column_of(read, target.column))
    if known is not None:
        known.hand_over([*((f"features.{f.name}", f) for f in features), ("target", target)])
    statistics = fit_statistics(target, features[0], read, _step_limit(spec, features))
    return Processor(spec, features, target, statistics, transforms)


def column_of(read: Read, name: str) -> Column:
    """Passes over one column."""
    return lambda: ((columns[name], where) for columns, where in read([name]))
