"""Targets that choose among names: one label, any number of labels, a tag for each step."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Annotated, Any, Literal

import numpy as np

from seqlab.data import raw_columns
from seqlab.data.encoded import References
from seqlab.data.part import Column
from seqlab.data.ragged import Array, Ragged
from seqlab.data.raw_columns import Where
from seqlab.data.splitting import SPACES
from seqlab.data.targets.base import Target
from seqlab.errors import DataError, did_you_mean, shortened
from seqlab.schema import Flag, Rule, check_value
from seqlab.types import TargetInfo

_NAMED = 20
#: The class of names that the training rows have not.
UNSEEN = "<unseen>"
Unseen = Literal["refuse", "wrong"]
#: What people put between several labels in one cell.
_SEPARATORS = ";|,"
_Names = Annotated[
    list[str], Rule(lambda names: 0 < len(names) == len(set(names)), "a list of strings, each once")
]


class NamedTarget(Target):
    """Base of the targets that choose among the names seen in training.

    Args:
        column: the column of the data set.
        unseen: what to do with a name that the training rows have not: ``refuse`` it, or let it be
            ``wrong``: it is one more class, ``<unseen>``, which no model learns to answer, so that
            rows with it can be measured.
    """

    fits_on_all = True
    #: How messages call one name, and the kind that heads know.
    noun = "label"
    kind = "label"

    def __init__(self, column: str, *, unseen: Unseen = "refuse") -> None:
        super().__init__(column)
        self.unseen = unseen
        self._set(())

    def _set(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._ids = {name: index for index, name in enumerate(self.names)}

    @abstractmethod
    def read(self, values: Sequence[Any], where: Where) -> Iterable[Sequence[str]]:
        """The names in each value."""

    @property
    def info(self) -> TargetInfo:
        """One class for each name."""
        return TargetInfo(self.kind, len(self.names), self.names)

    def fit(self, values: Column) -> None:
        """With all names there are, numbers by size and anything else by the alphabet."""
        names: set[str] = set()
        for chunk, where in values():
            names.update(chain.from_iterable(self.read(chunk, where)))
        if not names:
            raise DataError(f"column '{self.column}': the training rows have no {self.noun} at all")
        self._set([*_ordered(names), *([UNSEEN] if self.unseen == "wrong" else [])])

    def state(self) -> dict[str, Any]:
        """The names."""
        return {"names": list(self.names)}

    def restore(self, state: Any) -> None:
        """Take the names.

        Raises:
            OptionError: they are no list of different strings.
        """
        names: Any = dict(state).get("names")
        self._set(check_value(names, _Names, f"target '{self.column}': names"))

    @property
    def unseen_id(self) -> int | None:
        """The id of names that the training rows have not; None: they are refused."""
        return len(self.names) - 1 if self.unseen == "wrong" else None

    def ids_of(self, names: Iterable[str]) -> list[int | None]:
        """The id of each name; None for one that is refused."""
        get, other = self._ids.get, self.unseen_id
        return [get(name, other) for name in names]

    def id_of(self, name: str, where: Where, row: int) -> int:
        """The id of a name.

        Raises:
            DataError: it is not one of them.
        """
        found = self._ids.get(name, self.unseen_id)
        if found is not None:
            return found
        known = did_you_mean(name, self.names)
        if len(self.names) > _NAMED:
            known = f"the training rows have {len(self.names)} others"
        raise DataError(
            f"{where(row)}: column '{self.column}': {self.noun} {shortened(repr(name), 60)} does "
            f"not occur in the training rows: {known}; trained with unseen=wrong, its "
            "target counts such a row as a mistake"
        )

    def name_of(self, index: Any) -> str:
        """The name with an id.

        Raises:
            DataError: there is none.
        """
        number = int(index)
        if not 0 <= number < len(self.names):
            raise DataError(f"class {number} is out of range: there are {len(self.names)}")
        return self.names[number]


class LabelTarget(NamedTarget):
    """One class a row, ``[R]`` int64.

    Args:
        column: the column of the data set.
        several: a cell may be a list of accepted classes: the first is learnt, and any of them is
            right when a model is measured.
        unseen: see ``NamedTarget``.

    >>> target = LabelTarget("kind", several=True)
    >>> target.fit(lambda: [([["noun", "verb"], "noun"], "row {}".format)])
    >>> target.encode([["verb", "noun"], "noun"], "row {}".format).tolist()
    [1, 0]
    >>> target.encode_references([["verb", "noun"], "noun"], "row {}".format)
    [[[1], [0]], [[0]]]
    """

    def __init__(self, column: str, *, several: Flag = False, unseen: Unseen = "refuse") -> None:
        super().__init__(column, unseen=unseen)
        self.several = several
        self.references = column if several else None

    def read(self, values: Sequence[Any], where: Where) -> list[list[str]]:
        """The accepted classes of each row."""
        if not self.several:
            return [[name] for name in self._names(values, where)]
        accepted = raw_columns.accepted_lists(values, self.column, where)
        return raw_columns.label_lists(accepted, self.column, where)

    def _names(self, values: Sequence[Any], where: Where) -> list[str]:
        """The only class of each row."""
        values = raw_columns.one_answer(values, self.column, where, "a label")
        return raw_columns.label_names(values, self.column, where)

    def fit(self, values: Column) -> None:
        """See the base class; warns where one class looks like several."""
        super().fit(values)
        _doubt(self.names, self.column, "data.target.kind=labels ")

    def encode(self, values: Sequence[Any], where: Where) -> Array:
        """``[R]`` int64: of several classes the first."""
        if self.several:
            names = [accepted[0] for accepted in self.read(values, where)]
        else:
            names = self._names(values, where)
        ids = self.ids_of(names)
        if None in ids:
            row = ids.index(None)
            self.id_of(names[row], where, row)
        return np.array(ids, dtype=np.int64)

    def encode_references(self, values: Sequence[Any], where: Where) -> References:
        """Each row's accepted classes, every one as a list of its id."""
        rows = enumerate(self.read(values, where))
        return [[[self.id_of(name, where, row)] for name in accepted] for row, accepted in rows]

    def decode(self, prediction: Any) -> str:
        """The class's name; a prediction is its id."""
        return self.name_of(prediction)


