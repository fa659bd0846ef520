"""What a wrapper is: a factory over factories, so that wrappers nest in any order."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from seqlab.construct import accepted_options, construct, split_spec
from seqlab.errors import OptionError
from seqlab.layers.base import Layer
from seqlab.layers.recurrent import InitialState, Recurrent

MakeLayer = Callable[[int], Layer]


class Wrapper(ABC):
    """Makes a layer out of layers; its constructor takes its options as keywords.

    Example:
        >>> from seqlab.wrappers.base import LayerFactory
        >>> class Twice(Wrapper):
        ...     def build(self, make_layer, input_size):
        ...         from seqlab.wrappers.stacked import Stacked
        ...         first = make_layer(input_size)
        ...         return Stacked([first, make_layer(first.output_size)])
        >>> factory = LayerFactory({"name": "gru", "hidden_size": 4})
        >>> Twice().build(factory, 3).output_size
        4
    """

    @abstractmethod
    def build(self, make_layer: MakeLayer, input_size: int) -> Layer:
        """Build the layer.

        Args:
            make_layer: makes one inner layer for an input width, as often as needed. It has a
                method ``with_cell(spec)``, a factory whose innermost cell has changed options.
            input_size: the width of the input.
        """


class LayerFactory:
    """Makes layers of one form: a cell, run over time, inside wrappers.

    Args:
        cell: the spec of the cell, ``{"name": ..., "hidden_size": ..., ...}``.
        wrappers: wrappers from the innermost to the outermost.
        engine: the engine of every recurrent layer.
        initial_state: where every recurrent layer begins: ``zeros`` or ``trained``.
        where: the config key of the cell, for messages.
    """

    def __init__(
        self,
        cell: Mapping[str, Any],
        wrappers: tuple[Wrapper, ...] = (),
        *,
        engine: str = "auto",
        initial_state: InitialState = "zeros",
        where: str = "cell",
    ) -> None:
        self.cell, self.wrappers = dict(cell), wrappers
        self.engine, self.initial_state, self.where = engine, initial_state, where

    def __call__(self, input_size: int) -> Layer:
        """One layer for an input of this width."""
        if not self.wrappers:
            cell = construct("cell", self.cell, input_size, where=self.where)
            return Recurrent(cell, engine=self.engine, initial_state=self.initial_state)
        *inner, outer = self.wrappers
        try:
            return outer.build(self._with(self.cell, tuple(inner)), input_size)
        except OptionError as error:
            key = re.split(r"[.\[:]", str(error), maxsplit=1)[0]
            if key not in accepted_options(type(outer)):
                raise
            place = f"{self.where.removesuffix('cell')}wrappers[{len(inner)}]"
            raise OptionError(f"{place}.{error}") from error

    def with_cell(self, spec: Mapping[str, Any]) -> LayerFactory:
        """The same form with another cell: its options over this one's, or all new with a name."""
        if "name" in spec and spec["name"] != self.cell.get("name"):
            split_spec("cell", spec, self.where)
            sizes = {"hidden_size": self.cell["hidden_size"]} if "hidden_size" in self.cell else {}
            return self._with({**sizes, **spec}, self.wrappers)
        return self._with({**self.cell, **spec}, self.wrappers)

    def _with(self, cell: Mapping[str, Any], wrappers: tuple[Wrapper, ...]) -> LayerFactory:
        return LayerFactory(
            cell,
            wrappers,
            engine=self.engine,
            initial_state=self.initial_state,
            where=self.where,
        )


def with_cell(make_layer: MakeLayer, spec: Mapping[str, Any], option: str) -> MakeLayer:
    """A factory with a changed cell, if this one can be changed.

    Raises:
        OptionError: the factory is a plain function; the message names the option that needs more.
    """
    change = getattr(make_layer, "with_cell", None)
    if change is None:
        raise OptionError(f"{option} needs a LayerFactory, got {make_layer!r}")
    changed: MakeLayer = change(spec)
    return changed


def require_joined(layer: Layer, owner: str) -> Layer:
    """The layer, if its output is one tensor.

    Raises:
        OptionError: it is a bidirectional layer that is not merged.
    """
    if not layer.joins:
        raise OptionError(
            f"{owner}: merge_mode none gives a pair of outputs, and one is needed here; "
            "use concat, sum, mul or ave"
        )
    return layer
