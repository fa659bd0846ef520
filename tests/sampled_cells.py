"""The cells that tests of every cell take: all of them, and of the zoo's a sample."""

from __future__ import annotations

import seqlab
from seqlab import registry

#: What the zoo has and built-in cells have not: a chain of products, no recurrent matrix, heads,
#: columns without a matrix, a fixed memory beside units. States that are matrices have other tests.
ZOO_SAMPLE = frozenset({"wmc_lstm", "ind_rnn", "slstm", "cfc", "lmu"})
CELLS = [
    name
    for name in seqlab.available("cell")
    if name in ZOO_SAMPLE or registry.owner_of("cell", name)[0] != "seqlab-zoo"
]
