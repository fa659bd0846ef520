"""Which other parts a part is tried with: what is installed besides must not decide its result."""

from __future__ import annotations

from typing import Any

from seqlab import plugins


def others(kind: str, part: Any) -> list[str]:
    """The names of a kind's parts that are built in or come with the part's own distribution.

    Those of other distributions, which may be broken or there by chance, are left out.

    >>> import seqlab
    >>> others("wrapper", seqlab.get("cell", "gru"))
    ['bidirectional', 'residual', 'reverse', 'stacked']
    """
    near = {plugins.BUILT_IN, plugins.distribution_of(getattr(part, "__module__", ""))}
    return [
        name
        for name, declared in sorted(plugins.declared(kind).items())
        if declared.problem is None and declared.distribution in near
    ]
