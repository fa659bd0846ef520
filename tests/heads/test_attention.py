from __future__ import annotations

import math

import pytest
import torch
from seqlab.construct import construct
from seqlab.errors import OptionError

MASK = torch.tensor([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]).bool()
SPECS = [
    "dot",
    {"name": "dot", "scaled": True},
    "general",
    "additive",
    {"name": "additive", "size": 2},
]


def build(asymmetric, spec, query_size=3, memory_size=3):
    return asymmetric(construct("attention", spec, query_size, memory_size)).double()


def score_by_hand(spec, attention, query, value):
    name = spec if isinstance(spec, str) else spec["name"]
    if name == "dot":
        return query @ value / (math.sqrt(3) if isinstance(spec, dict) else 1)
    if name == "general":
        return query @ (attention.map.weight @ value)
    mixed = attention.query.weight @ query + attention.query.bias + attention.map.weight @ value
    return attention.vector.weight[0] @ torch.tanh(mixed)


def inputs(query_size=3, memory_size=3):
    query = torch.randn(4, 2, query_size, dtype=torch.float64)
    values = torch.randn(4, 4, memory_size, dtype=torch.float64)
    return query, values


@pytest.mark.parametrize("spec", SPECS)
def test_context_is_the_weighted_sum_over_real_steps(asymmetric, spec):
    attention = build(asymmetric, spec)
    query, values = inputs()
    poisoned = values.masked_fill(~MASK.unsqueeze(-1), float("nan"))
    context, weights = attention(query, attention.prepare(poisoned, MASK))
    assert attention.output_size == context.shape[2] == 3
    for row in range(4):
        real = values[row, MASK[row]]
        assert weights[row, :, ~MASK[row]].eq(0).all()
        for u in range(2):
            if len(real) == 0:
                assert context[row, u].eq(0).all()
                continue
            scores = [score_by_hand(spec, attention, query[row, u], value) for value in real]
            p = torch.stack(scores).softmax(0)
            torch.testing.assert_close(weights[row, u, MASK[row]], p)
            torch.testing.assert_close(context[row, u], p @ real)


@pytest.mark.parametrize("spec", ["general", "additive", {"name": "multi_head", "heads": 2}])
def test_other_widths_and_gradients(asymmetric, spec):
    attention = build(asymmetric, spec, 2, 5)
    query, values = (x.requires_grad_() for x in inputs(2, 5))

    def run(query, values):
        return attention(query, attention.prepare(values, MASK))[0]

    assert torch.autograd.gradcheck(run, (query, values))
    run(query, values).sum().backward()
    assert values.grad[~MASK].eq(0).all()


@pytest.mark.parametrize("spec", ["none", "dot", "general", "additive", "multi_head"])
def test_a_source_without_steps(asymmetric, spec):
    attention = build(asymmetric, spec)
    memory = attention.prepare(torch.zeros(2, 0, 3).double(), torch.zeros(2, 0).bool())
    context, weights = attention(torch.randn(2, 4, 3).double(), memory)
    assert context.shape == (2, 4, attention.output_size)
    assert context.eq(0).all()
    assert weights.shape == (2, 4, 0)


def test_no_attention_has_no_context(asymmetric):
    attention = build(asymmetric, "none")
    memory = attention.prepare(torch.ones(2, 4, 3), MASK[:2])
    context, weights = attention(torch.randn(2, 4, 3), memory)
    assert attention.output_size == 0
    assert context.shape == (2, 4, 0)
    assert weights.eq(0).all()


def test_dot_refuses_other_widths():
    with pytest.raises(OptionError, match=r"one width, got 3 and 4; .* choose attention=general"):
        construct("attention", "dot", 3, 4)


def test_multi_head_equals_one_attention_for_each_head(asymmetric):
    spec = {"name": "multi_head", "heads": 2, "size": 4}
    attention = build(asymmetric, spec, 3, 5)
    query, values = inputs(3, 5)
    context, weights = attention(query, attention.prepare(values, MASK))
    assert attention.output_size == 5
    for row in range(4):
        real = values[row, MASK[row]]
        for u in range(2):
            if not len(real):
                assert context[row, u].eq(0).all()
                continue
            heads, looks = [], []
            for part in (slice(0, 2), slice(2, 4)):
                q = attention.query.weight[part] @ query[row, u]
                keys, found = (
                    real @ attention.map.weight[part].T,
                    real @ attention.value.weight[part].T,
                )
                looks.append((keys @ q / math.sqrt(2)).softmax(0))
                heads.append(looks[-1] @ found)
            torch.testing.assert_close(context[row, u], attention.output.weight @ torch.cat(heads))
            torch.testing.assert_close(weights[row, u, MASK[row]], (looks[0] + looks[1]) / 2)


def test_multi_head_equals_torch():
    ours = construct("attention", {"name": "multi_head", "heads": 3}, 6, 6).double()
    theirs = torch.nn.MultiheadAttention(6, 3, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        parts = [ours.query.weight, ours.map.weight, ours.value.weight]
        theirs.in_proj_weight.copy_(torch.cat(parts))
        theirs.out_proj.weight.copy_(ours.output.weight)
    query, values = inputs(6, 6)
    context, weights = ours(query, ours.prepare(values, MASK))
    real = MASK.any(1)
    expected = theirs(query, values, values, key_padding_mask=~MASK)
    torch.testing.assert_close(context[real], expected[0][real])
    torch.testing.assert_close(weights[real], expected[1][real])


def test_multi_head_refuses_a_width_that_heads_cannot_share():
    with pytest.raises(OptionError, match="width 5 cannot be shared by 2 heads"):
        construct("attention", {"name": "multi_head", "heads": 2, "size": 5}, 4, 4)
    assert construct("attention", {"name": "multi_head", "heads": 4}, 6, 6).map.out_features == 8
