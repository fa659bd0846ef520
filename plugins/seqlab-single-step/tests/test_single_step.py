from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.testing import parametrize_with_checks
from seqlab_single_step import SingleStepEngine

MAKERS = {"rnn": seqlab.RNN, "lstm": seqlab.LSTM, "gru": seqlab.GRU}


@parametrize_with_checks(["engine=single_step"])
def test_conforms(check):
    check()


@pytest.mark.parametrize("name", MAKERS)
def test_auto_takes_it_for_one_step_and_no_more(name):
    layer = MAKERS[name](3, 4)
    plan = layer.explain(torch.zeros(2, 1, 3))
    assert isinstance(plan.engine, SingleStepEngine)
    assert plan.refused["fused"].startswith("a call is expected to take")
    longer = layer.explain(torch.zeros(2, 9, 3))
    assert longer.engine.name == "fused"
    assert longer.refused["single_step"].startswith("a call is expected to take")


@pytest.mark.parametrize("steps", [1, 6])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("name", MAKERS)
def test_its_numbers_and_gradients_are_the_loop_s(name, use_bias, steps):
    layer = MAKERS[name](3, 4, engine="single_step", use_bias=use_bias).double()
    x = torch.randn(4, steps, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([steps, 0, 1, steps])
    results = []
    for engine in ("single_step", "loop"):
        layer.engine = engine
        output, state = layer(x, lengths=lengths)
        loss = output.square().sum() + sum(part.sin().sum() for part in state)
        results.append([output, *state, *torch.autograd.grad(loss, [x, *layer.parameters()])])
    torch.testing.assert_close(*results)


def test_streaming_goes_through_it():
    layer = seqlab.LSTM(3, 4).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    running = seqlab.stream(layer)
    steps = torch.stack([running.step(x[:, t])[0] for t in range(5)], 1)
    torch.testing.assert_close(steps, layer(x)[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [({"layer_norm": True}, "no layer_norm"), ({"proj_size": 2}, "no proj_size")],
)
def test_what_it_does_not_compute_it_refuses(options, words):
    layer = seqlab.LSTM(3, 4, engine="single_step", **options)
    with pytest.raises(seqlab.errors.EngineError, match=words):
        layer(torch.zeros(2, 1, 3))
