"""The processor: rows of a data set to tensors, and predictions back to text.

It knows nothing of where rows come from, and is saved with the model as plain JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seqlab.data.data_spec import DataSpec
from seqlab.data.encoded import EncodedRows, EncodedTarget, Example
from seqlab.data.features.base import Feature
from seqlab.data.passes import Columns
from seqlab.data.processor_files import Parts, read_parts, write_parts
from seqlab.data.ragged import Array, Ragged
from seqlab.data.raw_columns import Where, show
from seqlab.data.targets.base import Target
from seqlab.data.transforms.base import PREDICT, Row, Transform
from seqlab.data.transforms.chain import Chain
from seqlab.errors import DataError
from seqlab.target_names import SOLE
from seqlab.types import Batch, DataInfo, TargetInfo, TargetStatistics, Writer


class Processor:
    """Rows to tensors and back; made by ``fit_processor`` or ``Processor.load``.

    Args:
        spec: the data spec.
        features: the fitted features, in order.
        targets: the fitted targets by their names, a sole one by ``SOLE``.
        statistics: what the training rows say of each target, by its name.
        transforms: the fitted transforms, in order.

    Example:
        >>> from seqlab.data.processor import fit_processor
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
        targets: Mapping[str, Target],
        statistics: Mapping[str, TargetStatistics] | None = None,
        transforms: Sequence[Transform] = (),
    ) -> None:
        self.spec = spec
        self.transforms = tuple(transforms)
        self.features = tuple(features)
        self.targets = dict(targets)
        known = statistics or {}
        infos = {
            name: replace(target.info, statistics=known.get(name, TargetStatistics()))
            for name, target in self.targets.items()
        }
        described = infos[SOLE] if SOLE in infos else _joint(infos)
        self.info = DataInfo(tuple(feature.info for feature in features), described)
        self._limit = step_limit(spec, features)

    @property
    def target(self) -> Target:
        """The sole target.

        Raises:
            DataError: there are several; see ``targets``.
        """
        if SOLE not in self.targets:
            raise DataError(f"there is no sole target, but {', '.join(self.targets)}")
        return self.targets[SOLE]

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
                raise missing(where, column, row)
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
        targets = {
            name: self._encode_target(target, inputs, columns, where)
            for name, target in self.targets.items()
        }
        return EncodedRows({name: self._cut(name, r) for name, r in inputs.items()}, targets)

    def _encode_target(
        self, target: Target, inputs: Mapping[str, Ragged], columns: Columns, where: Where
    ) -> EncodedTarget:
        """One target of rows whose inputs are encoded and not yet cut."""
        values: Array | Ragged | None = target.of_inputs(inputs)
        if values is None:
            values = target.encode(columns[target.column], where)
        if target.layout == "steps" and isinstance(values, Ragged):
            self._check_steps(target, next(iter(inputs.values())).lengths, values, where)
            values = values.truncate(self._limit)
        return EncodedTarget(values, target.layout, target.accepted(columns, where))

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
        if feature.role == "ahead" and (steps := self._steps_ahead()):
            return np.full_like(ragged.lengths, steps), "the target has"
        if feature.role == "row":
            return np.ones_like(ragged.lengths), "a feature with role=row has"
        first = next((f for f in self.features if f.role == feature.role), feature)
        return inputs.get(first.name, ragged).lengths, f"feature '{first.name}' has"

    def _steps_ahead(self) -> int:
        """The steps of a target that comes after those of the inputs; 0: there is none."""
        return max(info.steps for info in self.info.target.named.values())

    def _cut(self, name: str, ragged: Ragged) -> Ragged:
        """The first steps of a row, as many as are read."""
        roles = {feature.name: feature.role for feature in self.features}
        return ragged.truncate(self._limit) if roles[name] == "step" else ragged

    def _check_steps(self, target: Target, lengths: Any, values: Ragged, where: Where) -> None:
        if np.array_equal(lengths, values.lengths):
            return
        row = int(np.argmax(lengths != values.lengths))
        raise DataError(
            f"{where(row)}: column '{target.column}' has {values.lengths[row]} "
            f"{target.info.kind} for {lengths[row]} steps in column "
            f"'{self.features[0].column}'; give one a step"
        )

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Examples as one padded batch; ``Batch.rows`` numbers them from 0.

        Raises:
            DataError: there are no examples.
        """
        if not examples:
            raise DataError("a batch needs at least one example")
        layouts = {name: target.layout for name, target in self.targets.items()}
        rows = EncodedRows.from_examples(examples, layouts)
        return rows.batch(np.arange(len(examples)))

    def decode_target(self, prediction: Any, target: str = SOLE) -> Any:
        """Predicted ids as people read them.

        Args:
            prediction: a class id (``label``), a list of ids (``labels``, ``tags``, ``text``),
                or numbers (``values``).
            target: which of several targets.

        Returns:
            The class's name, a list of names, a text, or a list of numbers.
        """
        known = self.target if target == SOLE else self.targets[target]
        return known.decode(prediction)

    def writers(self) -> dict[str, Writer]:
        """What writes the answers to each target as text, by its name."""
        return {name: Writer(target.decode) for name, target in self.targets.items()}

    def decode_answer(
        self,
        target: Target,
        ids: Sequence[int],
        copied: Sequence[Sequence[int]] | None,
        value: Any,
    ) -> Any:
        """An answer as text; with pieces of the input where it copied unknown tokens.

        Args:
            target: which it answers.
            ids: of the answer.
            copied: pairs of a place in it and the step of the input that stands there.
            value: the input, as ``encode_input`` takes it.
        """
        if not copied:
            return target.decode(ids)
        source = next((f for f in self.features if f.name == target.info.feature), None)
        if source is None or target.tokenizer is None:
            return target.decode(ids)
        pieces = source.tokens(value[source.column] if isinstance(value, Mapping) else value) or []
        written = {place: pieces[step] for place, step in copied if step < len(pieces)}
        return target.tokenizer.decode_with(ids, written)

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
        statistics = {name: info.statistics for name, info in self.info.target.named.items()}
        parts = Parts(self.spec, self.features, self.targets, statistics, self.transforms)
        write_parts(Path(folder), parts)

    @classmethod
    def load(cls, folder: str | Path) -> Processor:
        """Read what ``save`` wrote; nothing in the folder chooses code.

        Raises:
            BundleError: a file is missing, too large, damaged, or does not fit the others.
        """
        return cls(*read_parts(Path(folder)))


def _joint(parts: Mapping[str, TargetInfo]) -> TargetInfo:
    """Several targets as one."""
    return TargetInfo("joint", len(parts), parts=parts)


def step_limit(spec: DataSpec, features: Sequence[Feature]) -> int | None:
    """Inputs are cut after so many steps."""
    limits = [feature.tokenizer.max_length for feature in features if feature.tokenizer is not None]
    given = [limit for limit in [*limits, spec.max_length] if limit is not None]
    return min(given, default=None)


def _input_row(value: Any, names: Sequence[str], where: Where, place: int) -> Mapping[str, Any]:
    """An input as a row with the columns of the features."""
    if isinstance(value, Mapping):
        for column in names:
            if column not in value:
                raise missing(where(place), column, value)
        return value
    if len(names) > 1:
        raise DataError(
            f"{where(place)}: expected a mapping with the columns {', '.join(names)}, "
            f"found {show(value)}"
        )
    return {names[0]: value}


def missing(where: str, column: str, row: Mapping[str, Any]) -> DataError:
    """The error for a row without a column."""
    return DataError(f"{where}: column '{column}' is missing; there are {', '.join(map(str, row))}")
