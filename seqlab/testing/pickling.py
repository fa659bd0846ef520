"""Checks that a part can be sent elsewhere: by pickle to another process, by torch to a file."""

from __future__ import annotations

import copy
import io
import operator
import pickle
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from seqlab.testing.case import LayerCase
from seqlab.testing.check_table import Table
from seqlab.testing.compare import close
from seqlab.testing.layers import one
from seqlab.testing.result import Failure, Numbers, Skip

#: For cells and wrappers; the tables of other parts have a check of the same name.
PICKLING = Table()


def _by_pickle(made: Any) -> Any:
    return pickle.loads(pickle.dumps(made))  # noqa: S301  # what was pickled a moment ago


def _by_torch(made: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(made, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


#: Pickle is also what joblib and spawned processes use.
WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": _by_pickle,
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "torch.save": _by_torch,
}


def round_trips(part: Any, made: Any) -> Iterator[tuple[str, Any]]:
    """What a part becomes by each way of copying it.

    Args:
        part: the class or function that was registered.
        made: what is copied.

    Yields:
        The way and the copy.

    Raises:
        Failure: the copy cannot be made.
        Skip: the part stands inside a function, where Python finds it by no name.
    """
    if not _importable(part):
        raise Skip(f"{getattr(part, '__qualname__', part)} cannot be imported by its name")
    yield from ((way, _copied(way, made)) for way in WAYS)


def _copied(way: str, made: Any) -> Any:
    try:
        return WAYS[way](made)
    except Exception as error:  # a part may hold anything, and fail by anything
        raise Failure(f"{way} raised {type(error).__name__}: {error}") from error


def _importable(part: Any) -> bool:
    try:
        found = operator.attrgetter(part.__qualname__)(sys.modules[part.__module__])
    except (AttributeError, KeyError):
        return False
    return found is part


def survives(
    part: Any, made: Any, use: Callable[[Any], Tensor], what: str = ""
) -> dict[str, float]:
    """The largest difference between what a part gives and what its copies give: none is allowed.

    Raises:
        Failure: a copy cannot be made or gives other numbers.
        Skip: as for ``round_trips``.
    """
    expected, largest = use(made), 0.0
    for way, twin in round_trips(part, made):
        found = use(twin)
        largest = max(largest, close(found, expected, f"after {way}{what}", tolerance=0.0))
    return {"difference": largest}


@PICKLING.check()
def survives_pickling(case: LayerCase) -> Numbers:
    """Pickled, copied and saved by torch, before its first run and after it, it gives the same.

    Catches: types and functions made at run time, handles kept from a run.
    """
    layer, x = case.layer(), case.data()

    def use(made: Any) -> Tensor:
        return one(made(x)[0]).detach()

    survives(case.part, layer, use, " of a new layer")
    torch.autograd.backward(one(layer.train()(x)[0]).sum())
    return survives(case.part, layer.eval(), use, " after a run")
