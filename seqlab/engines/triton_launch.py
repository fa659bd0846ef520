"""Launches of Triton's kernels, at little cost where one like it was done before."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from torch import Tensor

#: Kinds of launches of a kernel that are kept; then it starts anew.
MOST_KINDS = 256
#: Triton makes other code for memory that does not begin at a multiple of so many bytes ...
ALIGNED = 16
#: ... and for numbers beyond these.
LEAST, MOST = -(2**31), 2**31 - 1


class Launcher:
    """A kernel.

    Triton looks at every argument of a launch to find the code that it compiled for its like,
    which takes the processor longer than the rest of the launch. Here the caller says by a key what
    decides beside memory and size of numbers, and code found once is launched directly.

    Args:
        kernel: what ``triton.jit`` made. One that the interpreter runs, or that gives no compiled
            code back, is launched as it is.
    """

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self._known: dict[Hashable, tuple[Any, list[Any]]] = {}

    def __call__(
        self,
        grid: tuple[int, ...],
        arguments: Sequence[Tensor | int],
        key: Hashable,
        constants: Callable[[], dict[str, Any]],
    ) -> None:
        """Launch it on the current device.

        Args:
            grid: programs, up to three numbers.
            arguments: all that are no constants, in their order.
            key: the device; the types of tensors; constants; numbers that Triton specialises on.
            constants: the constants and Triton's options by name; asked for where the key is new.
        """
        known = self._known.get(key)
        if known is not None and ordinary(arguments):
            compiled, rest = known
            compiled[(*grid, 1, 1)[:3]](*arguments, *rest)
            return
        given = constants()
        compiled = self.kernel[grid](*arguments, **given)
        if known is None and hasattr(compiled, "packed_metadata") and ordinary(arguments):
            if len(self._known) >= MOST_KINDS:
                self._known.clear()
            names = self.kernel.arg_names[len(arguments) :]
            self._known[key] = compiled, [given[name] for name in names]

    def direct(
        self, grid: tuple[int, ...], arguments: Sequence[Tensor | int], key: Hashable
    ) -> Callable[..., object] | None:
        """What launches it without a look at its arguments; None where it must be looked at them.

        It may be given other numbers than these, if they are of 32 bits and not specialised on, and
        other memory that begins at a multiple of ``ALIGNED`` bytes.
        """
        known = self._known.get(key)
        if known is None or not ordinary(arguments):
            return None
        run, rest = known[0][(*grid, 1, 1)[:3]], known[1]
        return lambda *given: run(*given, *rest)


class Repeated:
    """Launches of one kernel over the same memory, at many times.

    Args:
        launcher: the kernel.
        grid: as for a launch; so are ``key`` and ``constants``.
        key: what tells launches apart.
        constants: the constants and Triton's options.
    """

    def __init__(
        self, launcher: Launcher, grid: tuple[int, ...], key: Hashable,
        constants: dict[str, Any],
    ) -> None:  # fmt: skip
        self._launcher, self._grid, self._key = launcher, grid, key
        self._constants = constants
        self._run: Callable[..., object] | None = None
        self._looks = 2  # at the first, which may make the code, and at the second

    def __call__(self, arguments: Sequence[Tensor | int]) -> None:
        """Launch it."""
        if self._run is not None:
            self._run(*arguments)
            return
        self._launcher(self._grid, arguments, self._key, lambda: self._constants)
        if self._looks and isinstance(self._launcher, Launcher):
            self._looks -= 1
            self._run = self._launcher.direct(self._grid, arguments, self._key)


def ordinary(arguments: Sequence[Tensor | int]) -> bool:
    """Whether all memory is aligned and all numbers are of 32 bits, as in nearly all launches."""
    addresses = 0
    for argument in arguments:
        if isinstance(argument, Tensor):
            addresses |= argument.data_ptr()
        elif not LEAST <= argument <= MOST:
            return False
    return not addresses % ALIGNED
