"""Targets: labels, tags, text and values, encoded for training and decoded for people."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from seqlab.data import checks
from seqlab.data.checks import Where
from seqlab.data.encoded import References
from seqlab.data.inputs import Column
from seqlab.data.ragged import Array, Ragged
from seqlab.data.spec import TargetSpec
from seqlab.data.storage import read_json, write_json
from seqlab.data.vocabulary import BOS, EOS, TARGET_SPECIALS, Vocabulary, fit_vocabulary
from seqlab.errors import BundleError, DataError, did_you_mean
from seqlab.types import TargetInfo

LABELS_FILE = "labels.json"
VOCABULARY_FILE = "target_tokenizer.json"
_MAX_LABELS_BYTES = 64 * 2**20
_NAMED = 20


class Target(ABC):
    """A fitted target.

    Args:
        spec: its options.
    """

    def __init__(self, spec: TargetSpec) -> None:
        self.spec = spec

    @property
    @abstractmethod
    def info(self) -> TargetInfo:
        """Kind and size, for the head."""

    @abstractmethod
    def encode(self, values: Sequence[Any], where: Where) -> Array | Ragged:
        """Raw values, one a row; DataError names the first bad row."""

    @abstractmethod
    def decode(self, prediction: Any) -> Any:
        """Predicted ids (or numbers) as people read them."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what was fitted."""


class NamedTarget(Target):
    """Base of the targets that choose among names.

    Args:
        spec: the options.
        names: all classes or tags, in the order of their ids.
    """

    def __init__(self, spec: TargetSpec, names: Sequence[str]) -> None:
        super().__init__(spec)
        self.names = tuple(names)
        self._ids = {name: index for index, name in enumerate(self.names)}
        if not self.names or len(self._ids) != len(self.names):
            raise BundleError(f"target '{spec.column}': names must be there, and each once")

    @property
    def info(self) -> TargetInfo:
        """The kind as configured; one class for each name."""
        return TargetInfo(self.spec.kind, len(self.names), self.names)

    def _id(self, name: str, where: Where, row: int) -> int:
        found = self._ids.get(name)
        if found is not None:
            return found
        noun = "tag" if self.spec.kind == "tags" else "label"
        known = did_you_mean(name, self.names)
        if len(self.names) > _NAMED:
            known = f"the training rows have {len(self.names)} others"
        raise DataError(
            f"{where(row)}: column '{self.spec.column}': {noun} {name!r} does not occur in the "
            f"training rows: {known}"
        )

    def _name(self, index: Any) -> str:
        number = int(index)
        if not 0 <= number < len(self.names):
            raise DataError(f"class {number} is out of range: there are {len(self.names)}")
        return self.names[number]

    def save(self, folder: Path) -> None:
        """Write ``labels.json``."""
        write_json(folder / LABELS_FILE, {"kind": self.spec.kind, "names": list(self.names)})


class LabelTarget(NamedTarget):
    """One class a row, ``[R]`` int64."""

    def encode(self, values: Sequence[Any], where: Where) -> Array:
        """``[R]`` int64."""
        names = checks.label_names(values, self.spec.column, where)
        return np.array([self._id(name, where, row) for row, name in enumerate(names)], np.int64)

    def decode(self, prediction: Any) -> str:
        """The class's name; a prediction is its id."""
        return self._name(prediction)


class LabelsTarget(NamedTarget):
    """Any number of classes a row, ``[R, C]`` flags."""

    def encode(self, values: Sequence[Any], where: Where) -> Array:
        """``[R, C]`` uint8, 1 = the class applies."""
        flags = np.zeros((len(values), len(self.names)), dtype=np.uint8)
        for row, names in enumerate(checks.label_lists(values, self.spec.column, where)):
            flags[row, [self._id(name, where, row) for name in names]] = 1
        return flags

    def decode(self, prediction: Any) -> list[str]:
        """The classes' names; a prediction is a list of ids."""
        return [self._name(index) for index in prediction]


class TagsTarget(NamedTarget):
    """A class for each step."""

    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """``[T]`` int32 for each row."""
        rows = checks.tag_lists(values, self.spec.column, where)
        flat = list(map(self._ids.get, chain.from_iterable(rows)))
        if None in flat:
            for row, tags in enumerate(rows):
                for tag in tags:
                    self._id(tag, where, row)
        return Ragged.from_flat(np.array(flat, dtype=np.int32), [len(row) for row in rows])

    def decode(self, prediction: Any) -> list[str]:
        """The tags' names; a prediction is a list of ids."""
        return [self._name(index) for index in prediction]


