"""The checks of a source of data."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqlab.data.sources.base import SPLITS, Source
from seqlab.errors import ConfigError, DataError
from seqlab.testing.case import Case
from seqlab.testing.check_table import Table
from seqlab.testing.compare import refused, require
from seqlab.testing.contract import (
    REFUSALS,
    require_docstring,
    require_options,
    require_subclass,
)
from seqlab.testing.result import Failure, Numbers, Skip

IDENTITY = ("name", "origin", "licence", "digest", "rows")
#: Rows of each split that are compared and searched; whole splits are compared by their digest.
ROWS = 200


@dataclass(frozen=True)
class SourceCase(Case):
    """A source class with its options."""

    kind = "source"

    def source(self) -> Source:
        """A new source.

        Raises:
            Skip: it needs options that were not given.
        """
        require_options(self)
        try:
            made: Source = self.part(**self.options)
        except ConfigError as error:
            if self.options:
                raise
            raise Skip(f"it needs options to be checked: {error}") from error
        return made

    @functools.cached_property
    def loaded(self) -> Mapping[str, Any]:
        """The splits, loaded once.

        Raises:
            Skip: the data cannot be reached from here.
        """
        source = self.source()
        try:
            splits: Mapping[str, Any] = source.load()
        except DataError as error:
            if "reach" in str(error) or "download" in str(error):
                raise Skip(f"not reachable from here: {error}") from error
            raise
        return splits

    def first_rows(self, split: str) -> list[dict[str, Any]]:
        """The first rows of a split, as plain mappings."""
        return [dict(row) for row, _ in zip(self.loaded[split], range(ROWS), strict=False)]


SOURCE_CHECKS = Table()


@SOURCE_CHECKS.check(gate=True)
def constructor(case: SourceCase) -> None:
    """It is a documented ``Source`` built from keyword options; unknown ones are refused.

    Catches: options that are swallowed without effect.
    """
    require_subclass(case.part, Source)
    require_docstring(case.part)
    case.source()
    unknown = functools.partial(case.part, **{**case.options, "no_such_option": 1})
    refused(unknown, REFUSALS, "the unknown option no_such_option=1")


@SOURCE_CHECKS.check(gate=True)
def splits_have_names(case: SourceCase) -> Numbers:
    """``load`` gives a data set dictionary with ``train``, and no names but those three.

    Catches: splits that the trainer never finds, such as ``dev``.
    """
    splits = case.loaded
    kind = type(splits).__name__
    require(kind in ("DatasetDict", "IterableDatasetDict"), f"load gives a {kind}")
    strange = sorted(set(splits) - set(SPLITS))
    require(not strange, f"splits named {', '.join(strange)}; known: {', '.join(SPLITS)}")
    require("train" in splits, f"there is no split 'train', only {', '.join(splits)}")
    counts = {name: len(case.first_rows(name)) for name in splits}
    require(counts["train"] > 0, "the training split has no rows")
    return counts


@SOURCE_CHECKS.check(gate=True)
def splits_have_the_same_columns(case: SourceCase) -> Numbers:
    """Every split has the same columns, of the same types.

    Catches: labels that are numbers in one split and words in another.
    """
    forms = {name: _form(case, name) for name in case.loaded}
    first = forms["train"]
    for name, form in forms.items():
        require(
            set(form) == set(first),
            f"train has the columns {sorted(first)}, {name} has {sorted(form)}",
        )
        for column, kind in form.items():
            require(
                kind == first[column] or "nothing" in (kind, first[column]),
                f"column '{column}' is {first[column]} in train and {kind} in {name}",
            )
    return {"columns": len(first)}


def _form(case: SourceCase, split: str) -> dict[str, str]:
    """Column to the type of its values: the declared one, or what the first rows hold."""
    features = getattr(case.loaded[split], "features", None)
    if features:
        return {name: str(feature) for name, feature in features.items()}
    rows = case.first_rows(split)
    return {
        column: ", ".join(sorted({type(row.get(column)).__name__ for row in rows})) or "nothing"
        for column in (rows[0] if rows else {})
    }


@SOURCE_CHECKS.check()
def identity_is_complete(case: SourceCase) -> None:
    """After loading, ``describe`` states name, origin, licence, digest and true row counts as JSON.

    Catches: model cards that do not say what a model was trained on.
    """
    source = case.source()
    splits = source.load()
    identity = source.describe()
    missing = [key for key in IDENTITY if key not in identity]
    require(not missing, f"describe lacks {', '.join(missing)}")
    empty = [key for key in IDENTITY[:4] if not str(identity[key]).strip()]
    require(not empty, f"describe says nothing for {', '.join(empty)}")
    try:
        json.dumps(identity, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Failure(f"describe is no JSON: {error}") from error
    rows = identity["rows"]
    require(isinstance(rows, Mapping), f"rows is {rows!r}, not split to number")
    for name, split in splits.items():
        count = getattr(split, "num_rows", None)
        if isinstance(count, int) and isinstance(rows, Mapping):
            stated = rows.get(name)
            require(stated == count, f"describe states {stated} rows for {name}, there are {count}")


@SOURCE_CHECKS.check()
def loading_is_repeatable(case: SourceCase) -> Numbers:
    """A second source with the same options gives the same rows in the same order.

    Catches: shuffling that no seed rules, so that no run can be resumed or repeated.
    """
    again = SourceCase(case.part, case.options)
    compared = 0
    for split in case.loaded:
        ours, theirs = case.first_rows(split), again.first_rows(split)
        require(len(ours) == len(theirs), f"{split}: {len(ours)} rows, then {len(theirs)}")
        for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            require(
                repr(a) == repr(b),
                f"{split} row {index + 1} is {a!r:.80} the first time and {b!r:.80} the second",
                row=index + 1,
            )
        compared += len(ours)
    return {"rows": compared}


@SOURCE_CHECKS.check(needs=("splits_have_the_same_columns",))
def rows_can_be_located(case: SourceCase) -> None:
    """``locate`` gives words for a row, for error messages.

    Catches: bad rows that nobody can find.
    """
    source = case.source()
    source.load()
    for split in case.loaded:
        place = source.locate(split, 0)
        require(isinstance(place, str) and place.strip(), f"locate('{split}', 0) is {place!r}")
