"""What checks are run on: a part with its options, ready to be built again and again."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from seqlab import registry
from seqlab.cells.base import Cell
from seqlab.errors import OptionError, SeqlabError, UnknownNameError
from seqlab.layers.base import Layer
from seqlab.layers.recurrent import Recurrent
from seqlab.testing.sample import normal, seeded, shaken
from seqlab.wrappers.base import LayerFactory, Wrapper

#: The name of a part that is not registered, while its checks run.
UNDER_TEST = "part-under-test"
#: Rows and steps of the data that checks run on; odd, and all different from the widths.
BATCH, STEPS = 4, 7
#: Rows of the checks that look for what happens to some rows alone.
MANY_ROWS = 33
#: Features of the rows of ``tasks``, and of cells that are not given an ``input_size``.
INPUT_WIDTH = 3


@contextlib.contextmanager
def registered(kind: str, part: Any) -> Iterator[str]:
    """The name of a part in the registry, for the length of the block if it has none."""
    try:
        yield registry.name_of(kind, part)
    except UnknownNameError:
        registry.register(kind, UNDER_TEST)(part)
        try:
            yield UNDER_TEST
        finally:
            registry.unregister(kind, UNDER_TEST)


@dataclass(frozen=True)
class Case:
    """A part under test.

    Attributes:
        part: the class or function.
        options: given to it whenever it is built.
    """

    kind: ClassVar[str]
    part: Any
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerCase(Case):
    """A part that makes a layer: a cell or a wrapper."""

    @property
    def width(self) -> int:
        """D, the number of input features."""
        raise NotImplementedError

    def make(self, **changes: Any) -> Layer:
        """A new layer with the part's own initial values; ``changes`` are options."""
        raise NotImplementedError

    def wide(self, size: int) -> Layer:
        """A layer in inference mode with this many units; its weights grow smaller with them.

        Raises:
            SeqlabError: it cannot be built so wide.
        """
        raise NotImplementedError

    def is_choosy(self) -> bool:
        """Whether it refuses some numbers of input features, as it may."""
        return False

    def encoder_spec(self, name: str) -> dict[str, Any]:
        """The ``encoder`` node of a config that has the part in it, registered as ``name``."""
        raise NotImplementedError

    def input_layer(self) -> dict[str, Any]:
        """The ``input_layer`` that the encoder needs where D is not the kit's."""
        return {} if self.width == INPUT_WIDTH else {"input_layer": {"size": self.width}}

    def layer(
        self,
        seed: int = 0,
        *,
        dtype: torch.dtype = torch.float64,
        scale: float = 0.3,
        **changes: Any,
    ) -> Layer:
        """A layer in inference mode whose parameters were shaken."""
        with seeded(seed):
            made = self.make(**changes)
        return shaken(made, seed=seed + 1, scale=scale).to(dtype).eval()

    def data(self, *, batch: int = BATCH, steps: int = STEPS, seed: int = 11) -> Tensor:
        """Input ``[B, T, D]`` in float64."""
        return normal(batch, steps, self.width, seed=seed)


