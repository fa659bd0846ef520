"""Whether a cell's parameters and buffers are those of before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from seqlab.cells.gated import GatedCell


class _Seen(NamedTuple):
    """A tensor where its module keeps it; ``same`` holds its memory, which nobody else may get."""

    get: Callable[[str], Tensor | None]
    name: str
    tensor: Tensor
    address: int
    version: int
    same: Tensor


class Watched:
    """The tensors of a cell as they are now.

    Torch counts the changes of a tensor's numbers, but for those written through ``.data``; a
    tensor in the place of another, and memory in the place of other memory, are seen too.

    Raises:
        RuntimeError: a tensor was made in inference mode, where nothing is counted.
    """

    def __init__(self, cell: GatedCell) -> None:
        self._seen = [
            _Seen(place.get, name, t, t.data_ptr(), _version(t), t.detach())
            for module in cell.modules()
            for place in (module._parameters, module._buffers)  # noqa: SLF001  # torch's, of all modules
            for name, t in place.items()
            if t is not None
        ]

    def same_numbers(self) -> bool:
        """Whether no number has changed."""
        for get, name, tensor, address, version, _ in self._seen:
            if (
                get(name) is not tensor
                or tensor._version != version  # noqa: SLF001  # torch's count of changes
                or tensor.data_ptr() != address
            ):
                return False
        return True

    def same_memory(self) -> bool:
        """Whether all numbers lie where they lay, whatever they are now."""
        for get, name, tensor, address, _, same in self._seen:
            if (
                get(name) is not tensor
                or tensor.data_ptr() != address
                or tensor.dtype is not same.dtype
                or not tensor.is_contiguous()
            ):
                return False
        return True

    def addresses(self) -> set[int]:
        """Where the tensors begin that lie in one piece."""
        return {seen.address for seen in self._seen if seen.tensor.is_contiguous()}


def _version(tensor: Any) -> int:
    return int(tensor._version)  # noqa: SLF001  # torch's count of changes
