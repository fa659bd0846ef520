"""Transforms one after the other: which columns each needs, what each learns, where rows stand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from seqlab.data.raw_columns import Where
from seqlab.data.transforms.base import Row, RowError, Rows, Transform
from seqlab.errors import DataError

KEY = "data.transforms"


class Chain:
    """Some transforms in their order, for the columns that are wanted of the rows made.

    Args:
        transforms: in the order in which they are applied.
        wanted: columns that the rows made should have.
        first: the position of the first of them among all of ``data.transforms``.

    Attributes:
        needs: the columns to read.
        asked: those of them that a transform adds to the ones wanted, with the key of it.
    """

    def __init__(
        self, transforms: Sequence[Transform], wanted: Collection[str], first: int = 0
    ) -> None:
        self.transforms = tuple(transforms)
        self.keys = [f"{KEY}[{first + place}]" for place in range(len(transforms))]
        self._asked_for = wanted
        self.asked: dict[str, str] = {}
        self._wanted: list[Collection[str]] = []
        for transform, key in reversed(list(zip(self.transforms, self.keys, strict=True))):
            self._wanted.insert(0, wanted)
            needs = transform.needs(wanted)
            self.asked.update(dict.fromkeys(set(needs) - set(wanted), key))
            wanted = needs
        self.needs = tuple(wanted)

    def asked_by(self, wanted: Mapping[str, str | None]) -> dict[str, str | None]:
        """The columns to read, each with the config key that asks for it.

        Args:
            wanted: those that the rows made should have, each with its key.
        """
        return {name: wanted.get(name) or self.asked.get(name) for name in self.needs}

    @property
    def whole(self) -> int:
        """How many transforms there are up to the last that looks at all rows together."""
        return max((n for n, t in enumerate(self.transforms, 1) if t.whole), default=0)

    def divided(self) -> tuple[Chain, Chain]:
        """The transforms up to the last that looks at all rows together, and those after it."""
        cut = self.whole
        after = Chain(self.transforms[cut:], self._asked_for, cut)
        return Chain(self.transforms[:cut], after.needs), after

    def apply(self, rows: Iterable[Row], split: str, where: Where) -> Iterator[Row]:
        """The rows made of the rows of a split.

        Args:
            rows: the split's.
            split: its name.
            where: where the row with a number stands.

        Raises:
            DataError: a column is missing or a row does not fit; its place and the transform's
                key are named.
        """
        return self._through(len(self.transforms), rows, split, where)

    def fit(self, rows: Rows, where: Where) -> None:
        """Let each transform learn from the training rows, as those before it leave them."""
        for place, transform in enumerate(self.transforms):

            def before(place: int = place) -> Iterator[Row]:
                return self._checked(place, self._through(place, rows(), "train", where), where)

            try:
                transform.fit(before)
            except RowError as error:
                raise self._placed(place, error, where) from error

    def _through(self, count: int, rows: Iterable[Row], split: str, where: Where) -> Iterator[Row]:
        """The rows that the first transforms make."""
        made = iter(rows)
        for place in range(count):
            made = self._applied(place, made, split, where)
        return made

    def _applied(self, place: int, rows: Iterable[Row], split: str, where: Where) -> Iterator[Row]:
        """The rows that one transform makes, with the columns that are wanted of it."""
        wanted = self._wanted[place]
        given = self._checked(place, rows, where)
        try:
            for row in self.transforms[place].apply(given, split):
                yield row if len(row) <= len(wanted) else _only(row, wanted)
        except RowError as error:
            raise self._placed(place, error, where) from error

    def _checked(self, place: int, rows: Iterable[Row], where: Where) -> Iterator[Row]:
        """Rows that have the columns that a transform reads."""
        for row in rows:
            for column in self.transforms[place].reads:
                if column not in row:
                    raise self._placed(place, row.missing(column), where)
            yield row

    def _placed(self, place: int, error: RowError, where: Where) -> DataError:
        return DataError(f"{stands(error.row, where)}: {self.keys[place]}: {error}")


def stands(row: Row, where: Where) -> str:
    """Where a row stands: the row it is made of, and which part of it."""
    return f"{where(row.number)} {row.part}".strip()


def _only(row: Row, wanted: Collection[str]) -> Row:
    """A row without the columns that nobody wants any more."""
    return Row({name: row[name] for name in wanted if name in row}, row.number, row.part)
