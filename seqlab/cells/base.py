"""The contract of every recurrence: one time step, and what can be done for all steps at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from seqlab.cells.around import OptionNoise, OptionRates, draw_options
from seqlab.cells.construction import CellType
from seqlab.cells.redraw import redraw_parts
from seqlab.cells.zoneout import zone_out, zoneout_rates
from seqlab.errors import OptionError
from seqlab.registry import spoken
from seqlab.schema import Count, Fraction, checked
from seqlab.types import Device, DType
from seqlab.types import State as StateTree

#: The attribute that counts how often others were set.
COUNT = "_times_set"


class HiddenState(NamedTuple):
    """The state of a cell that remembers its output alone: ``hidden`` is ``[B, H]``."""

    hidden: Tensor


class VendorKernel(NamedTuple):
    """Which ATen kernel computes a cell, or why none does.

    ``name`` is ``lstm``, ``gru``, ``rnn_tanh``, ``rnn_relu`` or None; ``reason`` is set with None.
    """

    name: str | None
    reason: str = ""


class Cell(nn.Module, metaclass=CellType):
    """One time step of a recurrence, with its parameters. Any recurrence fits.

    A subclass sets ``state_sizes`` (or overrides ``initial_state``) and writes ``step``; work
    that does not depend on the state goes into ``project``, which sees the whole sequence.
    A cell with parameters makes them in ``__init__`` or ``make_parameters`` and draws them in
    ``reset_parameters``. These two are called once, when every ``__init__`` is done: there is no
    need to call them, and no order in which options must be set.

    ``dropout`` and ``zoneout`` are options of every cell, also of one whose ``__init__`` knows
    nothing of them: they stand around its ``project``, ``step`` and ``sample_noise``.

    Class attributes:
        State: the NamedTuple of the state.
        made_in_setup: names of parameters that ``make_parameters`` makes.
        options_for_all: options that every subclass takes, whatever its ``__init__`` says.
        wraps_options: whether they stand around the methods; a base that applies them in another
            way says False.

    Args:
        input_size: D, the number of features of one input step.
        hidden_size: H, the width of the state.
        dropout: rate on the input; one mask for all steps of a sequence (Gal and Ghahramani, 2016).
        zoneout: probability that a unit keeps its old state (Krueger et al., 2017): a number, or
            one per state field; its expectation is used outside training.

    Raises:
        OptionError: a rate is not in [0, 1), or zoneout names no field of the state, or one that
            holds no real numbers.

    Example:
        >>> class Leaky(Cell):
        ...     State = HiddenState
        ...     def step(self, projected_t, state, noise=None):
        ...         hidden = 0.9 * state.hidden + 0.1 * projected_t
        ...         return hidden, HiddenState(hidden)
        >>> cell = Leaky(2, 2)
        >>> output, state = cell.step(torch.ones(1, 2), cell.initial_state(1))
        >>> output.tolist()
        [[0.10000000149011612, 0.10000000149011612]]
    """

    State: Any = HiddenState
    made_in_setup: ClassVar[tuple[str, ...]] = ()
    options_for_all: ClassVar[tuple[str, ...]] = ("dropout", "zoneout")
    wraps_options: ClassVar[bool] = True

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        *,
        dropout: Fraction = 0.0,
        zoneout: Fraction | Mapping[str, Fraction] = 0.0,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self._options_asked = (dropout, zoneout)

    @checked
    def take_options(
        self, *, dropout: Fraction = 0.0, zoneout: Fraction | Mapping[str, Fraction] = 0.0
    ) -> None:
        """The options of every cell, for one whose ``__init__`` does not take them."""
        self._options_asked = (dropout, zoneout)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute and count it, so that plans made before are known to be old.

        Raises:
            AttributeError: a parameter or a module is set before ``super().__init__()``.
        """
        if "_parameters" not in vars(self) and isinstance(value, (nn.Parameter, nn.Module)):
            owner = type(self).__name__
            raise AttributeError(
                f"{owner}.__init__ sets self.{name} before super().__init__(input_size, "
                "hidden_size); call that first, or declare `vectors` and `scalars`"
            )
        super().__setattr__(name, value)
        if name != "training":
            vars(self)[COUNT] = vars(self).get(COUNT, 0) + 1

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """What moves or converts parameters makes plans old too."""
        moved = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own
        vars(self)[COUNT] = vars(self).get(COUNT, 0) + 1
        return moved

    def setup(self) -> None:
        """Make the parameters, then draw them; called once, after the last ``__init__``."""
        dropout, zoneout = self._options_asked
        # their names are private: a class may have other attributes called so
        self.option_rates = OptionRates(dropout, zoneout_rates(zoneout, self.zoneout_fields))
        self.make_parameters()
        if type(self).reset_parameters is not Cell.reset_parameters:
            self.reset_parameters()
        if self.wraps_options and any(self.option_rates.zoneout):
            self._check_zoneout()

    def _check_zoneout(self) -> None:
        """Refuse zoneout of what holds no real numbers, and beside a stepper that skips it."""
        if type(self).stepper is not Cell.stepper:
            raise OptionError(
                f"zoneout: {spoken('cell', self)} has a stepper of its own, which would pass it by"
            )
        fields = zip(self.zoneout_fields, self.option_rates.zoneout, self.initial_state(1),
                     strict=True)  # fmt: skip
        for field, rate, part in fields:
            if rate and not (isinstance(part, Tensor) and part.is_floating_point()):
                raise OptionError(
                    f"zoneout: the field {field} of the state of {spoken('cell', self)} holds no "
                    f"real numbers; name others, as in zoneout={{{self.zoneout_fields[0]}: {rate}}}"
                )

    def make_parameters(self) -> None:
        """Make parameters whose form depends on options, without drawing them."""

    @property
    def output_size(self) -> int:
        """The width of one step's output; H unless a subclass says otherwise."""
        return self.hidden_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The width of each field of ``State``; H for all unless a subclass says otherwise."""
        return (self.hidden_size,) * len(state_fields(self.State))

    @property
    def zoneout_fields(self) -> tuple[str, ...]:
        """The fields of the state that zoneout is for; all, unless a subclass says otherwise."""
        return state_fields(self.State)

    def zoneout_shapes(self) -> list[tuple[int, ...]]:
        """The shape of a row's mask for each of these fields."""
        return [tuple(getattr(part, "shape", ()))[1:] for part in self.initial_state(1)]

    def initial_state(
        self, batch_size: int, *, device: Device = None, dtype: DType = None
    ) -> StateTree:
        """Zeros ``[B, width]`` for every field of ``State``, where the parameters live."""
        like = first_parameter(self)
        if like is not None:
            device = device if device is not None else like.device
            dtype = dtype if dtype is not None else like.dtype
        zeros = (torch.zeros(batch_size, n, device=device, dtype=dtype) for n in self.state_sizes)
        return self.State(*zeros)

    def sample_noise(
        self, batch_size: int, steps: int, *, device: torch.device, dtype: torch.dtype
    ) -> Any:
        """The random masks of one sequence, drawn before its first step; None for none.

        What it returns is handed to ``project`` and, through its method ``at(t)``, to ``step``;
        where a step runs alone, both are given ``at(t)``. A subclass writes it for masks of its
        own alone; those of ``dropout`` and ``zoneout`` come beside them.
        """
        if self.wraps_options:  # they are drawn around it
            return None
        return draw_options(self, batch_size, steps, device=device, dtype=dtype)

    def project(self, x_BTD: Tensor, noise: Any = None) -> Any:
        """The part of the step that needs no state, for all times at once; here the identity."""
        del noise
        return x_BTD

    @abstractmethod
    def step(
        self, projected_t: Any, state: StateTree, noise: Any = None
    ) -> tuple[Tensor, StateTree]:
        """One step: ``projected[:, t]`` and the state before it, to the output and the next."""

    def _after_step(
        self, made: Any, state: StateTree, noise: OptionNoise | None
    ) -> tuple[Tensor, StateTree]:
        """What a step made, checked, after zoneout; what stands around ``step``."""
        output, new = next_state(self, made, state)
        if any(self.option_rates.zoneout):
            keep = None if noise is None else noise.zoneout
            output, new = zone_out(output, new, state, self.option_rates.zoneout, keep)
        # products under autocast are of fewer digits
        if any(a.dtype != b.dtype for a, b in zip(leaves(new), leaves(state), strict=True)):
            new = map_state(lambda a, b: a.to(torch.promote_types(a.dtype, b.dtype)), new, state)
        return output, new

    def stepper(self) -> Callable[..., tuple[Tensor, StateTree]]:
        """``step`` for one run; a cell may do once what all steps of a run share."""
        return self.step

    def vendor_kernel(self) -> VendorKernel:
        """The vendor kernel that computes exactly this cell with its options, if there is one."""
        return VendorKernel(None, "no vendor kernel has this cell's equations")

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all parameters anew; here those of the modules inside.

        As with torch's modules, but ``setup`` calls it, and no ``__init__`` needs to.

        Raises:
            OptionError: the cell has parameters of its own, and so must override this.
        """
        redraw_parts(self, own=type(self).reset_parameters is Cell.reset_parameters)

    def extra_repr(self) -> str:
        """Sizes, for ``print(cell)``."""
        return f"{self.input_size}, {self.hidden_size}"

    def regularization_loss(self) -> Tensor:
        """The penalties that the cell's regularizers ask for: a scalar, zero without any."""
        like = first_parameter(self)
        return torch.zeros(()) if like is None else like.new_zeros(())

    def apply_constraints(self) -> None:
        """Project the parameters onto what the cell's constraints allow, in place."""


