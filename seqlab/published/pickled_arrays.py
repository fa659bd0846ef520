"""Pickles of numpy arrays, dicts, text and numbers, read without unpickling.

A pickle is a program that may import and call anything. Here its instructions are read by hand, as
``pickletools`` lists them, and those alone are carried out that build plain values; the three names
that numpy writes for an array stand for words, and nothing is imported or called by a name.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from seqlab.errors import DataError

#: The most bytes that are read.
LIMIT = 256 * 2**20
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NAMES = {
    **{f"{module} _reconstruct": "array" for module in _MODULES},
    "numpy ndarray": "class",
    "numpy dtype": "dtype",
}
_VALUES = {
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BININT", "BININT1", "BININT2", "BINFLOAT",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "LONG1",
}  # fmt: skip
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME"}


class _Word(NamedTuple):
    """A name in the file, which stands for itself."""

    means: str


class _Array:
    """An array whose shape, type and bytes are still to come."""

    value: np.ndarray[Any, Any] | None = None


class _Type:
    """The type of numbers of an array."""

    def __init__(self, code: str) -> None:
        self.code = code


_MARK = object()


def read_pickled_arrays(content: bytes, where: str) -> Any:
    """The value in a pickle.

    Args:
        content: the file's bytes.
        where: what errors call it.

    Raises:
        DataError: it is too large, damaged, or holds anything but numpy arrays of numbers, dicts,
            lists, tuples, text and numbers.

    >>> import pickle
    >>> read_pickled_arrays(pickle.dumps({"a": [1, 2.5, None]}, protocol=3), "here")
    {'a': [1, 2.5, None]}
    >>> read_pickled_arrays(pickle.dumps(print, protocol=3), "here")
    Traceback (most recent call last):
      ...
    seqlab.errors.DataError: here: the pickle names 'builtins print'; only arrays, dicts, lists, \
text and numbers are read
    """
    if len(content) > LIMIT:
        raise DataError(f"{where}: {len(content):,} bytes; at most {LIMIT:,} are read")
    reader = _Reader(where)
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                return _plain(reader.stack.pop())
            reader.do(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where}: damaged, no pickle of arrays ({error})") from error
    raise DataError(f"{where}: damaged, the pickle has no end")


def _plain(value: Any) -> Any:
    """A value with its arrays as they are."""
    if isinstance(value, _Array):
        if value.value is None:
            raise ValueError("an array without content")
        return value.value
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(part) for part in value)
    if isinstance(value, (_Word, _Type)) or value is _MARK:
        raise TypeError("a value that is none")
    return value


class _Reader:
    """The stack and the memory of a pickle's instructions."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        self._deeds: dict[str, Callable[[Any], None]] = {
            "MARK": lambda _: self.stack.append(_MARK),
            "EMPTY_DICT": lambda _: self.stack.append({}),
            "EMPTY_LIST": lambda _: self.stack.append([]),
            "GLOBAL": self._word,
            "STACK_GLOBAL": lambda _: self._word(" ".join(self._take(2))),
            "REDUCE": lambda _: self._begin(),
            "BUILD": lambda _: self._fill(),
            "TUPLE": lambda _: self.stack.append(tuple(self._since_mark())),
            "SETITEM": lambda _: self._set(self._take(2)),
            "SETITEMS": lambda _: self._set(self._since_mark()),
            "APPEND": lambda _: self._extend(self._take(1)),
            "APPENDS": lambda _: self._extend(self._since_mark()),
            "MEMOIZE": lambda _: self._remember(len(self.memory)),
            "BINPUT": self._remember,
            "LONG_BINPUT": self._remember,
            "BINGET": lambda index: self.stack.append(self.memory[index]),
            "LONG_BINGET": lambda index: self.stack.append(self.memory[index]),
        }

    def do(self, name: str, argument: Any) -> None:
        """Carry out an instruction.

        Raises:
            DataError: it is none of those that build plain values.
        """
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self.stack.append(tuple(self._take(_TUPLES[name])))
        elif name in self._deeds:
            self._deeds[name](argument)
        elif name not in _IGNORED:
            raise DataError(
                f"{self.where}: the pickle has the instruction {name}; only arrays, dicts, lists, "
                "text and numbers are read"
            )

    def _take(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise ValueError("too little on the stack")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def _since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("no mark on the stack")
        taken = self.stack[place + 1 :]
        del self.stack[place:]
        return taken

    def _word(self, name: Any) -> None:
        means = _NAMES.get(str(name))
        if means is None:
            raise DataError(
                f"{self.where}: the pickle names '{name!s:.80}'; only arrays, dicts, lists, text "
                "and numbers are read"
            )
        self.stack.append(_Word(means))

    def _begin(self) -> None:
        """What numpy writes as calls: an empty array, a type of numbers."""
        word, arguments = self._take(2)
        if word == _Word("dtype"):
            self.stack.append(_Type(str(arguments[0])))
        elif word == _Word("array"):
            self.stack.append(_Array())
        else:
            raise TypeError("a call of what cannot be called")

    def _fill(self) -> None:
        """What numpy writes as the state of an array or of a type."""
        made, state = self.stack[-2], self._take(1)[0]
        if isinstance(made, _Type):
            if state[1] not in ("<", "|") or made.code[0] not in "fiub":
                raise TypeError(f"numbers of the type {state[1]}{made.code}")
            made.code = state[1] + made.code
        elif isinstance(made, _Array):
            _, shape, kind, by_column, content = state
            found = np.frombuffer(content, dtype=np.dtype(kind.code))
            made.value = found.reshape(shape, order="F" if by_column else "C").copy()
        else:
            raise TypeError("a state of what has none")

    def _set(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(pairs) % 2:
            raise TypeError("items of what is no dict")
        target.update(zip(pairs[::2], pairs[1::2], strict=True))

    def _extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError("items of what is no list")
        self.stack[-1].extend(values)

    def _remember(self, index: int) -> None:
        self.memory[index] = self.stack[-1]
