"""What a function computes, written down as a graph."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from seqlab.engines.traced.recording import ValueAskedError, record


def names(recorded):
    return [str(n.target) for n in recorded.graph.nodes if n.op == "call_function"]


def test_gradients_are_part_of_it_and_what_nobody_needs_is_not():
    def function(x):
        y = x.tanh()
        torch.cos(y)
        return y, *torch.autograd.grad(y.sum(), x)

    recorded = record(function, [torch.ones(3, requires_grad=True)], {})
    assert "aten.tanh_backward.default" in names(recorded)
    assert not [name for name in names(recorded) if "cos" in name or "sum" in name]


def test_a_constant_is_kept_as_it_was_when_it_was_read():
    outside = torch.ones(1)

    def function(x):
        y = x * outside
        outside.add_(1)
        return (y * outside,)

    recorded = record(function, [torch.ones(3)], {})
    assert [float(value) for value in recorded.constants.values()] == [1.0]
    assert "aten.add_.Tensor" in names(recorded)  # so that it can be refused


@pytest.mark.parametrize(
    "asks", [lambda x: float(x.sum()), lambda x: bool((x > 0).all()), lambda x: x[0].item()]
)
def test_a_value_that_depends_on_the_inputs_is_refused(asks):
    with pytest.raises(ValueAskedError, match="asks for the value of an input"):
        record(lambda x: (x * asks(x),), [torch.ones(3)], {})
    assert names(record(lambda x: (x * asks(torch.ones(3)),), [torch.ones(3)], {}))


def test_several_results_are_told_apart():
    recorded = record(lambda x: (x.max(0)[0] * 2,), [torch.ones(3, 2)], {})
    assert "<built-in function getitem>" in names(recorded)


def test_tracing_imports_no_compiler():
    code = (
        "import sys, seqlab; from seqlab.engines.traced.traced_cell import trace\n"
        "for name in ('lstm', 'gru', 'rnn'): "
        "trace(seqlab.get('cell', name)(3, 4), zoneout_masks=False)\n"
        "print([m for m in ('torch._dynamo', 'torch._inductor', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
