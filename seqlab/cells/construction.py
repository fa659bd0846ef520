"""When the parameters of a cell are made and drawn: once, after the last ``__init__``."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any


class CellType(ABCMeta):
    """Calls ``setup`` of a new cell when every ``__init__`` is done.

    So an author sets options and declarations in any order, before ``super().__init__()`` or
    after it, and weights are drawn once. Copies and unpickled cells are not set up again.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Build a cell.

        Raises:
            AttributeError: an ``__init__`` asks for a parameter that is not there yet.
        """
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
        cell.setup()
        return cell
