"""Random data without symmetries: every value differs, so that nothing swapped can hide."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from seqlab.cells.base import map_state
from seqlab.heads.states import leaves
from seqlab.layers.base import Layer

AnyModule = TypeVar("AnyModule", bound=nn.Module)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers from a seed inside the block; the state before it comes back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers of a seed, the same in every dtype up to rounding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def shaken(module: AnyModule, seed: int = 7, scale: float = 0.3) -> AnyModule:
    """The module with random numbers added to every parameter, in place."""
    with torch.no_grad():
        for index, parameter in enumerate(module.parameters()):
            if parameter.is_floating_point():
                noise = normal(*parameter.shape, seed=1000 * seed + index)
                parameter.add_(scale * noise.to(parameter.dtype))
    return module


def padded_mask(lengths: list[int], steps: int) -> Tensor:
    """``[B, T]``: the first ``lengths[b]`` steps are real."""
    return torch.arange(steps) < torch.tensor(lengths).unsqueeze(1)


def holey_mask(batch: int, steps: int, seed: int = 5) -> Tensor:
    """``[B, T]`` with holes; the first row is all real, the second not at all."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(batch, steps, generator=generator) > 0.4
    mask[0] = True
    if batch > 1:
        mask[1] = False
    return mask


def random_state(layer: Any, batch: int, *, seed: int = 3, scale: float = 0.5) -> Any:
    """A state without symmetries, in the structure of ``initial_state``."""
    counter = iter(range(seed * 100, seed * 100 + 1000))

    def fill(zero: Tensor) -> Tensor:
        if not zero.is_floating_point():
            return zero
        return zero + scale * normal(*zero.shape, seed=next(counter), dtype=zero.dtype)

    return map_state(fill, layer.initial_state(batch))


@dataclass(frozen=True)
class Ran:
    """One run of a layer: its output, final state, and the gradients of a weighted sum of both."""

    output: Tensor
    state: Any
    gradients: dict[str, Tensor | None]


def run_with_gradients(
    layer: Layer, x: Tensor, state: Any = None, mask: Tensor | None = None
) -> Ran:
    """Run a layer and differentiate a weighted sum of outputs and final state.

    The gradients are those of ``input`` and of every parameter by name, and of ``state[i]``, the
    tensors of the initial state, when one is given.
    """
    x = x.detach().clone().requires_grad_()
    inputs: dict[str, Tensor] = {"input": x}
    if state is not None:
        state = map_state(_leaf, state)
        parts = enumerate(leaves(state))
        inputs.update({f"state[{i}]": part for i, part in parts if part.requires_grad})
    output, final = layer(x, state, mask=mask)
    inputs.update({name: p for name, p in layer.named_parameters() if p.requires_grad})
    total = weighted_sum([*parts_of(output), *leaves(final)])
    found = torch.autograd.grad(total, list(inputs.values()), allow_unused=True)
    return Ran(output, final, dict(zip(inputs, found, strict=True)))


def parts_of(output: Any) -> list[Tensor]:
    """The tensors of an output: one, or the pair of an unmerged bidirectional layer."""
    return [output] if isinstance(output, Tensor) else list(output)


def _leaf(tensor: Tensor) -> Tensor:
    copy = tensor.detach().clone()
    return copy.requires_grad_() if copy.is_floating_point() else copy


def weighted_sum(tensors: list[Tensor]) -> Tensor:
    """A sum in which every entry has a weight of its own: a scalar in float64."""
    total = torch.zeros((), dtype=torch.float64)
    for index, tensor in enumerate(tensors):
        if tensor.is_floating_point() and tensor.numel():
            weight = normal(*tensor.shape, seed=70 + index)
            total = total + (tensor.double() * weight.to(tensor.device)).sum().cpu()
    return total
