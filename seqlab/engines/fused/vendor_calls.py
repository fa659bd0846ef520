"""Calls of torch's recurrent kernels: levels of cells over whole, padded or packed sequences.

A call is a function of tensors alone: the input ``[B, T, D]``, the initial state's fields, each
``[N, B, H]`` for all N cells together, and the weights of the cells one after the other, from the
lowest level up and forward before backward within a level. It returns the output and the final
fields.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlab.engines.double_backward import OnceDifferentiable
from seqlab.engines.fused import cudnn_call
from seqlab.engines.fused.call_form import CallForm
from seqlab.engines.fused.cudnn_call import calls_cudnn
from seqlab.engines.fused.packing import RealSteps, packing_of

#: What a masked step adds inside the gates, times ``SATURATED``, so that it keeps the cell's
#: memory and, where that is zero, shows zero.
HOLDING = {"lstm": (-1.0, 1.0, 0.0, 0.0), "gru": (0.0, 1.0, 0.0)}
#: Its sigmoid is exactly 1 in every type, and it is finite in float16.
SATURATED = 1e4
Fields = Sequence[Tensor]
#: A mask ``[B, T]`` or None, the input ``[B, T, D]``, fields and weights -> output and fields.
Again = Callable[..., Sequence[Tensor]]


def run_whole(
    form: CallForm, x_BTD: Tensor, start: Fields, weights: Fields, *, reverse: bool,
    again: Again | None = None,
) -> list[Tensor]:  # fmt: skip
    """No masked step: one call on the tensor as it is.

    ``again`` is the same by the reference loop, for a kernel without gradients of gradients.
    """
    source = x_BTD.flip(1) if reverse else x_BTD
    repeat = None if again is None else functools.partial(again, None)
    output, *final = _call(form, source, start, weights, repeat=repeat)
    return [output.flip(1) if reverse else output, *final]


def run_packed(
    form: CallForm, x_BTD: Tensor, start: Fields, weights: Fields, real: RealSteps, *,
    reverse: bool, again: Again | None = None,
) -> list[Tensor]:  # fmt: skip
    """Real steps moved together in running order, run packed in one call, and moved back.

    Rows without a real step end as they began.
    """
    if not real.most:
        # a kernel runs one step at least; nothing of it is shown
        first = torch.zeros_like(real.mask)
        first[:1, :1] = True
        counts = [1] + [0] * (len(first) - 1)
        some = RealSteps(first, first.sum(1), counts)
        output, *final = run_packed(
            form, x_BTD, start, weights, some, reverse=reverse, again=again
        )  # fmt: skip
        return [output.masked_fill(first.unsqueeze(-1), 0.0), *_keep_empty(real, start, final)]
    sizes, into, places = packing_of(real, reverse=reverse)
    batch, steps = x_BTD.shape[:2]
    started = [field.index_select(1, into) for field in start]
    repeat = None if again is None else functools.partial(_packed, again, sizes)
    data = x_BTD.flatten(0, 1).index_select(0, places)
    data, *final = _call(form, data, started, weights, sizes, repeat=repeat)
    output = data.new_zeros(batch * steps, data.shape[1]).index_copy(0, places, data)
    final = [
        before.to(after.dtype).index_copy(1, into, after)
        for before, after in zip(start, final, strict=True)
    ]
    return [output.view(batch, steps, -1), *final]


def run_padded(
    form: CallForm, x_BTD: Tensor, start: Fields, weights: Fields, real: RealSteps, *,
    reverse: bool,
) -> list[Tensor]:  # fmt: skip
    """Real steps moved together, padding run too and without effect: one call for each level.

    On a CPU packing mostly costs more than it saves, because there the kernels run each packed
    step by itself. With two directions the initial state must be zero (see ``pads``).
    """
    mask, lengths, _ = real
    steps = max(1, real.most)
    value, order = _aligned(x_BTD, mask, steps, reverse=reverse)
    masked = (torch.arange(steps, device=mask.device).unsqueeze(1) >= lengths).unsqueeze(-1)
    last = (lengths - 1).clamp_min(0)
    finals: list[list[Tensor]] = []
    for level, part in enumerate(_split(weights, form.levels)):
        chosen = slice(level * form.directions, (level + 1) * form.directions)
        before = [field[chosen] for field in start]
        value, *after = _held(form._replace(levels=1), value, before, part, masked)
        # forward in time the last real output is the final hidden state
        width = after[0].shape[-1]
        hidden = value[last, torch.arange(len(last), device=last.device), :width]
        after[0] = torch.cat([hidden.unsqueeze(0), after[0][1:]])
        finals.append(after)
    final = [torch.cat(parts) for parts in zip(*finals, strict=True)]
    output = _realigned(value, order, x_BTD.shape[1])
    output = output.masked_fill(~mask.unsqueeze(-1), 0.0)
    return [output, *_keep_empty(real, start, final)]


def run_even(
    form: CallForm, x_BTD: Tensor, start: Fields, weights: Fields, real: RealSteps, *,
    reverse: bool,
) -> list[Tensor]:  # fmt: skip
    """As many real steps in all rows, moved together: one call, in which nothing is masked."""
    value, order = _aligned(x_BTD, real.mask, real.most, reverse=reverse)
    output, *final = _call(form, value, start, weights, batch_first=False)
    output = _realigned(output, order, x_BTD.shape[1])
    if order is not None:
        output = output.masked_fill(~real.mask.unsqueeze(-1), 0.0)
    return [output, *final]


def pads(kernel: str, directions: int, *, at_rest: bool) -> bool:
    """Whether ``run_padded`` is right: always, or where the initial state is zero.

    Against the order of a padded row the masked steps come first, and must keep the initial
    state. Gates can hold a memory, but an output only at zero; a plain RNN has no gates, and with
    ``relu`` it may grow without bound in the padding.
    """
    if directions == 1:
        return kernel != "rnn_relu"
    return kernel in HOLDING and at_rest


def running_order(mask: Tensor, *, reverse: bool) -> Tensor:
    """``[B, T]`` time indices: each row's real steps in running order, then the masked ones."""
    steps = mask.shape[1]
    times = torch.arange(steps, device=mask.device)
    rank = times.flip(0) if reverse else times
    return torch.where(mask, rank, rank + steps).argsort(1)


