"""The checks of an attention: from queries and a memory to contexts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seqlab.heads.attention import Attention
from seqlab.testing.case import Case
from seqlab.testing.compare import close, require, same_shape
from seqlab.testing.contract import class_table
from seqlab.testing.modules import require_gradients, require_registered
from seqlab.testing.pickling import survives
from seqlab.testing.poolings import STEPS, encoded
from seqlab.testing.result import Numbers, Skip
from seqlab.testing.sample import normal, seeded, shaken


@dataclass(frozen=True)
class AttentionCase(Case):
    """An attention class with its options."""

    kind = "attention"

    def module(self, seed: int = 0) -> Attention:
        """An attention from queries of width 6 to a memory of width 6, in float64."""
        with seeded(seed):
            made: Attention = self.part(6, 6, **self.options)
        return shaken(made, seed=seed + 1).double().eval()


ATTENTION_CHECKS = class_table(Attention, 6, 6)


@ATTENTION_CHECKS.check(gate=True)
def contexts_have_their_size(case: AttentionCase) -> Numbers:
    """Contexts are ``[B, U, output_size]`` and weights ``[B, U, T]``.

    Catches: a wrong ``output_size``, queries and steps swapped.
    """
    attention, given = case.module(), encoded()
    query = normal(4, 3, 6, seed=63)
    context, weights = attention(query, attention.prepare(given.output, given.mask))
    same_shape(context, (4, 3, attention.output_size), "context, by output_size")
    same_shape(weights, (4, 3, STEPS), "weights")
    return {"output_size": attention.output_size}


@ATTENTION_CHECKS.check()
def weights_are_a_mean(case: AttentionCase) -> Numbers:
    """Weights are at least 0, 0 at padded steps, and add up to 1 where a step is real.

    Catches: softmax over padded steps, over queries, or none at all.
    """
    attention, given = case.module(), encoded()
    if attention.output_size == 0:
        raise Skip("it has no context")
    _, weights = attention(normal(4, 3, 6, seed=63), attention.prepare(given.output, given.mask))
    require(bool((weights >= 0).all()), f"a weight is {float(weights.detach().min()):.3g}")
    outside = float(weights.detach().masked_fill(given.mask.unsqueeze(1), 0.0).max())
    require(outside == 0, f"a padded step has the weight {outside:.3g}", weight=outside)
    expected = (given.lengths > 0).double().unsqueeze(1).expand(-1, 3)
    return {"difference": close(weights.sum(-1), expected, "sum of the weights of a query")}


@ATTENTION_CHECKS.check(needs=("weights_are_a_mean",))
def padding_is_ignored(case: AttentionCase) -> Numbers:
    """NaN in the padding and more of it change no context; rows do not mix.

    Catches: masks that are not applied, norms over the batch.
    """
    attention, given, query = case.module(), encoded(), normal(4, 3, 6, seed=63)
    clean, _ = attention(query, attention.prepare(given.output, given.mask))
    wide = torch.cat([given.output, given.output.new_zeros(4, 2, 6)], 1)
    mask = torch.cat([given.mask, given.mask.new_zeros(4, 2)], 1)
    wide = wide.masked_fill(~mask.unsqueeze(-1), float("nan"))
    context, _ = attention(query, attention.prepare(wide, mask))
    alone, _ = attention(query[3:], attention.prepare(given.output[3:, :4], given.mask[3:, :4]))
    return {
        "difference": max(
            close(context, clean, "contexts with NaN in the padding"),
            close(alone, clean[3:], "context of row 3 alone"),
        )
    }


@ATTENTION_CHECKS.check(needs=("contexts_have_their_size",))
def gradients_arrive(case: AttentionCase) -> Numbers:
    """Queries, memory and parameters get gradients.

    Catches: scores cut by ``detach``, parameters that are never used.
    """
    attention, given = case.module(), encoded(lengths=[6, 2, 1, 4])
    if attention.output_size == 0:
        raise Skip("it has no context")
    require_registered(attention)
    query = normal(4, 3, 6, seed=63).requires_grad_()
    memory = given.output.requires_grad_()
    context, _ = attention(query, attention.prepare(memory, given.mask))
    total = (context * normal(*context.shape, seed=64)).sum()
    found = torch.autograd.grad(total, [query, memory, *attention.parameters()], allow_unused=True)
    for name, gradient in zip(("query", "memory"), found[:2], strict=True):
        arrived = gradient is not None and bool(gradient.count_nonzero())
        require(arrived, f"the {name} gets no gradient")
    names = [name for name, _ in attention.named_parameters()]
    return {"parameters": require_gradients(attention, dict(zip(names, found[2:], strict=True)))}


@ATTENTION_CHECKS.check(needs=("contexts_have_their_size",))
def survives_pickling(case: AttentionCase) -> Numbers:
    """Pickled, copied and saved by torch, it gives the same.

    Catches: types and functions made at run time.
    """
    given, query = encoded(), normal(4, 3, 6, seed=63)

    def use(attention: Attention) -> Tensor:
        context: Tensor = attention(query, attention.prepare(given.output, given.mask))[0]
        return context

    return survives(case.part, case.module(), use)
