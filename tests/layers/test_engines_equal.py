"""Every engine equals the loop: outputs, states and gradients, with masks of any form."""

from __future__ import annotations

import pytest
import seqlab
import torch

MAKERS = {"rnn": seqlab.RNN, "lstm": seqlab.LSTM, "gru": seqlab.GRU}


def masks(batch: int, steps: int) -> dict[str, torch.Tensor | None]:
    holes = torch.rand(batch, steps) > 0.4
    holes[0] = True
    holes[1] = False
    padded = torch.arange(steps) < torch.tensor([steps, 0, 1, steps // 2][:batch]).unsqueeze(1)
    return {"none": None, "padded": padded, "holes": holes}


def run(layer, x, state, mask):
    x = x.clone().requires_grad_()
    output, final = layer(x, state, mask=mask)
    weight = torch.linspace(-1, 2, output.numel(), dtype=x.dtype).view_as(output)
    loss = (output * weight).sum() + sum((part * 1.7).sum() for part in final)
    inputs = [x, *layer.parameters()]
    return output, final, torch.autograd.grad(loss, inputs, allow_unused=True)


@pytest.mark.parametrize("kind", ["none", "padded", "holes"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("name", MAKERS)
def test_fused_equals_loop(name, use_bias, reverse, kind, asymmetric):
    options = {"reverse": reverse, "use_bias": use_bias}
    loop = asymmetric(MAKERS[name](5, 7, engine="loop", **options)).double()
    fused = MAKERS[name](5, 7, engine="fused", **options).double()
    fused.load_state_dict(loop.state_dict())
    x = torch.randn(4, 9, 5, dtype=torch.float64)
    state = tuple(torch.randn(4, 7, dtype=torch.float64) for _ in loop.initial_state(4))
    mask = masks(4, 9)[kind]
    a, b = run(loop, x, state, mask), run(fused, x, state, mask)
    torch.testing.assert_close(b[0], a[0])
    torch.testing.assert_close(tuple(b[1]), tuple(a[1]))
    for ours, reference in zip(b[2], a[2], strict=True):
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("engine", ["loop", "fused"])
@pytest.mark.parametrize("name", MAKERS)
def test_a_masked_step_changes_nothing(name, engine, asymmetric):
    layer = asymmetric(MAKERS[name](3, 4, engine=engine))
    x = torch.randn(2, 6, 3)
    mask = torch.tensor([[True, False, True, True, False, True], [False] * 6])
    output, state = layer(x, mask=mask)
    short, short_state = layer(x[:1, mask[0]])
    torch.testing.assert_close(output[:1, mask[0]], short)
    assert (output[~mask] == 0).all()
    for part, expected in zip(state, short_state, strict=True):
        torch.testing.assert_close(part[:1], expected)
        assert (part[1] == 0).all()


@pytest.mark.parametrize("engine", ["loop", "fused"])
@pytest.mark.parametrize("reverse", [False, True])
def test_nan_in_the_padding_reaches_nothing(engine, reverse, asymmetric):
    layer = asymmetric(seqlab.LSTM(3, 4, engine=engine, reverse=reverse))
    clean, dirty = torch.randn(2, 5, 3), None
    mask = torch.tensor([[True, True, False, True, False], [True] * 5])
    dirty = clean.masked_fill(~mask.unsqueeze(-1), float("nan"))
    results = [run(layer, x, None, mask) for x in (clean, dirty)]
    torch.testing.assert_close(results[1][0], results[0][0], rtol=0, atol=0)
    for ours, reference in zip(results[1][2][1:], results[0][2][1:], strict=True):
        torch.testing.assert_close(ours, reference, rtol=0, atol=0)


@pytest.mark.parametrize("engine", ["loop", "fused"])
@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 4, 3), (1, 1, 3)])
def test_small_shapes(engine, shape):
    layer = seqlab.Bidirectional(seqlab.LSTM(3, 4, engine=engine))
    output, state = layer(torch.randn(shape), lengths=torch.full((shape[0],), shape[1]))
    assert output.shape == (*shape[:2], 8)
    assert state.forward.cell.shape == (shape[0], 4)


def test_carry_repeats_the_last_output():
    for reverse in (False, True):
        zeros = seqlab.GRU(2, 3, reverse=reverse)
        carry = seqlab.GRU(2, 3, reverse=reverse, masked_output="carry")
        carry.load_state_dict(zeros.state_dict())
        x = torch.randn(1, 5, 2)
        mask = torch.tensor([[False, True, False, True, False]])
        plain, carried = zeros(x, mask=mask)[0][0], carry(x, mask=mask)[0][0]
        source = [1, 1, 3, 3, None] if reverse else [None, 1, 1, 3, 3]
        for t, s in enumerate(source):
            expected = torch.zeros(3) if s is None else plain[s]
            torch.testing.assert_close(carried[t], expected)


def test_the_planner_says_why():
    plan = seqlab.LSTM(3, 4, recurrent_dropout=0.5).explain(torch.zeros(1, 2, 3))
    assert plan.engine.name == "loop"
    assert "recurrent_dropout" in plan.refused["fused"]
    assert seqlab.LSTM(3, 4).explain(torch.zeros(1, 2, 3)).engine.name == "fused"
    with pytest.raises(seqlab.errors.EngineError, match=r"cannot run cell 'lstm': .*layer_norm"):
        seqlab.LSTM(3, 4, layer_norm=True, engine="fused")(torch.zeros(1, 2, 3))