def settings_key(cell: Cell) -> Hashable:
    """The same, for one cell, as long as no attribute is set on it and nothing converts it.

    Numbers of parameters may change.
    """
    own = cell.__dict__
    return own[COUNT], own["training"]


def first_parameter(cell: Cell) -> Tensor | None:
    """One of the cell's parameters, for its type and device; None where there is none."""
    # far quicker than ``parameters()``, and asked for in every call
    own = next(iter(cell._parameters.values()), None)  # noqa: SLF001  # a cell's
    return next(cell.parameters(), None) if own is None else own


def widened(dtype: torch.dtype) -> torch.dtype:
    """The type, or float32 where that is wider: some of torch's operations know no half precision.

    >>> widened(torch.bfloat16), widened(torch.float64)
    (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)


def read_parameters(cell: Cell, names: Iterable[str]) -> list[Any]:
    """Parameters and other attributes by name, quicker than one by one."""
    own = cell._parameters  # noqa: SLF001  # a cell's
    return [own[name] if name in own else getattr(cell, name) for name in names]


def state_fields(state_type: type) -> tuple[str, ...]:
    """The field names of a State class."""
    return tuple(getattr(state_type, "_fields", ()))


def map_state(function: Callable[..., Tensor], *states: StateTree) -> StateTree:
    """Apply a function to the matching tensors of states, keeping their structure.

    >>> map_state(torch.add, HiddenState(torch.ones(1)), HiddenState(torch.ones(1)))
    HiddenState(hidden=tensor([2.]))
    """
    first = states[0]
    if isinstance(first, Tensor):
        return function(*states)
    parts = [map_state(function, *group) for group in zip(*states, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)


def leaves(state: StateTree) -> list[Tensor]:
    """All tensors of a state, in the order in which ``map_state`` visits them.

    >>> [tuple(part.shape) for part in leaves((torch.zeros(2, 3), (torch.zeros(2),)))]
    [(2, 3), (2,)]
    """
    if isinstance(state, Tensor):
        return [state]
    return [tensor for part in state for tensor in leaves(part)]


def next_state(cell: nn.Module, result: Any, old: StateTree) -> tuple[Tensor, StateTree]:
    """What a step returned, if it is an output and a state like the one before.

    Raises:
        OptionError: it is something else; the message says what to return.
    """
    if isinstance(result, tuple) and len(result) == 2:
        output, new = result
        if isinstance(output, Tensor) and isinstance(new, type(old)):
            return output, new
    got = type(result).__name__
    if type(result) is tuple:
        got = f"({', '.join(type(part).__name__ for part in result)})"
    form = type(old).__name__
    fields = ", ".join(state_fields(type(old)))
    raise OptionError(
        f"{type(cell).__name__} gives {got} for a step, and the output and the next state are "
        f"needed: write `return output, {form}({fields})`"
    )
