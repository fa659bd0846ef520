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
    from seqlab.cells.base import Cell, HiddenState, map_state
    from seqlab.cells.gated import GatedCell
    from seqlab.cells.linear import LinearRecurrentCell
    from seqlab.data.features.base import Feature
    from seqlab.data.formats.base import Format
    from seqlab.data.sources.base import Source, row_counts
    from seqlab.data.targets.base import Target
    from seqlab.data.tokenizers.base import Tokenizer
    from seqlab.engines.base import Engine, Offer
    from seqlab.errors import (
        BundleError,
        ConfigError,
        DataError,
        DuplicateNameError,
        EngineError,
        MachineError,
        OptionError,
        PluginError,
        RunError,
        SeqlabError,
        ShapeError,
        UnknownNameError,
    )
    from seqlab.heads.attention import Attention
    from seqlab.heads.base import Head
    from seqlab.heads.metrics.base import TaskMetric
    from seqlab.heads.pooling import Pooling
    from seqlab.heads.search import Search
    from seqlab.layers.base import Layer
    from seqlab.layers.recurrent import GRU, LSTM, RNN, Recurrent
    from seqlab.layers.stream import stream
    from seqlab.training.callbacks import Callback
    from seqlab.training.loggers import Logger
    from seqlab.training.schedules import Schedule
    from seqlab.wrappers.around import Around
    from seqlab.wrappers.base import MakeLayer, Wrapper
    from seqlab.wrappers.bidirectional import Bidirectional
    from seqlab.wrappers.merges import Merge
    from seqlab.wrappers.residual import Residual
    from seqlab.wrappers.stacked import Stacked

__version__ = _version_of("seqlab")

_HOMES = {
    "Around": "seqlab.wrappers.around",
    "Attention": "seqlab.heads.attention",
    "Bidirectional": "seqlab.wrappers.bidirectional",
    "BundleError": "seqlab.errors",
    "Callback": "seqlab.training.callbacks",
    "Cell": "seqlab.cells.base",
    "ConfigError": "seqlab.errors",
    "DataError": "seqlab.errors",
    "DuplicateNameError": "seqlab.errors",
    "Engine": "seqlab.engines.base",
    "EngineError": "seqlab.errors",
    "Feature": "seqlab.data.features.base",
    "Format": "seqlab.data.formats.base",
    "GRU": "seqlab.layers.recurrent",
    "GatedCell": "seqlab.cells.gated",
    "Head": "seqlab.heads.base",
    "HiddenState": "seqlab.cells.base",
    "LSTM": "seqlab.layers.recurrent",
    "Layer": "seqlab.layers.base",
    "LinearRecurrentCell": "seqlab.cells.linear",
    "Logger": "seqlab.training.loggers",
    "MachineError": "seqlab.errors",
    "MakeLayer": "seqlab.wrappers.base",
    "Merge": "seqlab.wrappers.merges",
    "Offer": "seqlab.engines.base",
    "OptionError": "seqlab.errors",
    "PluginError": "seqlab.errors",
    "Pooling": "seqlab.heads.pooling",
    "RNN": "seqlab.layers.recurrent",
    "Recurrent": "seqlab.layers.recurrent",
    "Residual": "seqlab.wrappers.residual",
    "RunError": "seqlab.errors",
    "Schedule": "seqlab.training.schedules",
    "Search": "seqlab.heads.search",
    "SeqlabError": "seqlab.errors",
    "ShapeError": "seqlab.errors",
    "Source": "seqlab.data.sources.base",
    "Stacked": "seqlab.wrappers.stacked",
    "Target": "seqlab.data.targets.base",
    "TaskMetric": "seqlab.heads.metrics.base",
    "Tokenizer": "seqlab.data.tokenizers.base",
    "UnknownNameError": "seqlab.errors",
    "Wrapper": "seqlab.wrappers.base",
    "load": "seqlab.bundle",
    "map_state": "seqlab.cells.base",
    "row_counts": "seqlab.data.sources.base",
    "stream": "seqlab.layers.stream",
}

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Around",
    "Attention",
    "Bidirectional",
    "BundleError",
    "Callback",
    "Cell",
    "ConfigError",
    "DataError",
    "DuplicateNameError",
    "Engine",
    "EngineError",
    "Feature",
    "Format",
    "GatedCell",
    "Head",
    "HiddenState",
    "Layer",
    "LinearRecurrentCell",
    "Logger",
    "MachineError",
    "MakeLayer",
    "Merge",
    "Offer",
    "OptionError",
    "PluginError",
    "Pooling",
    "Recurrent",
    "Residual",
    "RunError",
    "Schedule",
    "Search",
    "SeqlabError",
    "ShapeError",
    "Source",
    "Stacked",
    "Target",
    "TaskMetric",
    "Tokenizer",
    "UnknownNameError",
    "Wrapper",
    "__version__",
    "available",
    "get",
    "load",
    "map_state",
    "register",
    "row_counts",
    "stream",
]


#: Packages and modules that `import seqlab` alone gives access to.
_MODULES = frozenset({"compat", "errors", "registry", "schema", "testing", "types"})


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
