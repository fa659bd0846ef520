"""The public conformance kit: hold a part against everything seqlab promises of its kind.

>>> import seqlab
>>> from seqlab.testing import Settings, check_cell
>>> results = check_cell(seqlab.get("cell", "gru"), settings=Settings(only=("constructor",)))
>>> results[0].name, results[0].passed
('constructor', True)

In a plugin's tests, one line::

    from seqlab.testing import parametrize_with_checks

    @parametrize_with_checks(["cell=mgu"])
    def test_conforms(check):
        check()

Nothing is imported before it is used: ``seqlab list`` reads certificates without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqlab.testing.certificate import read_certificate
    from seqlab.testing.kit import (
        check,
        check_attention,
        check_cell,
        check_engine,
        check_format,
        check_head,
        check_merge,
        check_modifier,
        check_pooling,
        check_search,
        check_source,
        check_wrapper,
    )
    from seqlab.testing.parametrize import parametrize_with_checks
    from seqlab.testing.result import CheckResult, Settings

_HOMES = {
    "CheckResult": "result",
    "Settings": "result",
    "parametrize_with_checks": "parametrize",
    "read_certificate": "certificate",
}

__all__ = [
    "CheckResult",
    "Settings",
    "check",
    "check_attention",
    "check_cell",
    "check_engine",
    "check_format",
    "check_head",
    "check_merge",
    "check_modifier",
    "check_pooling",
    "check_search",
    "check_source",
    "check_wrapper",
    "parametrize_with_checks",
    "read_certificate",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'seqlab.testing' has no attribute '{name}'")
    home = importlib.import_module(f"seqlab.testing.{_HOMES.get(name, 'kit')}")
    return getattr(home, name)
