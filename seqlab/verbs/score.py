"""``seqlab score``: how probable a language model finds each text of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqlab.verbs import predict


def run(spec: dict[str, Any], run_dir: Path) -> None:
    """Write ``{"input": ..., "tokens": ..., "log_probability": ..., ...}`` a line.

    Args:
        spec: as for ``predict``, without ``search``.
        run_dir: not used.

    Raises:
        SeqlabError: as for ``predict``; the bundle holds no language model.
    """
    predict.run(spec, run_dir, check=_check)


def _check(trained: Any) -> None:
    from seqlab.bundle.language import language_head

    language_head(trained.model, "score")
