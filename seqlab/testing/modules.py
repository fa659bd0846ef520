"""Checks of any module with parameters: registration, state dict, copies, gradients."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from seqlab.cells.gated import GatedCell
from seqlab.testing.compare import require
from seqlab.testing.result import Failure


def unregistered(module: nn.Module) -> Iterator[str]:
    """Tensors and modules that a module holds where torch does not see them.

    Yields:
        ``attribute`` or ``attribute[key]`` with what stands there.
    """
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            where = f"{path}.{name}" if path else name
            yield from _hidden(value, where, depth=0)


def _hidden(value: Any, where: str, depth: int) -> Iterator[str]:
    if isinstance(value, Tensor):
        yield f"{where} (a tensor {list(value.shape)})"
    elif isinstance(value, nn.Module):
        yield f"{where} (a {type(value).__name__})"
    elif depth < 3 and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _hidden(item, f"{where}[{key!r}]", depth + 1)
    elif depth < 3 and isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _hidden(item, f"{where}[{index}]", depth + 1)


def require_registered(module: nn.Module) -> None:
    """Fail if a tensor or module is held where ``state_dict`` and ``to`` do not see it."""
    found = list(unregistered(module))
    require(
        not found,
        f"{len(found)} held outside of parameters, buffers and modules: {', '.join(found[:3])}; "
        "it would be missing from the state dict and stay on its device",
        hidden=len(found),
    )


def require_gradients(module: nn.Module, gradients: Mapping[str, Tensor | None]) -> int:
    """Fail if a parameter got no gradient or only zeros; the number of parameters."""
    names = [name for name, p in module.named_parameters() if p.requires_grad]
    for name in names:
        gradient = gradients.get(name)
        require(gradient is not None, f"parameter '{name}' gets no gradient (None)")
        if gradient is not None and not bool(gradient.count_nonzero()):
            raise Failure(
                f"parameter '{name}' {list(gradient.shape)} gets a gradient of zeros only: "
                f"0 of {gradient.numel()} entries differ from 0",
                nonzero=0,
            )
        finite = gradient is None or bool(torch.isfinite(gradient).all())
        require(finite, f"parameter '{name}' gets a gradient that is not finite")
    return len(names)


def require_gate_gradients(cell: GatedCell, gradients: Mapping[str, Tensor | None]) -> None:
    """Fail if the rows of one gate get no gradient in a weight that holds all gates."""
    for name, gates in (("weight_ih", cell.input_gates), ("weight_hh", cell.recurrent_gates)):
        gradient = gradients.get(name)
        if gradient is None or not gates:
            continue
        for gate, rows in zip(gates, gradient.chunk(len(gates)), strict=True):
            require(
                bool(rows.count_nonzero()),
                f"gate '{gate}' is declared and has no part in the result: 0 of {rows.numel()} "
                f"entries of its rows of '{name}' get a gradient",
                nonzero=0,
            )


def through_safetensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's state dict, written and read again as safetensors.

    Raises:
        Failure: an entry is no tensor, or two share memory.
    """
    state = module.state_dict()
    for name, value in state.items():
        kind = type(value).__name__
        require(isinstance(value, Tensor), f"state dict entry '{name}' is a {kind}, not a tensor")
    plain = {name: value.contiguous() for name, value in state.items()}
    return load_tensors(save_tensors(plain))


def load_strictly(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state dict; a missing or unexpected key fails."""
    try:
        module.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        text = " ".join(str(error).split())
        raise Failure(f"the state dict of one instance does not fit another: {text}") from error


def _memory(module: nn.Module) -> dict[int, str]:
    """Where parameters and buffers lie, with their names; tensors without entries lie nowhere."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {t.untyped_storage().data_ptr(): name for name, t in named if t.numel()}


def require_independent_copy(module: nn.Module) -> nn.Module:
    """A deep copy, which must share no memory with the module."""
    twin = copy.deepcopy(module)
    mine, theirs = _memory(module), _memory(twin)
    shared = [name for place, name in mine.items() if place in theirs]
    require(
        not shared,
        f"a deep copy shares the memory of {', '.join(shared[:3])} with the original",
        shared=len(shared),
    )
    return twin
