"""How cells and their classes come to be: options around methods, parameters drawn once."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

from seqlab.cells.around import METHODS, with_options_around
from seqlab.construct import options_left_out


class CellType(ABCMeta):
    """Puts the options of ``Cell`` around the methods of a new class, and sets new cells up.

    ``setup`` of a cell is called when every ``__init__`` is done. So an author sets options and
    declarations in any order, before ``super().__init__()`` or after it, and weights are drawn
    once. Copies and unpickled cells are not set up again.
    """

    def __init__(
        cls, name: str, bases: tuple[type, ...], space: dict[str, Any], **given: Any
    ) -> None:
        """A new class."""
        super().__init__(name, bases, space, **given)
        if getattr(cls, "wraps_options", False):
            for method in METHODS:
                if callable(space.get(method)):
                    setattr(cls, method, with_options_around(method, space[method]))

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Build a cell; options of every cell that its ``__init__`` does not take are given to it.

        Raises:
            AttributeError: an ``__init__`` asks for a parameter that is not there yet.
        """
        rest = {key: kwargs.pop(key) for key in options_left_out(cls, kwargs)}
        try:
            cell = super().__call__(*args, **kwargs)
        except AttributeError as error:
            late = (*getattr(cls, "made_in_setup", ()), *getattr(cls, "vectors", ()))
            if error.name not in late or not isinstance(error.obj, cls):
                raise
            raise AttributeError(
                f"{cls.__name__}.__init__ uses self.{error.name}, which is made after it; "
                "change its values in reset_parameters, after super().reset_parameters()",
                name=error.name,
                obj=error.obj,
            ) from error
        if rest:
            cell.take_options(**rest)
        cell.setup()
        return cell
