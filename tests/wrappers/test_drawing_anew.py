"""``fresh()`` draws every parameter anew, wherever it stands, or says that it cannot."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.cells.base import HiddenState
from seqlab.errors import OptionError
from torch import nn


class Scaled(seqlab.Around):
    """A layer whose output passes through whatever module it is given."""

    def __init__(self, layer, part):
        super().__init__(layer)
        self.part = part

    def combine(self, x, output):  # noqa: ARG002  # the contract's signature
        return output


class Deep(nn.Module):
    """A module of one's own without ``reset_parameters``."""

    def __init__(self):
        super().__init__()
        self.inner = nn.ModuleDict({"a": nn.Sequential(nn.Linear(4, 4), nn.ReLU())})


class Bare(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.table = nn.Parameter(value)


PARTS = {
    "linear": lambda: nn.Linear(4, 4),
    "sequential": lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Conv1d(4, 4, 1))),
    "list": lambda: nn.ModuleList([nn.ModuleList([nn.Linear(4, 4)])]),
    "own module": Deep,
    "attention": lambda: nn.MultiheadAttention(4, 2),
    "transformer": lambda: nn.TransformerEncoderLayer(4, 2, 8),
    "layer": lambda: nn.Sequential(seqlab.GRU(4, 4)),
    "cell": lambda: nn.Sequential(seqlab.get("cell", "lstm")(4, 4)),
}


@pytest.mark.parametrize("name", PARTS)
def test_every_random_parameter_of_a_fresh_layer_is_new(name):
    layer = Scaled(seqlab.GRU(4, 4), PARTS[name]())
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    twin = layer.fresh().state_dict()
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())
    random = [key for key, value in before.items() if value.unique().numel() > 2]
    assert random
    assert [key for key in random if torch.equal(twin[key], before[key])] == []


@pytest.mark.parametrize("name", PARTS)
def test_both_directions_start_apart(name):
    layer = seqlab.Bidirectional(Scaled(seqlab.GRU(4, 4), PARTS[name]()))
    forward = dict(layer.forward_layer.named_parameters())
    for key, value in layer.backward_layer.named_parameters():
        assert value.unique().numel() <= 2 or not torch.equal(value, forward[key])


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (lambda: Bare(torch.randn(4)), r"Scaled: nothing draws the parameter Bare\.table anew"),
        (lambda: nn.Sequential(Bare(torch.randn(4))), r"parameter Bare\.table anew"),
        (lambda: nn.ParameterList([torch.randn(4)]), r"parameter ParameterList\.0 anew"),
    ],
)
def test_a_parameter_that_nothing_draws_is_named(part, message):
    with pytest.raises(OptionError, match=message + r".*write Scaled\.reset_parameters"):
        seqlab.Bidirectional(Scaled(seqlab.GRU(4, 4), part()))


def test_a_parameter_of_the_layer_itself_is_drawn_by_its_own_method():
    class Silent(Scaled):
        def __init__(self, layer):
            super().__init__(layer, nn.Identity())
            self.scale = nn.Parameter(torch.rand(4))

    with pytest.raises(OptionError, match=r"parameter scale anew.*write Silent\.reset_parameters"):
        Silent(seqlab.GRU(4, 4)).fresh()

    class Drawing(Silent):
        def reset_parameters(self):
            super().reset_parameters()
            nn.init.uniform_(self.scale)

    layer = Drawing(seqlab.GRU(4, 4))
    assert not torch.equal(layer.fresh().scale, layer.scale)


def test_parameters_that_start_at_one_value_need_no_method():
    layer = Scaled(seqlab.GRU(4, 4), Bare(torch.zeros(4)))
    assert torch.equal(layer.fresh().part.table, torch.zeros(4))


class WithModules(seqlab.Cell):
    """A cell of modules that draws nothing itself."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.both = nn.Sequential(nn.Linear(input_size + hidden_size, hidden_size), nn.Tanh())
        nn.init.orthogonal_(self.both[0].weight)

    def step(self, projected_t, state, noise=None):  # noqa: ARG002  # the contract's signature
        hidden = self.both(torch.cat([projected_t, state.hidden], -1))
        return hidden, HiddenState(hidden)


def test_modules_of_a_plain_cell_are_drawn_anew_and_only_when_asked():
    cell = WithModules(3, 4)
    weight = cell.both[0].weight.detach().clone()
    torch.testing.assert_close(weight @ weight.T, torch.eye(4))  # as its author filled it
    twin = seqlab.Recurrent(cell).fresh().cell
    assert not torch.equal(twin.both[0].weight, weight)
