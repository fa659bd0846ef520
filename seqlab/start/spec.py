"""The key ``start`` of a run: which weights it begins with, and how they are trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from seqlab.schema import Count, Positive, Range, Rule

#: What a rate is multiplied by from each level to the one below it.
Decay = Annotated[float, Range(above=0, most=1)]
#: Names of parts of a model.
Parts = Annotated[list[str], Rule(lambda names: len(names) == len(set(names)), "each part once")]


@dataclass(frozen=True)
class StartSpec:
    """What a run begins with.

    A part is a name in the model: ``encoder``, ``encoder.embedding``, ``encoder.embedding.NAME``
    (the table of one feature), ``encoder.input_layer``, ``encoder.layer``, ``encoder.layer.0`` (the
    lowest of a stack), ``head``, or any module of it by torch's name.

    Attributes:
        bundle: a finished model, a folder or a name on the Hub; null: all weights are drawn.
        parts: whose weights are taken from it.
        vocabulary: ``grow``: the bundle's entries and behind them the new ones of the training
            rows; ``keep``: the bundle's alone; ``new``: those of the training rows. Entries that
            both have keep their weights, wherever they stand; labels are always those of the data.
        sizes: where a weight has another size here, ``refuse``, or ``resize``: take what both have,
            gate by gate and direction by direction, and leave the rest as it is drawn.
        freeze: parts that are not trained.
        unfreeze: ``gradual``: in the first epoch only the head is trained, and each epoch one more
            level, from the top (Howard and Ruder 2018); or parts, and the epoch from which on each
            is trained, counted from 1.
        rates: parts and what their learning rate is multiplied by.
        decay: what the learning rate is multiplied by from each level to the next lower one
            (discriminative fine-tuning, Howard and Ruder 2018). The levels are the head, the layers
            of a stack from the top, and the embeddings.
    """

    bundle: str | None = None
    parts: Parts = field(default_factory=lambda: ["encoder", "head"])
    vocabulary: Literal["grow", "keep", "new"] = "grow"
    sizes: Literal["refuse", "resize"] = "refuse"
    freeze: Parts = field(default_factory=list)
    unfreeze: Literal["gradual"] | dict[str, Count] | None = None
    rates: dict[str, Positive] = field(default_factory=dict)
    decay: Decay = 1.0
