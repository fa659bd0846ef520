"""The checks of a transform."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from seqlab.data.transforms.base import PREDICT, Row, Transform
from seqlab.data.transforms.chain import Chain
from seqlab.errors import BundleError, DataError
from seqlab.testing.case import Case
from seqlab.testing.check_table import Table
from seqlab.testing.compare import refused, require
from seqlab.testing.contract import class_contract, require_options
from seqlab.testing.result import Failure, Numbers, Skip

#: Rows with a column of each form; a transform may bring its own as a class attribute ``samples``.
SAMPLES: tuple[dict[str, Any], ...] = tuple(
    {
        "id": "ab"[number % 2],
        "time": 10 - number,
        "text": "one two three four"[: 3 + number],
        "tokens": ["a", "b", "c", "d", "e", "f"][: 3 + number % 4],
        "label": ("red", "green", "blue")[number % 3],
        "number": 0.5 * number,
        "series": [number + 0.25 * step for step in range(5 + number % 3)],
    }
    for number in range(10)
)
#: The kinds of value that no transform can use in a column that it reads.
BAD = (None, object())
TRANSFORM_CHECKS = Table()


def place(index: int) -> str:
    """Where a row stands, for errors."""
    return f"row {index + 1}"


@dataclass(frozen=True)
class TransformCase(Case):
    """A transform class with its options."""

    kind: ClassVar[str] = "transform"

    def fitted(self) -> Transform:
        """One that has learnt from the sample rows."""
        require_options(self)
        made: Transform = self.part(**self.options)
        made.fit(self.rows)
        return made

    def rows(self, values: Iterable[dict[str, Any]] | None = None) -> list[Row]:
        """The sample rows, or others."""
        chosen = getattr(self.part, "samples", SAMPLES) if values is None else values
        return [Row(copy.deepcopy(row), number) for number, row in enumerate(chosen)]

    def apply(
        self, transform: Transform, rows: Iterable[Row] | None = None, split: str = "train"
    ) -> list[Row]:
        """The rows made, whatever may be wrong with them."""
        made = list(transform.apply(iter(self.rows() if rows is None else rows), split))
        for row in made:
            require(isinstance(row, Row), f"apply gives {row!r:.80}; make rows by row.made(values)")
        return made


@TRANSFORM_CHECKS.check(gate=True)
def constructor(case: TransformCase) -> None:
    """It is a documented ``Transform`` built from keyword options; unknown ones are refused.

    Catches: options that are swallowed without effect.
    """
    require_options(case)
    class_contract(case, Transform)


@TRANSFORM_CHECKS.check(gate=True)
def rows_are_rows(case: TransformCase) -> Numbers:
    """Rows are made of the sample rows, all with the same columns, each of a row that was given.

    Catches: rows that no table can hold, or whose origin nobody can tell.
    """
    rows, made = case.rows(), case.apply(case.fitted())
    require(
        bool(made), "no row is made of the kit's rows; give others as a class attribute samples"
    )
    for row in made:
        require(all(isinstance(name, str) for name in row), f"columns are text, not {list(row)}")
        require(row.keys() == made[0].keys(), f"columns {list(row)} after {list(made[0])}")
        require(0 <= row.number < len(rows), f"a row of number {row.number} of {len(rows)}")
    return {"rows": len(rows), "made": len(made)}


@TRANSFORM_CHECKS.check()
def columns_are_told(case: TransformCase) -> Numbers:
    """With the columns alone that ``needs`` names for each column, that column is made, alike.

    Catches: columns that the source never reads, because nobody asks for them.
    """
    transform = case.fitted()
    made = case.apply(transform)
    for column in made[0]:
        needed = transform.needs([column])
        rows = case.rows({n: row[n] for n in needed if n in row} for row in case.rows())
        try:
            alone = [row.get(column) for row in case.apply(transform, rows)]
        except (KeyError, DataError) as error:
            raise Failure(f"'{column}' needs {list(needed)}, and then: {error}") from error
        require(
            _plain(alone) == _plain([row[column] for row in made]),
            f"'{column}' is another with the columns {list(needed)} alone",
        )
    return {"columns": len(made[0])}


@TRANSFORM_CHECKS.check()
def given_rows_stay(case: TransformCase) -> None:
    """The rows given are not changed, and a second pass makes the same rows.

    Catches: lists changed in place, randomness, state carried from pass to pass.
    """
    transform, rows = case.fitted(), case.rows()
    before = copy.deepcopy([dict(row) for row in rows])
    first = _plain(case.apply(transform, rows))
    require([dict(row) for row in rows] == before, "the rows given are changed")
    require(_plain(case.apply(transform, rows)) == first, "a second pass makes other rows")


@TRANSFORM_CHECKS.check()
def rows_do_not_mix(case: TransformCase) -> None:
    """What is made of a row does not depend on other rows, unless ``whole`` says so.

    Catches: neighbours that leak into each other; streams whose rows depend on chunks.
    """
    transform = case.fitted()
    if transform.whole:
        raise Skip("it looks at all rows of a split together, and says so")
    alone = [made for row in case.rows() for made in case.apply(transform, [row])]
    require(_plain(alone) == _plain(case.apply(transform)), "a row alone gives other rows")


@TRANSFORM_CHECKS.check()
def rows_come_in_their_order(case: TransformCase) -> None:
    """Rows are made in the order of those that they are made of.

    Catches: splits that are shuffled behind the back of those who divide them.
    """
    numbers = [row.number for row in case.apply(case.fitted())]
    require(numbers == sorted(numbers), f"rows are made of {numbers[:12]}")


@TRANSFORM_CHECKS.check()
def bad_values_name_their_row(case: TransformCase) -> None:
    """A value that does not fit is a ``DataError`` with its row, or makes rows all the same.

    Catches: tracebacks in the middle of a run, rows that nobody can find.
    """
    transform = case.fitted()
    chain = Chain([transform], tuple(case.apply(transform)[0]))
    for column in case.rows()[0]:
        for bad in BAD:
            values = [dict(row) for row in case.rows()]
            values[1][column] = bad
            try:
                list(chain.apply(case.rows(values), "train", place))
            except DataError as error:
                expected = f"row 2: {chain.keys[0]}: "
                what = f"'{column}' is {bad!r:.20}: the message is '{error}'"
                require(str(error).startswith("row ") and chain.keys[0] in str(error), what)
                require(transform.whole or str(error).startswith(expected[:5]), what)
            except Exception as error:
                what = f"'{column}' is {bad!r:.20}: {type(error).__name__}: {error}"
                raise Failure(f"{what}; refuse a row by row.error(...)") from error


@TRANSFORM_CHECKS.check()
def rows_to_predict_are_taken(case: TransformCase) -> Numbers:
    """Rows of the split ``predict``, and no rows at all, are taken in every split.

    Catches: models that train and cannot answer.
    """
    transform = case.fitted()
    for split in ("train", "validation", "test", PREDICT):
        require(case.apply(transform, [], split) == [], f"rows are made of nothing in {split}")
    return {"made": len(case.apply(transform, split=PREDICT))}


@TRANSFORM_CHECKS.check()
def saved_and_loaded(case: TransformCase) -> None:
    """What was learnt survives as JSON, with the same rows; other values are refused.

    Catches: bundles that predict nonsense; unchecked files.
    """
    transform = case.fitted()
    if not transform.keeps_state:
        raise Skip("it learns nothing")
    again = case.part(**case.options)
    again.restored(json.loads(json.dumps(transform.state(), allow_nan=False)), "processor.json")
    require(_plain(case.apply(again)) == _plain(case.apply(transform)), "other rows after loading")
    for state in (None, 7, {}, {"no": "such thing"}):
        wrong = partial(case.part(**case.options).restored, state, "processor.json")
        refused(wrong, (BundleError,), f"state {state!r}")


@TRANSFORM_CHECKS.check()
def travels_to_other_processes(case: TransformCase) -> None:
    """A fitted transform survives pickling, with the same rows.

    Catches: loader workers that cannot start.
    """
    transform = case.fitted()
    again = pickle.loads(pickle.dumps(transform))  # noqa: S301 - our own bytes
    require(_plain(case.apply(again)) == _plain(case.apply(transform)), "other rows after pickling")


def _plain(rows: Sequence[Any]) -> list[Any]:
    """Rows as values that compare by their content."""
    return [repr(dict(row)) if isinstance(row, Row) else repr(row) for row in rows]
