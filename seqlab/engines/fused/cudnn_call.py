"""cuDNN's recurrent kernels as one node of autograd's graph.

Torch's own node has no gradients of gradients. This one has those of the reference loop, and costs
no graph of its own inside the graph, as ``OnceDifferentiable`` does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab.engines.double_backward import differentiable
from seqlab.engines.fused.call_form import CallForm

#: The numbers of torch's ``_cudnn_rnn`` for what it computes.
MODES = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}

Repeat = Callable[..., Sequence[Tensor]]
Fields = Sequence[Tensor]


def calls_cudnn(data: Tensor) -> bool:
    """Whether ``call`` may be used: cuDNN takes the input, in its own type.

    Autocast casts the weights where torch's own function is called.
    """
    if data.device.type != "cuda" or torch.version.hip is not None:
        return False
    if torch.is_autocast_enabled("cuda"):
        return False
    return bool(torch.backends.cudnn.is_acceptable(data))  # type: ignore[no-untyped-call]  # torch's own


class Kernel(NamedTuple):
    """What torch's two functions of cuDNN are told besides tensors, in their order."""

    stride: int
    fields: int
    settings: tuple[Any, ...]

    def forward(self, data: Tensor, tensors: Fields) -> tuple[Tensor, ...]:
        """Output and final fields, then two tensors for the gradients."""
        (h, c), weights = self._start(tensors), list(tensors[self.fields :])
        run = torch._cudnn_rnn  # noqa: SLF001  # no other
        output, *rest = run(data, weights, self.stride, self._in_one(weights), h, c, *self.settings)
        return (output, *rest[: self.fields], *rest[2:])

    def _in_one(self, weights: Fields) -> Tensor | None:
        """The weights in one piece of memory; given None, torch copies them one by one."""
        shapes = tuple([weight.shape for weight in weights])
        layout = (self.stride, *self.settings[:4], self.settings[7])
        order = _order(layout, shapes, weights[0].dtype, weights[0].device)
        return None if order is None else torch.cat([weights[i].reshape(-1) for i in order])

    def backward(
        self, inputs: Fields, kept: Fields, grads: Sequence[Tensor | None], mask: list[bool]
    ) -> list[Tensor | None]:
        """Gradients of the input, of the fields, and of the weights if the mask asks for them."""
        data, *tensors = inputs
        output, reserve, buffer = kept
        (h, c), weights = self._start(tensors), tensors[self.fields :]
        d_output, d_h, d_c = (*grads, None)[:3]
        run = torch.ops.aten._cudnn_rnn_backward  # noqa: SLF001  # no other
        d_data, *d_fields, d_weights = run(
            data, weights, self.stride, buffer, h, c, output, d_output, d_h, d_c,
            *self.settings, reserve, mask,
        )  # fmt: skip
        return [d_data, *d_fields[: self.fields], *d_weights]

    def _start(self, tensors: Fields) -> tuple[Tensor, Tensor | None]:
        return tensors[0], tensors[1] if self.fields == 2 else None


def call(
    form: CallForm, sizes: Tensor | None, repeat: Repeat | None, data: Tensor, *tensors: Tensor,
    batch_first: bool,
) -> list[Tensor]:  # fmt: skip
    """The output and the final fields, as torch's function gives them.

    Args:
        form: what is computed; with ``form.train`` gradients are wanted.
        sizes: rows of each step of packed data, on the CPU.
        repeat: the same function of the tensors, by operations that have all derivatives.
        data: ``[B, T, D]``, ``[T, B, D]``, or a packed ``[N, D]``.
        *tensors: the initial state's fields, ``[cells, B, H]``, contiguous, then the weights.
        batch_first: which of the two unpacked layouts it is.
    """
    kernel = _kernel(form, sizes, tensors, batch_first=batch_first)
    if not form.train:
        return list(kernel.forward(data, tensors)[: 1 + form.fields])
    results = CudnnCall.apply(kernel, repeat, data, *tensors)  # type: ignore[no-untyped-call]  # autograd's own
    return list(results)


class CudnnCall(torch.autograd.Function):
    """cuDNN forward and backward; the loop where gradients are differentiated again."""

    @staticmethod
    def forward(
        ctx: Any, kernel: Kernel, repeat: Repeat, data: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """Run the kernel, and keep what its gradients need."""
        *results, reserve, buffer = kernel.forward(data, tensors)
        ctx.save_for_backward(data, *tensors, results[0], reserve, buffer)
        ctx.kernel, ctx.repeat = kernel, repeat
        ctx.set_materialize_grads(False)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """The kernel's gradients, or the loop's where they are to be differentiated."""
        kernel: Kernel = ctx.kernel
        *inputs, output, reserve, buffer = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():
            return (None, None, *differentiable(ctx.repeat, inputs, grads))
        if torch._C._autograd._get_current_graph_task_keep_graph():  # noqa: SLF001  # no other
            reserve = reserve.clone()  # the kernel writes into it
        d_fields, d_weights = needed[1 : 1 + kernel.fields], any(needed[1 + kernel.fields :])
        mask = [needed[0], *(*d_fields, False)[:2], d_weights]
        found = kernel.backward(inputs, (output, reserve, buffer), grads, mask)
        found += [None] * (len(inputs) - len(found))
        return (None, None, *[g if n else None for g, n in zip(found, needed, strict=True)])


@functools.cache
def _order(
    layout: tuple[int, ...], shapes: tuple[torch.Size, ...], dtype: torch.dtype,
    device: torch.device,
) -> list[int] | None:  # fmt: skip
    """How cuDNN orders weights of these shapes in its memory: torch lays out some to see it.

    None where it leaves gaps between them.
    """
    stride, mode, hidden, narrow, levels, both = layout
    laid = [torch.empty(shape, dtype=dtype, device=device) for shape in shapes]
    flatten = torch._cudnn_rnn_flatten_weight  # noqa: SLF001  # no other
    with torch.no_grad():
        sizes = (shapes[0][1], mode, hidden, narrow, levels)
        whole = flatten(laid, stride, *sizes, False, bool(both))  # noqa: FBT003  # as torch orders them
    order = sorted(range(len(laid)), key=lambda i: laid[i].storage_offset())
    place = 0
    for i in order:
        if laid[i].storage_offset() != place:
            return None
        place += laid[i].numel()
    return order if place == whole.numel() else None


def _kernel(form: CallForm, sizes: Tensor | None, tensors: Fields, *, batch_first: bool) -> Kernel:
    width, hidden = tensors[0].shape[-1], tensors[form.fields - 1].shape[-1]
    both = form.directions > 1
    cells = form.levels * form.directions
    settings = (
        MODES[form.kernel], hidden, width if width != hidden else 0, form.levels,
        batch_first and sizes is None, 0.0, form.train, both,
        [] if sizes is None else sizes.tolist(), None,
    )  # fmt: skip
    return Kernel((len(tensors) - form.fields) // cells, form.fields, settings)
