"""What every registered class owes: its base, its options, its documentation."""

from __future__ import annotations

import inspect
from typing import Any

from seqlab.construct import accepted_options
from seqlab.errors import OptionError
from seqlab.testing.case import Case
from seqlab.testing.check_table import Table
from seqlab.testing.compare import refused, require
from seqlab.testing.result import Skip

REFUSALS = (OptionError, TypeError)


def require_subclass(part: Any, base: type) -> None:
    """Fail unless the part is a class under its kind's base."""
    require(
        inspect.isclass(part) and issubclass(part, base),
        f"{part!r} is not a subclass of {base.__module__}.{base.__name__}",
    )


def require_docstring(part: Any) -> None:
    """Fail unless a class or function has a docstring of its own."""
    text = vars(part).get("__doc__") if inspect.isclass(part) else getattr(part, "__doc__", None)
    name = getattr(part, "__name__", repr(part))
    require(bool(text and text.strip()), f"{name} has no docstring of its own")


def require_refusal(case: Case, *given: Any) -> None:
    """Fail if the part takes an option that it does not have."""
    options = {**case.options, "no_such_option": 1}
    refused(lambda: case.part(*given, **options), REFUSALS, "the unknown option no_such_option=1")


def require_options(case: Case, *, given: int = 0) -> None:
    """Skip the check if the part needs options, beyond ``given`` first ones, that are not there.

    Raises:
        Skip: names them.
    """
    parameters = list(accepted_options(case.part).items())[given:]
    missing = [
        name
        for name, parameter in parameters
        if parameter.default is parameter.empty and name not in case.options
    ]
    if missing:
        raise Skip(f"it needs the options {', '.join(missing)}; give them to check it")


def class_contract(case: Case, base: type, *given: Any) -> Any:
    """All three, for a class built from ``given`` and its options; the instance."""
    require_subclass(case.part, base)
    require_docstring(case.part)
    made = case.part(*given, **case.options)
    require_refusal(case, *given)
    return made


def class_table(base: type, *given: Any) -> Table:
    """A table that begins with the contract of a class built from ``given`` and its options."""
    table = Table()

    @table.check(gate=True)
    def constructor(case: Case) -> None:
        """It is a documented class of its kind's base; unknown options are refused.

        Catches: options that are swallowed without effect.
        """
        require_options(case, given=len(given))
        class_contract(case, base, *given)

    return table
