"""A parameter without a gradient in some batch ends a run of several processes in one line."""

from __future__ import annotations

import os

import pytest
import seqlab
import torch
from seqlab import HiddenState
from seqlab.errors import ConfigError
from seqlab.training.unused import GradientWatch

from ranks import Ranks
from small_runs import changed, words_spec

TAKEN = "ddp_find_unused_parameters_true"


class Both(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.spare, self.frozen = (
            torch.nn.Parameter(torch.tensor(float(value))) for value in (2, 3, 4)
        )
        self.frozen.requires_grad_(requires_grad=False)


class Nothing(torch.autograd.Function):
    """Reaches its second input, and has no gradient for it."""

    @staticmethod
    def forward(_ctx, x, _):
        return x.clone()

    @staticmethod
    def backward(_ctx, gradient):
        return gradient, None


def test_a_parameter_that_a_backward_pass_does_not_reach_is_named():
    model = Both()
    watch = GradientWatch(model)
    (model.used * model.spare * model.frozen).backward()
    watch.check()
    # gradients that stay from an earlier batch do not count
    model.used.square().backward()
    with pytest.raises(ConfigError, match=rf"^spare: no gradient .*trainer\.strategy={TAKEN}"):
        watch.check()


def test_a_gradient_of_none_counts_as_it_does_for_torch():
    model = Both()
    watch = GradientWatch(model)
    Nothing.apply(model.used, model.spare).backward()
    watch.check()
    assert model.spare.grad is None


def test_a_long_list_of_names_is_cut():
    model = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(4))
    with pytest.raises(ConfigError, match=r"^0\.weight, .*, 2\.weight and 3 more: no gradient"):
        GradientWatch(model).check()


class Spare(seqlab.Cell):
    """Has a parameter that is used in some processes."""

    State = HiddenState

    def __init__(self, input_size, hidden_size, ranks=()):
        super().__init__(input_size, hidden_size)
        self.linear = torch.nn.Linear(input_size, hidden_size)
        self.spare = torch.nn.Parameter(torch.zeros(hidden_size))
        self.used = os.environ.get("LOCAL_RANK") in ranks

    def reset_parameters(self):
        self.linear.reset_parameters()
        torch.nn.init.zeros_(self.spare)

    def initial_state(self, batch_size, *, device=None, dtype=None):
        zeros = torch.zeros(batch_size, self.hidden_size, device=device, dtype=dtype)
        return HiddenState(zeros)

    def step(self, projected, state):
        hidden = torch.tanh(self.linear(projected) + 0.5 * state.hidden)
        hidden = hidden + self.spare if self.used else hidden
        return hidden, HiddenState(hidden)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [(), ("1",)])
def test_two_processes_end_in_a_line(tmp_path, ranks):
    cell = {"name": "spare_of_a_test", "hidden_size": 6, "ranks": ranks}
    spec = changed(
        words_spec(tmp_path), trainer__devices=2, trainer__strategy="ddp", trainer__max_epochs=1,
        encoder__cell=cell,
    )  # fmt: skip
    with pytest.raises(RuntimeError, match=r"ended with") as told:
        Ranks(spec, tmp_path / "run", before=register).end(60)
    assert "ConfigError: encoder.layer.forward_layer.cell.spare, " in str(told.value)
    taken = changed(spec, trainer__strategy=TAKEN)
    Ranks(taken, tmp_path / "taken", before=register).end(60)


def register():
    seqlab.register("cell", "spare_of_a_test")(Spare)
