"""A layer whose step is written out: the base of what cannot be a run of whole layers."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqlab.cells.base import leaves, map_state, next_state
from seqlab.engines.calls import coming_steps
from seqlab.engines.export import scan_steps
from seqlab.engines.instances import engine
from seqlab.engines.over_time import at_time, each_time, run_steps, select
from seqlab.engines.plan import REFERENCE, Plan
from seqlab.errors import EngineError, OptionError
from seqlab.layers.base import (
    Layer,
    Sides,
    check_input,
    check_state,
    combined_mask,
    refuse_streaming,
)
from seqlab.layers.inner import InnerLayers
from seqlab.layers.joined import check_type
from seqlab.layers.recurrent import Recurrent
from seqlab.layers.segments import check_reset, run_segments
from seqlab.types import Device, DType, State


class StepLayerNoise(NamedTuple):
    """The random masks of the layers inside, in order; None for a layer without."""

    layers: tuple[Any, ...]

    def at(self, t: int) -> StepLayerNoise:
        """The masks of step ``t``."""
        return StepLayerNoise(tuple(None if part is None else part.at(t) for part in self.layers))


class StepLayer(Layer):
    """A layer that goes step by step: its author writes one step, the rest is here.

    For layers inside that see each other's states, so that none can be run over all steps before
    the next. A subclass makes them in ``__init__`` and writes ``advance``; where something can be
    done for all steps at once also ``prepare``, and where the state is not the tuple of theirs
    ``initial_state`` and ``final_output``. Masks with holes, lengths of 0 and T = 0, resets, both
    directions of time, streaming, random masks, and graphs for export are those of every layer.

    The loop over time is its engine. In a step without gradients and random masks, layers inside
    that are stepped by ``inner.step`` use what the engine they were given has for single steps,
    with ``auto`` compiled code that lies in the cache. In a graph for export the steps are one
    operator.

    Args:
        input_size: D.
        output_size: E, the width of an output step.
        final_size: S, the width of ``final_output``; E unless given.
        reverse: run from the last step to the first. The layers inside are stepped as they come,
            so they must be causal; see ``turned_forward``.

    Example:
        >>> import torch, seqlab
        >>> class Twice(seqlab.StepLayer):
        ...     "The cell takes each input twice."
        ...     def __init__(self, layer):
        ...         super().__init__(layer.input_size, layer.output_size)
        ...         self.layer = layer
        ...     def advance(self, x, state, inner):
        ...         _, between = inner.step(self.layer, x, state[0])
        ...         output, after = inner.step(self.layer, x, between)
        ...         return output, (after,)
        >>> layer = Twice(seqlab.GRU(3, 4))
        >>> output, state = layer(torch.ones(2, 5, 3), lengths=torch.tensor([5, 0]))
        >>> output.shape, state[0].hidden.shape
        (torch.Size([2, 5, 4]), torch.Size([2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        final_size: int | None = None,
        reverse: bool = False,
    ) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, output_size
        self.final_size = output_size if final_size is None else final_size
        self.directions = (output_size,)
        self._reverse = reverse

    # -- what an author writes ---------------------------------------------------------------

    @abstractmethod
    def advance(self, prepared_t: Any, state: Any, inner: InnerLayers) -> tuple[Tensor, Any]:
        """One step.

        Args:
            prepared_t: step t of what ``prepare`` returned: the input ``[B, D]``, unless it is
                overridden.
            state: the state before the step.
            inner: steps the layers inside: ``inner.step(layer, x_BD, its_state)``.

        Returns:
            The output ``[B, E]`` and the state after the step, of the form of the one before.
        """

    def prepare(self, x_BTD: Tensor, inner: InnerLayers) -> Any:
        """What needs no state, for all steps at once: ``[B, T, ...]``, or a tuple of such.

        Here the input as it is. ``inner.project(layer, x_BTD)`` gives the part of a layer's step
        that needs its input alone, for ``inner.advance`` in the place of ``inner.step``.
        """
        del inner
        return x_BTD

    def initial_state(
        self, batch_size: int, *, device: Device = None, dtype: DType = None
    ) -> State:
        """The state before the first step; here the tuple of those of the layers inside."""
        return tuple(
            layer.initial_state(batch_size, device=device, dtype=dtype)
            for layer in self.inner_layers()
        )

    def final_output(self, state: State) -> Tensor:
        """``[B, S]`` of a final state; here its first tensor."""
        return leaves(state)[0]

    # -- running -----------------------------------------------------------------------------

    def inner_layers(self) -> list[Layer]:
        """The layers inside, in the order in which they were made; not those inside of them."""
        found: list[Layer] = []
        rest = list(self.children())
        while rest:
            part = rest.pop(0)
            if isinstance(part, Layer):
                found.append(part)
            else:
                rest = [*part.children(), *rest]
        return found

    def forward(
        self,
        x_BTD: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Run over all steps; see ``Layer.forward``."""
        check_input(x_BTD, self.input_size, self._title)
        for cell in self.cells():
            check_type(cell, x_BTD, self._title)
        mask = combined_mask(x_BTD, lengths, mask)
        expected = self.initial_state(x_BTD.shape[0], device=x_BTD.device)
        state = expected if state is None else check_state(state, expected, self._title())
        if reset is not None:
            check_reset(reset, x_BTD)
        if x_BTD.shape[0] == 0 or x_BTD.shape[1] == 0:
            return x_BTD.new_zeros(*x_BTD.shape[:2], self.output_size), state
        if reset is None:
            return self._over(x_BTD, state, mask)
        fresh = functools.partial(self.initial_state, device=x_BTD.device)
        found: tuple[Tensor, State] = run_segments(
            self._over, x_BTD, state, mask=mask, reset=reset, fresh=fresh, reverse=self._reverse
        )
        return found

    def _over(self, x_BTD: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        """All steps of rows that begin with a state and run to their end."""
        if mask is not None:
            # a NaN in the padding would turn a zero gradient into NaN
            x_BTD = x_BTD.masked_fill(~mask.unsqueeze(-1), 0.0)
        noise = self.sample_noise(*x_BTD.shape[:2], device=x_BTD.device, dtype=x_BTD.dtype)
        if torch.compiler.is_exporting():
            return self._as_one_operator(x_BTD, state, mask, noise)
        found: tuple[Tensor, State] = _run_outside_the_graph(self, x_BTD, state, mask, noise)
        return found

    def _loop(
        self, x_BTD: Tensor, state: State, mask: Tensor | None, noise: StepLayerNoise | None
    ) -> tuple[Tensor, State]:
        inner = self._inner(noise)
        prepared = each_time(self.prepare(x_BTD, inner))

        def step(t: int, before: State) -> tuple[Tensor, State]:
            here = inner.at(t, None if mask is None else mask[:, t])
            return next_state(self, self.advance(prepared[t], before, here), before)

        with coming_steps(x_BTD.shape[1]):
            outputs, final = run_steps(step, x_BTD.shape[1], state, mask, reverse=self._reverse)
        return torch.stack(outputs, 1), final

    def _as_one_operator(
        self, x_BTD: Tensor, state: State, mask: Tensor | None, noise: StepLayerNoise | None
    ) -> tuple[Tensor, State]:
        if noise is not None:
            raise EngineError("an exported graph has no random masks; use eval()")
        inner = self._inner(None)

        def step(prepared_t: Any, before: State) -> tuple[Tensor, State]:
            return next_state(self, self.advance(prepared_t, before, inner), before)

        return scan_steps(step, self.prepare(x_BTD, inner), state, mask, reverse=self._reverse)

    def _inner(self, noise: StepLayerNoise | None, mask: Tensor | None = None) -> InnerLayers:
        layers = self.inner_layers()
        for layer in layers:
            if not layer.causal:
                raise refuse_streaming(f"{type(layer).__name__} in a {type(self).__name__}")
        return InnerLayers(layers, None if noise is None else noise.layers, mask)

    def step(
        self,
        x_BD: Tensor,
        state: State,
        noise: StepLayerNoise | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """One step; see ``Layer.step``."""
        if self._reverse:
            raise refuse_streaming(type(self).__name__)
        if mask is not None:
            x_BD = x_BD.masked_fill(~mask.unsqueeze(-1), 0.0)
        inner = self._inner(noise, mask)
        prepared = at_time(self.prepare(x_BD.unsqueeze(1), inner), 0)
        output, after = next_state(self, self.advance(prepared, state, inner), state)
        if mask is not None:
            after = map_state(lambda new, old: select(mask, new, old), after, state)
            output = select(mask, output, torch.zeros_like(output))
        return output, after

    def sample_noise(
        self, batch_size: int, steps: int, *, device: torch.device, dtype: torch.dtype
    ) -> StepLayerNoise | None:
        """The masks of the layers inside; None for none."""
        found = tuple(
            layer.sample_noise(batch_size, steps, device=device, dtype=dtype)
            for layer in self.inner_layers()
        )
        return None if all(part is None for part in found) else StepLayerNoise(found)

    @property
    def reverse(self) -> bool:
        """Whether the layer runs from the last step to the first."""
        return self._reverse

    def sides(self) -> Sides:
        """The layer itself; see ``Layer.sides``."""
        return Sides(None, self) if self._reverse else Sides(self, None)

    def reverse_(self) -> None:
        """Turn the direction of time around, in place; the layers inside know none."""
        self._reverse = not self._reverse

    def explain(self, x_BTD: Tensor, *, masked: bool = False) -> Plan:
        """Its engine, which is the loop for every input."""
        del x_BTD, masked
        return Plan(engine(REFERENCE), "its step is written out", {}, 0.0)

    def _title(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """Sizes and direction."""
        return f"{self.input_size}, {self.output_size}, reverse={self._reverse}"


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch's own
def _run_outside_the_graph(
    layer: StepLayer, x_BTD: Tensor, state: State, mask: Tensor | None, noise: Any
) -> tuple[Tensor, State]:
    """A run that ``torch.compile`` leaves alone: it would unroll the loop for each length."""
    return layer._loop(x_BTD, state, mask, noise)  # noqa: SLF001  # of this module


def runs_over_time(module: nn.Module) -> dict[str, Recurrent | StepLayer]:
    """The layers of a module that an engine runs over time, by their path.

    Those inside a ``StepLayer`` are left out: it steps them, and is there itself.

    >>> import seqlab
    >>> list(runs_over_time(seqlab.Bidirectional(seqlab.GRU(3, 4))))
    ['forward_layer', 'backward_layer']
    """
    found: dict[str, Recurrent | StepLayer] = {}
    inside: set[nn.Module] = set()
    for name, part in module.named_modules():
        if isinstance(part, StepLayer) and part not in inside:
            inside.update(part.modules())
            found[name] = part
        elif isinstance(part, Recurrent) and part not in inside:
            found[name] = part
    return found


def turned_forward(layers: Sequence[Layer], owner: str) -> bool:
    """Make layers step forward, in place, for a ``StepLayer`` to hold them.

    Args:
        layers: those it is to hold.
        owner: for the message.

    Returns:
        Whether they ran backward, all of them: its ``reverse``.

    Raises:
        OptionError: a layer sees both directions of time, or they run against each other.

    Example:
        >>> import seqlab
        >>> layer = seqlab.GRU(3, 4, reverse=True)
        >>> turned_forward([layer], "Twice"), layer.reverse
        (True, False)
    """
    backward = all(layer.reverse for layer in layers)
    if backward:
        for layer in layers:
            layer.reverse_()
    for layer in layers:
        if not layer.causal:
            raise OptionError(
                f"{owner} goes step by step, and the {type(layer).__name__} inside sees later "
                f"steps: put {owner} inside of it"
            )
    return backward
