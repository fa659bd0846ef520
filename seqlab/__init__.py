"""seqlab: recurrent sequence models built from plugins.

``import seqlab`` is light: parts, torch and plugins are imported when first used.

>>> import torch, seqlab
>>> layer = seqlab.Bidirectional(seqlab.LSTM(3, 5), merge_mode="concat")
>>> output, state = layer(torch.zeros(2, 4, 3), lengths=torch.tensor([4, 2]))
>>> output.shape
torch.Size([2, 4, 10])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from seqlab.plugins import version_of as _version_of
from seqlab.registry import available, get, register

if TYPE_CHECKING:
    from seqlab.bundle import load
    from seqlab.cells.base import Cell
    from seqlab.cells.gated import GatedCell
    from seqlab.cells.linear import LinearRecurrentCell
    from seqlab.data.features.base import Feature
    from seqlab.data.formats.base import Format
    from seqlab.data.sources.base import Source
    from seqlab.data.targets.base import Target
    from seqlab.data.tokenizers.base import Tokenizer
    from seqlab.layers.base import Layer
    from seqlab.layers.recurrent import GRU, LSTM, RNN, Recurrent
    from seqlab.layers.stream import stream
    from seqlab.training.callbacks import Callback
    from seqlab.training.loggers import Logger
    from seqlab.training.schedules import Schedule
    from seqlab.wrappers.around import Around
    from seqlab.wrappers.base import Wrapper
    from seqlab.wrappers.bidirectional import Bidirectional
    from seqlab.wrappers.residual import Residual
    from seqlab.wrappers.stacked import Stacked

__version__ = _version_of("seqlab")

_HOMES = {
    "Around": "seqlab.wrappers.around",
    "Bidirectional": "seqlab.wrappers.bidirectional",
    "Callback": "seqlab.training.callbacks",
    "Cell": "seqlab.cells.base",
    "Feature": "seqlab.data.features.base",
    "Format": "seqlab.data.formats.base",
    "GRU": "seqlab.layers.recurrent",
    "GatedCell": "seqlab.cells.gated",
    "LSTM": "seqlab.layers.recurrent",
    "Layer": "seqlab.layers.base",
    "LinearRecurrentCell": "seqlab.cells.linear",
    "Logger": "seqlab.training.loggers",
    "RNN": "seqlab.layers.recurrent",
    "Recurrent": "seqlab.layers.recurrent",
    "Residual": "seqlab.wrappers.residual",
    "Schedule": "seqlab.training.schedules",
    "Source": "seqlab.data.sources.base",
    "Stacked": "seqlab.wrappers.stacked",
    "Target": "seqlab.data.targets.base",
    "Tokenizer": "seqlab.data.tokenizers.base",
    "Wrapper": "seqlab.wrappers.base",
    "load": "seqlab.bundle",
    "stream": "seqlab.layers.stream",
}

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Around",
    "Bidirectional",
    "Callback",
    "Cell",
    "Feature",
    "Format",
    "GatedCell",
    "Layer",
    "LinearRecurrentCell",
    "Logger",
    "Recurrent",
    "Residual",
    "Schedule",
    "Source",
    "Stacked",
    "Target",
    "Tokenizer",
    "Wrapper",
    "__version__",
    "available",
    "get",
    "load",
    "register",
    "stream",
]


#: Packages and modules that `import seqlab` alone gives access to.
_MODULES = frozenset({"compat", "errors", "registry", "testing", "types"})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"seqlab.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'seqlab' has no attribute '{name}'")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