def rows(value_BTE: Tensor, order: Tensor) -> Tensor:
    """``value[b, order[b, t]]``; far faster than ``gather``, forward and backward."""
    batch, steps = value_BTE.shape[:2]
    first = torch.arange(batch, device=order.device).unsqueeze(1) * steps
    chosen = value_BTE.flatten(0, 1).index_select(0, (first + order).flatten())
    return chosen.view(*order.shape, -1)


def _aligned(
    x_BTD: Tensor, mask: Tensor, steps: int, *, reverse: bool
) -> tuple[Tensor, Tensor | None]:
    """Time-major, real steps first; and the order of the steps, None if it is as it was."""
    padded_right = not reverse and not bool((mask[:, 1:] & ~mask[:, :-1]).any())
    if padded_right:
        return x_BTD[:, :steps].transpose(0, 1), None
    order = running_order(mask, reverse=reverse)
    return rows(x_BTD, order[:, :steps]).transpose(0, 1), order


def _realigned(value_TBE: Tensor, order: Tensor | None, steps: int) -> Tensor:
    """Batch-major again, each step at its own time; masked steps hold anything."""
    value = value_TBE.transpose(0, 1)
    if order is None:
        missing = steps - value.shape[1]
        return F.pad(value, (0, 0, 0, missing)) if missing else value
    return rows(value, order.argsort(1).clamp_max(value.shape[1] - 1))


def _held(
    form: CallForm, value_TBD: Tensor, start: Fields, weights: Fields, masked: Tensor
) -> list[Tensor]:
    """One level, where one more input feature makes the gates of masked steps hold the memory."""
    held = form.kernel == "lstm" or form.directions == 2
    if held:
        value_TBD = torch.cat([value_TBD, masked.to(value_TBD.dtype)], -1)
        cells = [list(part) for part in _split(weights, form.directions)]
        for part in cells:
            gates = part[0].new_tensor(HOLDING[form.kernel]).mul_(SATURATED)
            column = gates.repeat_interleave(part[0].shape[0] // len(gates)).unsqueeze(1)
            part[0] = torch.cat([part[0], column], 1)
        weights = [weight for part in cells for weight in part]
    return _call(form, value_TBD, start, weights, batch_first=False)


def _packed(again: Again, sizes: Tensor, data: Tensor, *rest: Tensor) -> Sequence[Tensor]:
    """What ``again`` computes, of packed rows: they are padded for it, and packed again."""
    real = torch.arange(int(sizes[0]), device=sizes.device) < sizes.unsqueeze(1)
    places = real.flatten().nonzero().squeeze(1).to(data.device)
    padded = data.new_zeros(real.numel(), data.shape[1]).index_copy(0, places, data)
    mask = real.T.to(data.device)
    output, *finals = again(mask, padded.view(*real.shape, -1).transpose(0, 1), *rest)
    return (output.transpose(0, 1).flatten(0, 1)[places], *finals)


def _split(weights: Fields, parts: int) -> Iterator[Fields]:
    size = len(weights) // parts
    return (weights[i * size : (i + 1) * size] for i in range(parts))


def _keep_empty(real: RealSteps, start: Fields, final: Fields) -> list[Tensor]:
    """Rows without a real step end as they began."""
    if 0 not in real.counts:
        return list(final)
    empty = (real.lengths == 0).unsqueeze(1)
    return [torch.where(empty, s.to(f.dtype), f) for s, f in zip(start, final, strict=True)]


def _call(
    form: CallForm,
    data: Tensor,
    start: Fields,
    weights: Fields,
    sizes: Tensor | None = None,
    *,
    batch_first: bool = True,
    repeat: Again | None = None,
) -> list[Tensor]:
    """One call of torch's kernel, without its dropout."""
    hidden = [
        (field if field.dtype == data.dtype else field.to(data.dtype)).contiguous()
        for field in start
    ]
    if calls_cudnn(data):
        return cudnn_call.call(
            form, sizes, repeat, data, *hidden, *weights, batch_first=batch_first
        )
    if repeat is None:
        return _by_torch(form, sizes, data, *hidden, *weights, batch_first=batch_first)
    kernel = functools.partial(_by_torch, form, sizes, batch_first=batch_first)
    results = OnceDifferentiable.apply(kernel, repeat, data, *hidden, *weights)  # type: ignore[no-untyped-call]  # autograd's own
    return list(results)


def _by_torch(
    form: CallForm, sizes: Tensor | None, data: Tensor, *rest: Tensor, batch_first: bool
) -> list[Tensor]:
    """One call of torch's public function."""
    function: Any = getattr(torch, form.kernel)
    hidden: Any = rest[0] if form.fields == 1 else rest[: form.fields]
    weights = rest[form.fields :]
    tail = (form.biased, form.levels, 0.0, form.train, form.directions == 2)
    if sizes is None:
        arguments: tuple[Any, ...] = (data, hidden, list(weights), *tail, batch_first)
    else:
        arguments = (data, sizes, hidden, list(weights), *tail)
    if data.device.type == "cpu":
        return list(function(*arguments))
    with warnings.catch_warnings():
        # cuDNN copies weights that do not lie in one piece; ours are separate parameters
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single")
        return list(function(*arguments))