#: What stands between two labels of a cell; spaces around it do not count.
Separator = Annotated[str, Rule(lambda text: bool(text.strip(SPACES)), "a separator such as ';'")]


class LabelsTarget(NamedTarget):
    """Any number of classes a row, ``[R, C]`` flags.

    Args:
        column: the column of the data set; a cell is a list, or text with several labels in it.
        separator: what stands between the labels of a text, such as ``;``; null for spaces.

    >>> target = LabelsTarget("topics", separator=";")
    >>> target.fit(lambda: [(["sport; politics", "sport", ""], "row {}".format)])
    >>> target.names, target.encode(["politics;sport", ""], "row {}".format).tolist()
    (('politics', 'sport'), [[1, 1], [0, 0]])
    """

    kind = "labels"

    def __init__(self, column: str, *, separator: Separator | None = None) -> None:
        super().__init__(column)
        self.separator = separator

    def read(self, values: Sequence[Any], where: Where) -> list[list[str]]:
        """The classes of each row."""
        return raw_columns.label_lists([self._cut(value) for value in values], self.column, where)

    def _cut(self, value: Any) -> Any:
        if self.separator is None or not isinstance(value, str):
            return value
        parts = (part.strip(SPACES) for part in value.split(self.separator))
        return [part for part in parts if part]

    def fit(self, values: Column) -> None:
        """See the base class; warns where one class looks like several."""
        super().fit(values)
        _doubt(self.names, self.column)

    def encode(self, values: Sequence[Any], where: Where) -> Array:
        """``[R, C]`` uint8, 1 = the class applies."""
        flags = np.zeros((len(values), len(self.names)), dtype=np.uint8)
        for row, names in enumerate(self.read(values, where)):
            flags[row, [self.id_of(name, where, row) for name in names]] = 1
        return flags

    def decode(self, prediction: Any) -> list[str]:
        """The classes' names; a prediction is a list of ids."""
        return [self.name_of(index) for index in prediction]


class TagsTarget(NamedTarget):
    """A class for each step."""

    layout = "steps"
    noun = "tag"
    kind = "tags"

    def read(self, values: Sequence[Any], where: Where) -> list[list[str]]:
        """The tags of each row."""
        return raw_columns.tag_lists(values, self.column, where)

    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """``[T]`` int32 for each row."""
        rows = self.read(values, where)
        flat = self.ids_of(chain.from_iterable(rows))
        if None in flat:
            for row, tags in enumerate(rows):
                for tag in tags:
                    self.id_of(tag, where, row)
        return Ragged.from_flat(np.array(flat, dtype=np.int32), [len(row) for row in rows])

    def decode(self, prediction: Any) -> list[str]:
        """The tags' names; a prediction is a list of ids."""
        return [self.name_of(index) for index in prediction]


def _ordered(names: set[str]) -> list[str]:
    try:
        return sorted(names, key=lambda name: (int(name), name))
    except ValueError:
        return sorted(names)


def _doubt(names: Collection[str], column: str, first: str = "") -> None:
    """Warn where names look like several joined by a separator: their parts occur elsewhere too."""
    for separator in _SEPARATORS:
        joined = {name: _parts(name, separator) for name in names if separator in name}
        counts: dict[str, int] = {}
        for part in chain(chain.from_iterable(joined.values()), set(names) - set(joined)):
            counts[part] = counts.get(part, 0) + 1
        shared = [n for n, parts in joined.items() if all(counts[part] > 1 for part in parts)]
        if shared and 2 * len(shared) >= len(joined):
            warnings.warn(
                f"column '{column}': {shortened(repr(min(shared)), 60)} is taken for one class of "
                f"{len(names)}; if it is several labels, give {first}"
                f"'data.target.separator=\"{separator}\"'",
                stacklevel=4,
            )
            return


def _parts(name: str, separator: str) -> set[str]:
    return {part.strip(SPACES) for part in name.split(separator)}