@dataclass(frozen=True)
class CellCase(LayerCase):
    """A cell class with its options, among which may be ``input_size`` and ``hidden_size``."""

    kind = "cell"

    @property
    def width(self) -> int:
        """D: as asked for, or the first that the cell takes of 3, 6 and 4."""
        return self._sizes[0]

    @property
    def hidden(self) -> int:
        """H: as asked for, or 5; D where the cell needs both to be equal."""
        return self._sizes[1]

    @functools.cached_property
    def _sizes(self) -> tuple[int, int]:
        width, hidden = (self.options.get(name) for name in ("input_size", "hidden_size"))
        pairs = [
            (int(d), int(h))
            for d in ((INPUT_WIDTH, 2 * INPUT_WIDTH, 4) if width is None else (width,))
            for h in ((5, d) if hidden is None else (hidden,))
        ]
        return next((pair for pair in pairs if self._can_be(*pair)), pairs[0])

    def _can_be(self, width: int, hidden: int) -> bool:
        """Whether the cell takes these sizes; what else may be wrong is for the checks to say."""
        with seeded(0):
            try:
                self.part(width, hidden, **self.cell_options)
            except SeqlabError:
                return False
            except Exception:  # noqa: BLE001  # an author's
                return True
        return True

    @property
    def cell_options(self) -> dict[str, Any]:
        """The options without the two sizes."""
        sizes = ("input_size", "hidden_size")
        return {key: value for key, value in self.options.items() if key not in sizes}

    def new(self, width: int | None = None, **changes: Any) -> Cell:
        """A new cell with its own initial values."""
        cell: Cell = self.part(width or self.width, self.hidden, **{**self.cell_options, **changes})
        return cell

    def cell(self, seed: int = 0, *, dtype: torch.dtype = torch.float64, **changes: Any) -> Cell:
        """A cell in inference mode whose parameters were shaken."""
        with seeded(seed):
            made = self.new(**changes)
        return shaken(made, seed=seed + 1).to(dtype).eval()

    def make(self, *, engine: str = "loop", reverse: bool = False, **changes: Any) -> Layer:
        """The cell run over time."""
        return Recurrent(self.new(**changes), engine=engine, reverse=reverse)

    def wide(self, size: int) -> Layer:
        """See ``LayerCase``."""
        options = {**self.options, "hidden_size": size}
        return CellCase(self.part, options).layer(scale=size**-0.5)

    def is_choosy(self) -> bool:
        """See ``LayerCase``."""
        return not all(self._can_be(width, self.hidden) for width in (1, 5, 64))

    def spec(self, name: str) -> dict[str, Any]:
        """The cell's node of a config."""
        return {"name": name, "hidden_size": self.hidden, **self.cell_options}

    def encoder_spec(self, name: str) -> dict[str, Any]:
        """See ``LayerCase``."""
        return {"cell": self.spec(name), "wrappers": [], **self.input_layer()}


@dataclass(frozen=True)
class WrapperCase(LayerCase):
    """A wrapper class with its options, around a GRU."""

    kind = "wrapper"
    inner: ClassVar[Mapping[str, Any]] = {"name": "gru", "hidden_size": 5}

    @functools.cached_property
    def _width(self) -> int:
        """The usual one, or the inner layer's width where the wrapper needs both to be equal."""
        with seeded(0):
            try:
                self.build(INPUT_WIDTH)
            except OptionError:
                return int(self.inner["hidden_size"])
        return INPUT_WIDTH

    @property
    def width(self) -> int:
        """D."""
        return self._width

    def wrapper(self) -> Wrapper:
        """The wrapper, built with its options."""
        made: Wrapper = self.part(**self.options)
        return made

    def build(self, width: int, *outer: Wrapper, **cell_changes: Any) -> Layer:
        """A layer of this width inside the wrapper, and that inside ``outer``."""
        return self.factory(*outer, **cell_changes)(width)

    def factory(self, *outer: Wrapper, **cell_changes: Any) -> LayerFactory:
        """Makes wrapped layers."""
        cell = {**self.inner, **cell_changes}
        return LayerFactory(cell, (self.wrapper(), *outer), engine="loop")

    def make(self, **changes: Any) -> Layer:
        """The wrapped layer; ``changes`` are options of the cell inside."""
        return self.build(self.width, **changes)

    def wide(self, size: int) -> Layer:
        """See ``LayerCase``."""
        same = self.width == self.inner["hidden_size"]
        with seeded(0):
            made = self.build(size if same else self.width, hidden_size=size)
        return shaken(made, seed=1, scale=size**-0.5).double().eval()

    def encoder_spec(self, name: str) -> dict[str, Any]:
        """See ``LayerCase``."""
        wrappers = [{"name": name, **self.options}]
        return {"cell": dict(self.inner), "wrappers": wrappers, **self.input_layer()}