class TextTarget(Target):
    """A sequence of another vocabulary, without begin and end marks."""

    def __init__(self, spec: TargetSpec, vocabulary: Vocabulary) -> None:
        super().__init__(spec)
        self.vocabulary = vocabulary

    @property
    def info(self) -> TargetInfo:
        """``tokens``: the vocabulary's size and its begin and end ids."""
        vocabulary = self.vocabulary
        return TargetInfo(
            "tokens", vocabulary.size, bos=vocabulary.id_of(BOS), eos=vocabulary.id_of(EOS)
        )

    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """``[U]`` ids for each row."""
        texts = checks.texts(values, self.spec.column, where)
        return self.vocabulary.encode(texts).truncate(self.spec.tokenizer.max_length)

    def encode_references(self, values: Sequence[Any], where: Where) -> References:
        """Each row's accepted answers as ids; a string is one answer."""
        column = self.spec.references or self.spec.column
        lists = [[value] if isinstance(value, str) else value for value in values]
        for row, answers in enumerate(lists):
            good = isinstance(answers, (list, tuple)) and not set(map(type, answers)) - {str}
            if not good or not answers:
                raise checks.refuse(where(row), column, "a list of accepted answers", answers)
        flat = self.vocabulary.encode(list(chain.from_iterable(lists)))
        ids = [flat.row(index).tolist() for index in range(len(flat))]
        ends = np.cumsum([len(answers) for answers in lists]).tolist()
        return [ids[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def decode(self, prediction: Any) -> str:
        """The text up to the end mark; a prediction is a list of ids."""
        ids = [int(index) for index in prediction]
        eos = self.info.eos
        return self.vocabulary.decode(ids[: ids.index(eos)] if eos in ids else ids)

    def save(self, folder: Path) -> None:
        """Write ``target_tokenizer.json``."""
        self.vocabulary.save(folder / VOCABULARY_FILE)


class ValuesTarget(Target):
    """A number a row, or a row of C numbers, ``[R, C]`` float32.

    Args:
        spec: the options.
        size: C.
    """

    def __init__(self, spec: TargetSpec, size: int) -> None:
        super().__init__(spec)
        self.size = size

    @property
    def info(self) -> TargetInfo:
        """``values``, and how many."""
        return TargetInfo("values", self.size)

    def encode(self, values: Sequence[Any], where: Where) -> Array:
        """``[R, C]`` float32."""
        rows = [
            checks.numbers(value, self.size, self.spec.column, where, row)
            for row, value in enumerate(values)
        ]
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.size)

    def decode(self, prediction: Any) -> list[float]:
        """The numbers themselves."""
        array = np.asarray(prediction, dtype=np.float64).reshape(-1)
        return [float(number) for number in array]

    def save(self, folder: Path) -> None:
        """Write ``labels.json``, which holds the size."""
        write_json(folder / LABELS_FILE, {"kind": "values", "size": self.size})


def fit_target(spec: TargetSpec, column: Column) -> Target:
    """A target of the training rows."""
    if spec.kind == "text":

        def checked() -> Iterable[Sequence[str]]:
            for values, where in column():
                yield checks.texts(values, spec.column, where)

        return TextTarget(spec, fit_vocabulary(spec.tokenizer, checked, TARGET_SPECIALS))
    if spec.kind == "values":
        values, where = next(iter(column()))
        return ValuesTarget(spec, len(checks.numbers(values[0], None, spec.column, where, 0)))
    names: set[str] = set()
    for values, where in column():
        if spec.kind == "label":
            names.update(checks.label_names(values, spec.column, where))
        else:
            read = checks.tag_lists if spec.kind == "tags" else checks.label_lists
            names.update(chain.from_iterable(read(values, spec.column, where)))
    if not names:
        raise DataError(f"column '{spec.column}': the training rows have no {spec.kind} at all")
    return _NAMED_TARGETS[spec.kind](spec, _ordered(names))


_NAMED_TARGETS: dict[str, type[NamedTarget]] = {
    "label": LabelTarget,
    "labels": LabelsTarget,
    "tags": TagsTarget,
}


def _ordered(names: set[str]) -> list[str]:
    """Numbers by size, anything else by the alphabet."""
    try:
        return sorted(names, key=lambda name: (int(name), name))
    except ValueError:
        return sorted(names)


def load_target(spec: TargetSpec, folder: Path) -> Target:
    """A target from the files that ``save`` wrote.

    Raises:
        BundleError: a file is missing, damaged, or of another kind of target.
    """
    if spec.kind == "text":
        path = folder / VOCABULARY_FILE
        return TextTarget(spec, Vocabulary.load(path, spec.tokenizer, TARGET_SPECIALS))
    path = folder / LABELS_FILE
    content = read_json(path, _MAX_LABELS_BYTES)
    if content.get("kind") != spec.kind:
        raise BundleError(f"{path}: kind {content.get('kind')!r}, expected '{spec.kind}'")
    if spec.kind == "values":
        size = content.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= 1_000_000:
            raise BundleError(f"{path}: size {size!r} is not a positive whole number")
        return ValuesTarget(spec, size)
    names = content.get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BundleError(f"{path}: 'names' must be a list of strings")
    return _NAMED_TARGETS[spec.kind](spec, names)
