"""How a cell is put together: options in any order, weights drawn once, nothing read too early."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import seqlab
import torch
from seqlab.cells.base import Cell, HiddenState
from seqlab.cells.linear import GatedLinearCell
from seqlab.errors import OptionError, SeqlabError
from torch import Tensor, nn

from sampled_cells import CELLS


class Leaky(seqlab.GatedCell):
    """Everything that a cell declares, set after ``super().__init__()``."""

    def __init__(self, input_size, hidden_size, *, leak: float = 0.5, second: bool = False, **rest):
        super().__init__(input_size, hidden_size, **rest)
        self.leak = leak
        self.gates = ("update", "candidate")
        self.second_gates = ("candidate",) if second else ()
        self.recurrent_bias_gates = second
        self.vectors = {"keep_bias": "ones"}
        self.default_unit_forget_bias = False

    def second_input(self, x, h, state):
        return state.hidden * self.recurrent_activation(x.update + h.update)

    def update(self, x, h, state):
        z = self.recurrent_activation(x.update + h.update + self.keep_bias)
        n = self.activation(x.candidate + h.candidate)
        hidden = z * state.hidden + self.leak * (1 - z) * n
        return hidden, HiddenState(hidden)


@pytest.fixture
def nan_in_new_memory():
    """``torch.empty`` gives NaN, so whoever reads it before it is filled is found out."""
    before = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = True
    torch.use_deterministic_algorithms(mode=True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(mode=False)
    torch.utils.deterministic.fill_uninitialized_memory = before


@pytest.mark.parametrize("second", [False, True])
def test_what_is_set_after_the_base_counts_as_what_is_set_before(second):
    class Before(Leaky):
        def __init__(self, input_size, hidden_size, **rest):
            self.leak = 0.5
            self.gates = ("update", "candidate")
            self.second_gates = ("candidate",) if second else ()
            self.recurrent_bias_gates = second
            self.vectors = {"keep_bias": "ones"}
            seqlab.GatedCell.__init__(self, input_size, hidden_size, **rest)

    torch.manual_seed(3)
    after = Leaky(3, 4, second=second, zoneout={"hidden": 0.1})
    torch.manual_seed(3)
    before = Before(3, 4, zoneout={"hidden": 0.1})
    assert list(after.state_dict()) == list(before.state_dict())
    assert (after.recurrent_bias is not None) == second
    for name, value in after.state_dict().items():
        assert torch.equal(value, before.state_dict()[name]), name
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(
        seqlab.Recurrent(after.eval())(x)[0], seqlab.Recurrent(before.eval())(x)[0]
    )


def test_chrono_asks_a_cell_whose_attributes_are_all_there(nan_in_new_memory):
    cell = Leaky(3, 4, chrono=20)
    kept = cell.gate_rows(cell.bias, "update")
    assert (kept >= 0).all()
    assert (kept.exp() <= 19).all()


def test_chrono_asks_a_cell_whose_parameters_are_all_filled(nan_in_new_memory):
    class Scaled(Leaky):
        def __init__(self, input_size, hidden_size, **rest):
            super().__init__(input_size, hidden_size, **rest)
            self.scale = nn.Parameter(torch.empty(hidden_size))

        def reset_parameters(self):
            super().reset_parameters()
            nn.init.constant_(self.scale, 2.0)

        def update(self, x, h, state):
            hidden, _ = super().update(x, h, HiddenState(state.hidden * self.scale))
            return hidden, HiddenState(hidden)

    for cell in (Scaled(3, 4, chrono=20), seqlab.LSTM(3, 4, peepholes=True, chrono=20).cell):
        assert all(p.isfinite().all() for p in cell.parameters())
        first = cell.bias.detach().clone()
        cell.reset_parameters()
        assert cell.bias.isfinite().all()
        assert not torch.equal(first, cell.bias)  # the time scale is drawn anew, too


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("width", [5, 3])
def test_new_cells_and_fresh_layers_are_filled(name, width, nan_in_new_memory):
    layer = seqlab.Recurrent(seqlab.get("cell", name)(width, 5), engine="loop")
    for made in (layer, layer.fresh()):
        assert all(p.isfinite().all() for p in made.parameters())
        output, _ = made(torch.ones(2, 3, width))
        output.sum().backward()
        assert output.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in made.parameters())


@pytest.mark.parametrize("name", CELLS)
def test_weights_are_drawn_once(name, monkeypatch):
    cell = seqlab.get("cell", name)
    drawn = []
    original = cell.reset_parameters

    def counted(self):
        drawn.append([key for key, _ in self.named_parameters()])
        original(self)

    monkeypatch.setattr(cell, "reset_parameters", counted)
    made = cell(3, 5)
    assert drawn == [[key for key, _ in made.named_parameters()]]


def test_a_subclass_draws_its_own_parameters_without_a_guard():
    class Wide(GatedLinearCell):
        def __init__(self, input_size, hidden_size, **options):
            super().__init__(input_size, hidden_size, **options)
            self.gates = ("forget", "candidate")
            self.extra = nn.Parameter(torch.empty(hidden_size))

        def reset_parameters(self):
            super().reset_parameters()
            nn.init.ones_(self.extra)

        def coefficients(self, x_BTD):
            f, n = self.gate(x_BTD, "forget", "candidate")
            return torch.sigmoid(f), self.extra * n

    cell = Wide(3, 4)
    assert (cell.extra == 1).all()
    assert cell.weight.shape == (8, 3)


def test_a_parameter_asked_for_in_init_is_named_with_the_way_out():
    class Impatient(Leaky):
        def __init__(self, input_size, hidden_size, **rest):
            super().__init__(input_size, hidden_size, **rest)
            self.weight_ih.data.mul_(2)

    with pytest.raises(AttributeError, match=r"weight_ih, which is made after it; .*reset_param"):
        Impatient(3, 4)

    class Typo(Leaky):
        def __init__(self, input_size, hidden_size, **rest):
            super().__init__(input_size, hidden_size, **rest)
            self.wieght_ih.data.mul_(2)

    with pytest.raises(AttributeError, match="no attribute 'wieght_ih'"):
        Typo(3, 4)


def test_no_bias_may_be_the_default_of_a_cell():
    class Bare(Leaky):
        def __init__(self, input_size, hidden_size, *, use_bias: bool = False, **rest):
            super().__init__(input_size, hidden_size, use_bias=use_bias, **rest)

    assert Bare(3, 4).bias is None
    assert Bare(3, 4, use_bias=True).bias.shape == (8,)
    with pytest.raises(OptionError, match=r"chrono .* contradicts use_bias=False"):
        Bare(3, 4, chrono=9)


class Two(NamedTuple):
    hidden: Tensor
    memory: Tensor


def gated(returns, state=HiddenState):
    class Careless(seqlab.GatedCell):
        gates = ("candidate",)
        State = state

        def update(self, x, h, state):  # noqa: ARG002  # the contract's signature
            return returns(self.activation(x.candidate + h.candidate))

    return Careless(3, 4)


def plain(returns):
    class Careless(Cell):
        def step(self, projected_t, state):
            return returns(projected_t + 0.1 * state[0])

    return Careless(3, 3)


WRONG = {
    "Tensor, Tensor": lambda n: (n, n),
    "Tensor": lambda n: n,
    "HiddenState, Tensor": lambda n: (HiddenState(n), n),
    "Tensor, HiddenState, Tensor": lambda n: (n, HiddenState(n), n),
    "Tensor, tuple": lambda n: (n, (n,)),
}


@pytest.mark.parametrize("got", WRONG)
@pytest.mark.parametrize("make", [gated, plain])
@pytest.mark.parametrize("run", ["sequence", "masked", "step", "compiled"])
def test_a_state_that_is_none_is_refused_with_what_to_write(got, make, run):
    cell = make(WRONG[got])
    if run == "compiled" and make is plain:
        pytest.skip("that engine runs gated cells alone")
    engine = "compiled" if run == "compiled" else "auto"
    layer = seqlab.Recurrent(cell, engine=engine).eval()
    x = torch.randn(4, 3, 3)
    message = rf"Careless gives \(?{got}\)? for a step.* write `return output, HiddenState\(hidden"
    lengths = torch.tensor([3, 2, 1, 0]) if run == "masked" else None
    start = layer.initial_state(4)
    with pytest.raises(SeqlabError, match=message):
        layer.step(x[:, 0], start) if run == "step" else layer(x, lengths=lengths)


def test_a_state_of_another_type_is_refused():
    cell = gated(lambda n: (n, HiddenState(n)), Two)
    with pytest.raises(OptionError, match=r"\(Tensor, HiddenState\) .*Two\(hidden, memory\)"):
        seqlab.Recurrent(cell)(torch.zeros(2, 3, 3))
