"""The code of cells' equations, made once for all that the equations can see."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import torch

from seqlab.cells.base import settings_key
from seqlab.cells.gated import GatedCell
from seqlab.engines.traced.constants import (
    Lookup,
    UnreadableError,
    constants_of,
    read_constants,
    same,
)

#: Codes of one cell, each for other values that its equations read.
MOST_VARIANTS = 16
Code = TypeVar("Code")


class _Codes:
    """The codes of one cell, or why it has none, by what may change them."""

    def __init__(self) -> None:
        self.made: dict[Hashable, Any] = {}
        self._settings: Hashable = None
        self._constants: Hashable = None
        self._lookups: list[Lookup] = []

    def constants(self, cell: GatedCell) -> Hashable:
        """``constants_of``, not read again where nothing can have changed."""
        if not self.settled(cell):
            settings = settings_key(cell)
            self._constants, lookups = read_constants(cell)
            self._settings = None if lookups is None else settings
            self._lookups = lookups or []
        return self._constants

    def settled(self, cell: GatedCell) -> bool:
        """Whether ``constants`` need not be read again."""
        return self._settings == settings_key(cell) and same(self._lookups)


class Variants(Generic[Code]):
    """What ``make`` makes of cells, kept for each cell as long as its equations read the same.

    Args:
        make: ``(cell, dtype, zoneout_masks)`` to the code, or why there is none.
    """

    def __init__(self, make: Callable[[GatedCell, torch.dtype, bool], Code | str]) -> None:
        self.make = make
        self._known: weakref.WeakKeyDictionary[GatedCell, _Codes] = weakref.WeakKeyDictionary()

    def of(self, cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Code | str:
        """The code of a cell as it is now, or why there is none."""
        codes = self._known.get(cell)
        if codes is None:
            codes = self._known[cell] = _Codes()
        try:
            constants = codes.constants(cell)
        except UnreadableError as error:
            return str(error)
        key = _key(cell, dtype, constants, zoneout_masks=zoneout_masks)
        if key not in codes.made:
            if len(codes.made) == MOST_VARIANTS:
                return (
                    f"what its update reads has had {MOST_VARIANTS} values; a number that changes "
                    "often belongs in a buffer"
                )
            made = self.make(cell, dtype, zoneout_masks and any(cell.zoneout))
            stays = constants == constants_of(cell)
            codes.made[key] = made if stays else "its update changes what it reads"
        found: Code | str = codes.made[key]
        return found

    def settled(self, cell: GatedCell) -> bool:
        """Whether the code of a cell is what it was when it was last asked for."""
        codes = self._known.get(cell)
        return codes is not None and codes.settled(cell)

    def has(self, cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> bool:
        """Whether there is code of a cell as it is now; nothing is made."""
        codes = self._known.get(cell)
        if codes is None:
            return False
        try:
            constants = codes.constants(cell)
        except UnreadableError:
            return False
        key = _key(cell, dtype, constants, zoneout_masks=zoneout_masks)
        return not isinstance(codes.made.get(key, ""), str)


def _key(
    cell: GatedCell, dtype: torch.dtype, constants: Hashable, *, zoneout_masks: bool
) -> Hashable:
    """All that the code depends on."""
    masks = zoneout_masks and any(cell.zoneout)
    return (dtype, masks, cell.zoneout, cell.layer_norm, constants)
