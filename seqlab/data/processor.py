"""The processor: rows of a data set to tensors, and predictions back to text.

It knows nothing of where rows come from, is fitted on training rows only, and is saved with
the model as plain JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seqlab.data.checks import Where, show
from seqlab.data.encoded import EncodedRows, Example
from seqlab.data.inputs import Column, IdsInput, Input, NumericInput
from seqlab.data.ragged import Ragged
from seqlab.data.spec import DataSpec
from seqlab.data.statistics import fit_statistics, plain_statistics, read_statistics
from seqlab.data.storage import read_json, write_json
from seqlab.data.targets import Target, TextTarget, fit_target, load_target
from seqlab.errors import BundleError, ConfigError, DataError
from seqlab.types import Batch, DataInfo, TargetStatistics

PROCESSOR_FILE = "processor.json"
_MAX_PROCESSOR_BYTES = 64 * 2**20
_FORMAT = 1
_CHUNK = 4096

#: Columns of some rows, and where each of the rows stands.
Columns = Mapping[str, Sequence[Any]]


class Processor:
    """Rows to tensors and back; made by ``fit_processor`` or ``Processor.load``.

    Args:
        spec: the data spec.
        inputs: the fitted features, in order.
        target: the fitted target.
        statistics: what the training rows say of the target.

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
        inputs: Sequence[Input],
        target: Target,
        statistics: TargetStatistics | None = None,
    ) -> None:
        self.spec = spec
        self.inputs = tuple(inputs)
        self.target = target
        described = replace(target.info, statistics=statistics or TargetStatistics())
        self.info = DataInfo(tuple(feature.info for feature in inputs), described)
        self._limit = _step_limit(spec)

    def encode(self, row: Mapping[str, Any], *, where: str = "row") -> Example:
        """One row with its target.

        Args:
            row: column to value.
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
            value: a string, a list of tokens, a list of numbers or of rows of numbers, or,
                where features have different columns, a mapping of column to value.
            where: how errors call it.

        Raises:
            DataError: the value does not fit the feature's kind.
        """
        names = self.spec.input_columns
        if isinstance(value, Mapping):
            for column in names:
                if column not in value:
                    raise _missing(where, column, value)
            row = value
        elif len(names) == 1:
            row = {names[0]: value}
        else:
            raise DataError(
                f"{where}: expected a mapping with the columns {', '.join(names)}, "
                f"found {show(value)}"
            )
        columns = {column: [row[column]] for column in names}
        return EncodedRows(self._encode_inputs(columns, lambda _: where)).example(0)

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
            row, first = int(np.argmin(lengths)), self.inputs[0].spec
            raise DataError(
                f"{where(row)}: column '{first.column}' is empty, so there is nothing to learn "
                "from; take the row out or set data.allow_empty=true"
            )
        target = self.target.encode(columns[self.spec.target.column], where)
        if self.info.target.kind == "tags" and isinstance(target, Ragged):
            self._check_tags(lengths, target, where)
            target = target.truncate(self._limit)
        references = None
        column = self.spec.target.references
        if isinstance(self.target, TextTarget) and column is not None and column in columns:
            references = self.target.encode_references(columns[column], where)
        inputs = {name: ragged.truncate(self._limit) for name, ragged in inputs.items()}
        return EncodedRows(inputs, target, references, self.info.target.kind)

    def _encode_inputs(
        self, columns: Columns, where: Where, *, cut: bool = True
    ) -> dict[str, Ragged]:
        inputs: dict[str, Ragged] = {}
        for feature in self.inputs:
            ragged = feature.encode(columns[feature.spec.column], where)
            first = next(iter(inputs.values()), ragged)
            if not np.array_equal(first.lengths, ragged.lengths):
                row = int(np.argmax(first.lengths != ragged.lengths))
                raise DataError(
                    f"{where(row)}: feature '{self.inputs[0].name}' has {first.lengths[row]} "
                    f"steps and feature '{feature.name}' {ragged.lengths[row]}; "
                    "all features of a row need the same number"
                )
            inputs[feature.name] = ragged
        return {n: r.truncate(self._limit) for n, r in inputs.items()} if cut else inputs

    def _check_tags(self, lengths: Any, target: Ragged, where: Where) -> None:
        if np.array_equal(lengths, target.lengths):
            return
        row = int(np.argmax(lengths != target.lengths))
        raise DataError(
            f"{where(row)}: column '{self.spec.target.column}' has {target.lengths[row]} tags "
            f"for {lengths[row]} steps in column '{self.inputs[0].spec.column}'; "
            "give one tag a step"
        )

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Examples as one padded batch; ``Batch.rows`` numbers them from 0.

        Raises:
            DataError: there are no examples.
        """
        if not examples:
            raise DataError("a batch needs at least one example")
        rows = EncodedRows.from_examples(examples, self.info.target.kind)
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
        known = {part.name: part for part in self.inputs}
        part = known[feature or self.inputs[0].name]
        if isinstance(part, IdsInput):
            ids = [int(index) for index in values]
            if part.spec.kind == "tokens":
                return [part.vocabulary.entry(index) for index in ids]
            return part.vocabulary.decode(ids)
        numeric = part
        if not isinstance(numeric, NumericInput):
            raise DataError(f"feature '{part.name}' cannot be decoded")
        return (np.asarray(values) * numeric.std + numeric.mean).tolist()

    def save(self, folder: str | Path) -> None:
        """Write ``processor.json``, tokenizers and labels into an existing folder."""
        folder = Path(folder)
        statistics = {}
        names = _file_names(self.spec)
        for feature in self.inputs:
            if isinstance(feature, IdsInput):
                feature.vocabulary.save(folder / names[feature.name])
            elif isinstance(feature, NumericInput):
                statistics[feature.name] = feature.statistics
        self.target.save(folder)
        content = {
            "format": _FORMAT,
            "data": self.spec.to_dict(),
            "statistics": statistics,
            "target": plain_statistics(self.info.target.statistics),
        }
        write_json(folder / PROCESSOR_FILE, content)

    @classmethod
    def load(cls, folder: str | Path) -> Processor:
        """Read what ``save`` wrote; nothing in the folder chooses code.

        Raises:
            BundleError: a file is missing, too large, damaged, or does not fit the others.
        """
        folder = Path(folder)
        path = folder / PROCESSOR_FILE
        content = read_json(path, _MAX_PROCESSOR_BYTES)
        if content.get("format") != _FORMAT:
            raise BundleError(f"{path}: format {content.get('format')!r}, expected {_FORMAT}")
        try:
            spec = DataSpec.from_mapping(content.get("data"))
        except ConfigError as error:
            raise BundleError(f"{path}: {error}") from error
        names = _file_names(spec)
        inputs: list[Input] = []
        for name, feature in spec.features.items():
            if feature.kind == "numeric":
                inputs.append(NumericInput.load(name, feature, content.get("statistics"), path))
            else:
                inputs.append(IdsInput.load(name, feature, folder / names[name]))
        target = load_target(spec.target, folder)
        learnt = read_statistics(content.get("target", {}), target.info, path)
        return cls(spec, inputs, target, learnt)


def _step_limit(spec: DataSpec) -> int | None:
    """Inputs are cut after so many steps."""
    limits = [feature.tokenizer.max_length for feature in spec.features.values()]
    given = [limit for limit in [*limits, spec.max_length] if limit is not None]
    return min(given, default=None)


def _file_names(spec: DataSpec) -> dict[str, str]:
    """``tokenizer.json`` for the first feature with ids, then one name a feature."""
    with_ids = [name for name, feature in spec.features.items() if feature.kind != "numeric"]
    names = {name: f"tokenizer.{name}.json" for name in with_ids}
    return {**names, with_ids[0]: "tokenizer.json"} if with_ids else names


def _missing(where: str, column: str, row: Mapping[str, Any]) -> DataError:
    return DataError(f"{where}: column '{column}' is missing; there are {', '.join(map(str, row))}")


def fit_processor(
    data_spec: Mapping[str, Any] | DataSpec, train_rows: Iterable[Mapping[str, Any]]
) -> Processor:
    """Fit vocabularies, label sets and statistics on training rows.

    Args:
        data_spec: the ``data`` part of a config, or a ``DataSpec``.
        train_rows: mappings of column to value.

    Raises:
        ConfigError: the spec has an unknown key or a wrong value.
        DataError: there are no rows, a column is missing, or a value does not fit.
    """
    spec = DataSpec.from_mapping(data_spec)
    rows = list(train_rows)
    for index, row in enumerate(rows):
        for column in spec.columns:
            if column not in row:
                raise _missing(f"train row {index + 1}", column, row)

    def column_of(name: str) -> Column:
        def chunks() -> Iterable[tuple[Sequence[Any], Where]]:
            for start in range(0, len(rows), _CHUNK):
                values = [row[name] for row in rows[start : start + _CHUNK]]
                yield values, partial(_train_row, start)

        return chunks

    return fit_columns(spec, column_of)


def _train_row(start: int, index: int) -> str:
    return f"train row {start + index + 1}"


def fit_columns(
    spec: DataSpec, column_of: Callable[[str], Column], names: Column | None = None
) -> Processor:
    """Fit on the columns of training rows, in chunks that may be gone through several times.

    Args:
        spec: the data spec.
        column_of: for a column's name, begins a pass over its values.
        names: the target column of all rows that may say which classes or tags there are, for
            a target that has such; by default the training rows.

    Raises:
        DataError: there are no rows, or a value does not fit its column.
    """
    if next(iter(column_of(spec.target.column)()), None) is None:
        raise DataError("the training split has no rows")
    inputs: list[Input] = []
    for name, feature in spec.features.items():
        fit = NumericInput.fit if feature.kind == "numeric" else IdsInput.fit
        inputs.append(fit(name, feature, column_of(feature.column)))
    column = column_of(spec.target.column)
    if names is not None and spec.target.kind in ("label", "labels", "tags"):
        column = names
    target = fit_target(spec.target, column)
    statistics = fit_statistics(
        target,
        column_of(spec.target.column),
        inputs[0],
        column_of(inputs[0].spec.column),
        _step_limit(spec),
    )
    return Processor(spec, inputs, target, statistics)
