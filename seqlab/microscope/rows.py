"""Rows of a file for the microscope: encoded, with their target where they have one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.data.encoded import EncodedRows
from seqlab.data.processor import Processor
from seqlab.data.raw_columns import Where
from seqlab.data.transforms.base import Row
from seqlab.data.transforms.chain import Chain, stands

#: Transforms leave the target to rows of any split but the ones to predict.
_SPLIT = "test"


def encode(processor: Processor, values: Sequence[Any], where: Where) -> tuple[EncodedRows, bool]:
    """Rows with their targets if all have one, else without; and which of the two it is.

    Args:
        processor: the bundle's.
        values: one value or mapping a row, as ``predict`` takes them.
        where: where the i-th row stands, for errors.

    Raises:
        DataError: a value does not fit its column.
    """
    spec = processor.spec
    of_inputs = all(info.kind == "inputs" for info in processor.info.target.named.values())
    wanted = spec.input_columns if of_inputs else spec.columns
    chain = Chain(processor.transforms, wanted)
    rows = _as_mappings(values, spec.input_columns)
    if not all(set(chain.needs) <= set(row) for row in rows):
        if not processor.transforms:
            return processor.encode_inputs(values, where), False
        made = processor.transform_inputs(values, where)
        return processor.encode_inputs(made, lambda i: stands(made[i], where)), False
    if processor.transforms:
        given = (Row(dict(row), place) for place, row in enumerate(rows))
        rows = chained = list(chain.apply(given, _SPLIT, where))
        columns = {name: [row[name] for row in rows] for name in wanted}
        return processor.encode_columns(columns, lambda i: stands(chained[i], where)), True
    columns = {name: [row[name] for row in rows] for name in wanted}
    for target in processor.targets.values():
        references = target.references
        if references is not None and all(references in row for row in rows):
            columns[references] = [row[references] for row in rows]
    return processor.encode_columns(columns, where), True


def _as_mappings(values: Sequence[Any], columns: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Single values as rows of the one column there is."""
    if len(columns) > 1:
        return [value if isinstance(value, Mapping) else {} for value in values]
    return [value if isinstance(value, Mapping) else {columns[0]: value} for value in values]
