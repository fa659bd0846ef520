"""Every corner of a space is a config that holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from seqlab.config.resolve import Reader, resolve
from seqlab.config.sweep_app import trial_spec
from seqlab.errors import ConfigError
from seqlab.sweeping.space import Dimension, corner_points, misspelt, words_of


def check_corners(
    space: Sequence[Dimension],
    shared: Sequence[str],
    config_dir: str | None,
    read: Reader = resolve,
) -> dict[str, Any]:
    """Compose each end of each dimension; gives the spec of the first.

    Args:
        space: the dimensions.
        shared: the overrides that all trials share, but for those that vary.
        config_dir: where else configs lie.
        read: how a config is checked.

    Raises:
        SeqlabError: a config is not right; the message has its words.
    """
    specs = []
    for point in corner_points(space):
        words = words_of(space, point)
        try:
            specs.append(trial_spec([*shared, *words], config_dir, read))
        except ConfigError as error:
            for dimension in space:
                mistake, last = misspelt(dimension), dimension.name.rpartition(".")[2]
                if mistake and re.search(rf"\b{re.escape(last)}\b", str(error)):
                    raise ConfigError(f"sweep.space: {mistake}") from error
            raise type(error)(f"sweep.space ({' '.join(words)}): {error}") from error
    return specs[0]
