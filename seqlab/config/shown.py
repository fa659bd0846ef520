"""A config that is only shown, as by ``--cfg job``: refused where a run would refuse it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from seqlab.config.resolve import MISSING, SPECS, check_unread, plain_values
from seqlab.config.run_spec import RunSpec
from seqlab.config.started_encoder import started_encoder


def shown(
    config: DictConfig | Mapping[str, Any], verb: str = "train", words: Sequence[str] = ()
) -> dict[str, Any]:
    """The plain values of a config that is only shown, refused where ``resolve`` would.

    No part is imported, no file needs to be there, and what has no value yet is left out.

    Args:
        config: as for ``resolve``.
        verb: as for ``resolve``.
        words: as for ``resolve``.

    Raises:
        SeqlabError: as ``resolve``.
    """
    whole = plain_values(config)
    plain = _given(whole)
    if SPECS[verb] is RunSpec:
        start = plain.get("start")
        bundle = start.get("bundle") if isinstance(start, Mapping) else None
        if not isinstance(bundle, str) or Path(bundle, "config.json").is_file():
            plain = dict(started_encoder(plain, words))
        else:
            plain["encoder"] = {"cell": {"name": MISSING}}  # it is the model's, which is not here
    else:
        plain.setdefault("bundle", MISSING)
    check_unread(plain, verb, files=False)
    return whole


def _given(node: Any) -> Any:
    """What has a value; a part without a name keeps its place."""
    if isinstance(node, Mapping):
        kept = {key: value for key, value in node.items() if value != MISSING or key == "name"}
        return {key: _given(value) for key, value in kept.items()}
    return [_given(value) for value in node if value != MISSING] if isinstance(node, list) else node
