"""A search space: what may vary, and how; from the config, before anything is tried.

>>> space = read_space({"cell": ["lstm", "gru"], "optimizer.lr": {"log": [1e-4, 1e-1]},
...                     "cell.hidden_size": {"int": [8, 64], "log": True}})
>>> [dimension.name for dimension in space]
['cell', 'optimizer.lr', 'cell.hidden_size']
>>> words_of(space, {"cell": "gru", "optimizer.lr": 0.01, "cell.hidden_size": 16})
('cell=gru', 'optimizer.lr=0.01', 'cell.hidden_size=16')
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqlab.config.overrides import quoted
from seqlab.errors import ConfigError, did_you_mean, nearest

#: What a distribution is called, and what may stand beside it.
_BESIDE: dict[str, tuple[str, ...]] = {
    "uniform": ("step",),
    "log": (),
    "int": ("step", "log"),
    "choice": (),
}
_FORMS = (
    "{uniform: [low, high]}, {log: [low, high]}, {int: [low, high]} with log: true or step, "
    "or a list of choices"
)
#: A string that Hydra reads as it is.
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_SPOKEN = {"true", "false", "null", "nan", "inf"}


@dataclass(frozen=True)
class Dimension:
    """One key of the config that varies.

    Attributes:
        name: the key, as on the command line.
        kind: ``float``, ``int`` or ``choice``.
        low, high: the ends, which both belong to it; of a choice None.
        log: whether each order of size is as likely as another.
        step: between values; None: any number.
        choices: the words to choose among, as Hydra reads them.
    """

    name: str
    kind: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[str, ...] = ()

    def word(self, value: Any) -> str:
        """The override that sets a value."""
        return f"{self.name}={value if self.kind == 'choice' else spelt(value)}"

    def corners(self) -> list[Any]:
        """The values that a check of the config tries: both ends, or every choice."""
        if self.kind == "choice":
            return list(self.choices)
        return [self.low, self.high]

    def __str__(self) -> str:
        """How people read it."""
        if self.kind == "choice":
            return ", ".join(self.choices)
        beside = [*(["whole numbers"] if self.kind == "int" else []), *(["log"] * self.log)]
        beside += [f"step {spelt(self.step)}"] if self.step is not None else []
        ends = f"{spelt(self.low)} to {spelt(self.high)}"
        return f"{ends} ({', '.join(beside)})" if beside else ends


def read_space(given: Any) -> tuple[Dimension, ...]:
    """The dimensions of ``sweep.space``.

    Args:
        given: keys, whole or as nested mappings, to how they vary: a list of choices, or a mapping
            with one of ``uniform``, ``log``, ``int`` (each ``[low, high]``) or ``choice``.

    Raises:
        ConfigError: it is empty, or a value is no such thing; the message has the key.
    """
    found = tuple(_dimension(key, value) for key, value in _leaves(given, ""))
    if not found:
        raise ConfigError(
            "sweep.space: nothing varies; give keys with what they may be, such as "
            "'sweep.space={optimizer.lr: {log: [1e-4, 1e-1]}, cell: [lstm, gru]}'"
        )
    names = [dimension.name for dimension in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"sweep.space: {name} is given twice")
    return found


def misspelt(dimension: Dimension) -> str | None:
    """What is wrong with a key that is no key of the config but nearly the name of a form.

    >>> misspelt(read_space({"optimizer.lr": {"lgo": [1e-4, 1e-1]}})[0]).partition("?")[0]
    "optimizer.lr: 'lgo' is no way to vary it, did you mean 'log'"
    >>> misspelt(read_space({"cell": ["lstm", "gru"]})[0])
    """
    key, _, last = dimension.name.rpartition(".")
    if not key or nearest(last, _BESIDE) is None:
        return None
    return f"{key}: '{last}' is no way to vary it, {did_you_mean(last, _BESIDE)}"


def words_of(space: Sequence[Dimension], values: Mapping[str, Any]) -> tuple[str, ...]:
    """The overrides that a point of the space stands for."""
    return tuple(dimension.word(values[dimension.name]) for dimension in space)


def corner_points(space: Sequence[Dimension]) -> Iterator[dict[str, Any]]:
    """Points in which each end and each choice of each dimension occurs once."""
    first = {dimension.name: dimension.corners()[0] for dimension in space}
    yield first
    for dimension in space:
        for value in dimension.corners()[1:]:
            yield {**first, dimension.name: value}


def _leaves(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and not (key and _BESIDE.keys() & set(map(str, node))):
        for name, value in node.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif not key:
        raise ConfigError("sweep.space: expected a mapping of keys to what they may be")
    else:
        yield key, node


def _dimension(key: str, given: Any) -> Dimension:
    where = f"sweep.space: {key}"
    if not isinstance(given, list | Mapping):
        raise ConfigError(f"{where}: expected {_FORMS}; got {given!r}")
    forms = {"choice": given} if isinstance(given, list) else dict(given)
    kinds = [kind for kind in _BESIDE if kind in forms]
    kind = "int" if "int" in kinds else kinds[0]
    for name in forms:
        if name not in (kind, *_BESIDE[kind]):
            raise ConfigError(
                f"{where}: {name} does not go with {kind}; "
                f"{did_you_mean(str(name), [kind, *_BESIDE[kind]])}"
            )
    if kind == "choice":
        return Dimension(key, "choice", choices=_choices(forms["choice"], where))
    return _range(key, kind, forms, where)


def _choices(given: Any, where: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{where}: expected a list of choices; got {given!r}")
    words = tuple(map(spelt, given))
    if len(set(words)) < len(words):
        raise ConfigError(f"{where}: a choice is given twice in {given!r}")
    return words


def _range(key: str, kind: str, forms: Mapping[str, Any], where: str) -> Dimension:
    low, high = _ends(forms[kind], where, kind)
    log = kind == "log" or forms.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{where}: beside int, log is true or false; got {log!r}")
    if log and low <= 0:
        raise ConfigError(f"{where}: a log range begins above 0; got {spelt(low)}")
    step = forms.get("step")
    if step is not None and (not _is_number(step, kind) or step <= 0):
        raise ConfigError(f"{where}: expected a step above 0; got {step!r}")
    if step is not None and log:
        raise ConfigError(f"{where}: a log range has no step")
    if step is not None:
        if low + step > high:
            raise ConfigError(f"{where}: a step of {spelt(step)} is larger than the whole range")
        high = low + math.floor((high - low) / step * (1 + 1e-12)) * step
    if kind == "int":
        return Dimension(key, "int", low, high, log, step)
    return Dimension(key, "float", float(low), float(high), log, step)


def _ends(given: Any, where: str, kind: str) -> tuple[float, float]:
    what = "whole numbers" if kind == "int" else "numbers"
    fits = isinstance(given, list) and len(given) == 2 and all(_is_number(v, kind) for v in given)
    if not fits:
        raise ConfigError(f"{where}: expected {kind}: [low, high], two {what}; got {given!r}")
    low, high = given
    if low >= high:
        raise ConfigError(f"{where}: expected low below high; got {given!r}")
    return low, high


def _is_number(value: Any, kind: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) if kind == "int" else math.isfinite(value)


def spelt(value: Any) -> str:
    """A value as Hydra reads it back.

    >>> spelt("gru"), spelt("a b"), spelt([1, "x"]), spelt({"name": "beam"}), spelt(None)
    ('gru', "'a b'", '[1,x]', '{name:beam}', 'null')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(spelt, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{spelt(str(k))}:{spelt(v)}" for k, v in value.items()) + "}"
    if not isinstance(value, str):
        return repr(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _SPOKEN:
        return value
    return quoted(value)
