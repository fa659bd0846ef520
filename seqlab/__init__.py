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
from seqlab.registry import available as available
from seqlab.registry import get as get
from seqlab.registry import register as register

if TYPE_CHECKING:
    from seqlab.bundle import from_pretrained as from_pretrained
    from seqlab.bundle import load as load
    from seqlab.cells.base import Cell as Cell
    from seqlab.cells.base import HiddenState as HiddenState
    from seqlab.cells.base import map_state as map_state
    from seqlab.cells.gated import GatedCell as GatedCell
    from seqlab.cells.linear import LinearRecurrentCell as LinearRecurrentCell
    from seqlab.cells.matrix import MatrixStateCell as MatrixStateCell
    from seqlab.cells.modifiers import CellGates as CellGates
    from seqlab.cells.modifiers import Modifier as Modifier
    from seqlab.cells.modifiers import with_gates as with_gates
    from seqlab.cells.quantized import quantize as quantize
    from seqlab.data.features.base import Feature as Feature
    from seqlab.data.formats.base import Format as Format
    from seqlab.data.sources.base import Source as Source
    from seqlab.data.sources.base import row_counts as row_counts
    from seqlab.data.targets.base import Target as Target
    from seqlab.data.tokenizers.base import Tokenizer as Tokenizer
    from seqlab.data.transforms.base import Transform as Transform
    from seqlab.engines.base import Engine as Engine
    from seqlab.engines.base import Offer as Offer
    from seqlab.errors import BundleError as BundleError
    from seqlab.errors import ConfigError as ConfigError
    from seqlab.errors import DataError as DataError
    from seqlab.errors import DuplicateNameError as DuplicateNameError
    from seqlab.errors import EngineError as EngineError
    from seqlab.errors import MachineError as MachineError
    from seqlab.errors import OptionError as OptionError
    from seqlab.errors import PluginError as PluginError
    from seqlab.errors import RunError as RunError
    from seqlab.errors import SeqlabError as SeqlabError
    from seqlab.errors import ShapeError as ShapeError
    from seqlab.errors import UnknownNameError as UnknownNameError
    from seqlab.heads.attention import Attention as Attention
    from seqlab.heads.base import Head as Head
    from seqlab.heads.metrics.base import TaskMetric as TaskMetric
    from seqlab.heads.pooling import Pooling as Pooling
    from seqlab.heads.search import Search as Search
    from seqlab.layers.base import Layer as Layer
    from seqlab.layers.inner import InnerLayers as InnerLayers
    from seqlab.layers.named import GRU as GRU
    from seqlab.layers.named import LSTM as LSTM
    from seqlab.layers.named import RNN as RNN
    from seqlab.layers.recurrent import Recurrent as Recurrent
    from seqlab.layers.step_layer import StepLayer as StepLayer
    from seqlab.layers.stream import stream as stream
    from seqlab.training.callbacks import Callback as Callback
    from seqlab.training.loggers import Logger as Logger
    from seqlab.training.schedules import Schedule as Schedule
    from seqlab.wrappers.around import Around as Around
    from seqlab.wrappers.base import MakeLayer as MakeLayer
    from seqlab.wrappers.base import Wrapper as Wrapper
    from seqlab.wrappers.bidirectional import Bidirectional as Bidirectional
    from seqlab.wrappers.merges import Merge as Merge
    from seqlab.wrappers.residual import Residual as Residual
    from seqlab.wrappers.stacked import Stacked as Stacked

__version__ = _version_of("seqlab")

#: What is imported when it is first asked for, by module.
_LAZY = {
    "bundle": "from_pretrained load",
    "cells.base": "Cell HiddenState map_state",
    "cells.gated": "GatedCell",
    "cells.linear": "LinearRecurrentCell",
    "cells.matrix": "MatrixStateCell",
    "cells.modifiers": "CellGates Modifier with_gates",
    "cells.quantized": "quantize",
    "data.features.base": "Feature",
    "data.formats.base": "Format",
    "data.sources.base": "Source row_counts",
    "data.targets.base": "Target",
    "data.tokenizers.base": "Tokenizer",
    "data.transforms.base": "Transform",
    "engines.base": "Engine Offer",
    "errors": "BundleError ConfigError DataError DuplicateNameError EngineError MachineError "
    "OptionError PluginError RunError SeqlabError ShapeError UnknownNameError",
    "heads.attention": "Attention",
    "heads.base": "Head",
    "heads.metrics.base": "TaskMetric",
    "heads.pooling": "Pooling",
    "heads.search": "Search",
    "layers.base": "Layer",
    "layers.named": "GRU LSTM RNN",
    "layers.inner": "InnerLayers",
    "layers.recurrent": "Recurrent",
    "layers.step_layer": "StepLayer",
    "layers.stream": "stream",
    "training.callbacks": "Callback",
    "training.loggers": "Logger",
    "training.schedules": "Schedule",
    "wrappers.around": "Around",
    "wrappers.base": "MakeLayer Wrapper",
    "wrappers.bidirectional": "Bidirectional",
    "wrappers.merges": "Merge",
    "wrappers.residual": "Residual",
    "wrappers.stacked": "Stacked",
}
_HOMES = {name: home for home, names in _LAZY.items() for name in names.split()}

__all__ = [*_HOMES, "__version__", "available", "get", "register"]  # noqa: PLE0604 - strings, by the table

#: Packages and modules that `import seqlab` alone gives access to.
_MODULES = frozenset({"compat", "errors", "registry", "schema", "sklearn", "testing", "types"})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"seqlab.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'seqlab' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"seqlab.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
