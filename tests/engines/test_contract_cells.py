"""What gated cells may declare beside gates: equal by hand, in the loop and compiled."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import seqlab
import torch
from seqlab.cells.base import HiddenState
from torch import Tensor


class Parts(seqlab.GatedCell):
    """Gates with one part alone, a scalar, and a last input column without a matrix."""

    class State(NamedTuple):
        hidden: Tensor
        cell: Tensor

    input_gates = ("write", "only")
    recurrent_gates = ("write", "back")
    scalars = {"beta": 0.7}  # noqa: RUF012  # as the base class declares it
    raw = {"gap": 1}  # noqa: RUF012

    def update(self, x, h, state):
        write = torch.sigmoid(x.write + h.write - self.beta * x.gap)
        cell = write * state.cell + (1 - write) * torch.tanh(x.only)
        return cell * torch.tanh(h.back), self.State(torch.tanh(cell + h.back), cell)


class Chain(seqlab.GatedCell):
    """Four products: of the state, of a method, of a field, of a method that needs the others."""

    State = Parts.State
    gates = ("first", "second", "third", "fourth")
    input_gates = ("first", "fourth")
    products = {  # noqa: RUF012
        "hidden": ("first",), "mixed": ("second",), "cell": ("third",), "last": ("fourth",),
    }  # fmt: skip

    def mixed(self, x, h, state):
        return torch.sigmoid(x.first + h.first) * state.hidden

    def last(self, x, h, state):
        return torch.tanh(h.second) + x.first - state.cell * torch.sigmoid(h.third)

    def update(self, x, h, state):
        cell = 0.5 * state.cell + torch.tanh(x.fourth + h.fourth) * torch.sigmoid(h.first)
        hidden = torch.tanh(cell + h.second)
        return hidden, self.State(hidden, cell)


class Later(seqlab.GatedCell):
    """The first product is not of the first field of the state."""

    State = Parts.State
    gates = ("new", "kept")
    products = {"cell": ("new", "kept")}  # noqa: RUF012

    def update(self, x, h, state):
        cell = torch.tanh(x.new + h.new) + torch.sigmoid(x.kept + h.kept) * state.cell
        return cell * state.hidden, self.State(torch.cos(cell), torch.tanh(cell))


class Diagonal(seqlab.GatedCell):
    """No recurrent matrix, and the input itself, which is as wide as the state."""

    State = HiddenState
    input_gates = ("candidate",)
    recurrent_gates = ()
    vectors = {"decay": "ones"}  # noqa: RUF012
    raw = {"skip": "all"}  # noqa: RUF012

    def update(self, x, h, state):
        del h
        hidden = torch.tanh(x.candidate + self.decay * state.hidden)
        return hidden + x.skip, HiddenState(hidden)


class Antisymmetric(seqlab.GatedCell):
    """A recurrent matrix made of parameters."""

    State = HiddenState
    gates = ("candidate",)

    def recurrent_matrix(self):
        return self.weight_hh - self.weight_hh.T

    def update(self, x, h, state):
        hidden = state.hidden + 0.1 * torch.tanh(x.candidate + h.candidate)
        return hidden, HiddenState(hidden)


class LowRank(seqlab.GatedCell):
    """A recurrent matrix of two smaller ones, which no equation reads."""

    State = HiddenState
    gates = ("candidate",)

    def make_parameters(self):
        super().make_parameters()
        self.left = torch.nn.Parameter(torch.empty(self.hidden_size, 2))

    def reset_parameters(self):
        super().reset_parameters()
        torch.nn.init.normal_(self.left)

    def recurrent_matrix(self):
        return self.weight_hh + self.left @ self.left.T

    def update(self, x, h, state):
        del state
        hidden = torch.tanh(x.candidate + h.candidate)
        return hidden, HiddenState(hidden)


class Matrix(LowRank):
    """A product where only elementwise maths may be."""

    def update(self, x, h, state):
        hidden = torch.tanh(x.candidate + h.candidate + state.hidden @ self.weight)
        return hidden, HiddenState(hidden)

    def make_parameters(self):
        super().make_parameters()
        self.weight = torch.nn.Parameter(torch.eye(self.hidden_size))


class Delayed(seqlab.GatedCell):
    """A state that is not H wide."""

    class State(NamedTuple):
        hidden: Tensor
        last: Tensor

    gates = ("candidate",)
    state_widths = {"last": 3}  # noqa: RUF012

    def update(self, x, h, state):
        hidden = torch.tanh(x.candidate + h.candidate) + state.last.mean(-1, keepdim=True)
        return hidden, self.State(hidden, state.last + hidden[:, :3])


CELLS = {
    "parts": (Parts, (4, 5), {"dropout": 0.3, "recurrent_dropout": 0.3, "untied_dropout": True,
                              "zoneout": 0.2, "weight_dropout": 0.2}),
    "chain-options": (Chain, (4, 5), {"layer_norm": True, "recurrent_dropout": 0.3,
                                      "untied_dropout": True}),
    "chain-narrow": (Chain, (4, 5), {"proj_size": 2}),
    "later": (Later, (4, 5), {"recurrent_dropout": 0.3}),
    "diagonal": (Diagonal, (5, 5), {"dropout": 0.3, "zoneout": 0.2}),
    "antisymmetric": (Antisymmetric, (4, 5), {"weight_dropout": 0.3}),
    "low-rank": (LowRank, (4, 5), {}),
    "heads": (seqlab.get("cell", "gru"), (4, 6), {"heads": 3, "weight_dropout": 0.3}),
}  # fmt: skip


def results(layer, x, state, mask):
    torch.manual_seed(5)
    output, final = layer(x, state, mask=mask)
    weight = torch.linspace(-1, 2, output.numel(), dtype=x.dtype).view_as(output)
    loss = (output * weight).sum() + sum((1 + i) * part.sin().sum() for i, part in enumerate(final))
    inputs = [x, *state, *layer.parameters()]
    return [output, *final, *torch.autograd.grad(loss, inputs, allow_unused=True)]


#: Each is compiled, which takes seconds.
IN_LONG_TESTS = {"chain-narrow", "later", "antisymmetric", "low-rank", "heads"}
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name in IN_LONG_TESTS else name for name in CELLS
]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_compiled_equals_the_loop(name, reverse, asymmetric):
    cell, size, options = CELLS[name]
    loop, compiled = (
        seqlab.Recurrent(cell(*size, **options), engine=engine, reverse=reverse).double()
        for engine in ("loop", "compiled")
    )
    asymmetric(loop, 0.5)
    compiled.load_state_dict(loop.state_dict())
    assert compiled.explain(torch.zeros(3, 2, size[0]).double()).engine.name == "compiled"
    x = torch.randn(4, 6, size[0], dtype=torch.float64, requires_grad=True)
    state = [torch.randn(4, n).double().requires_grad_() for n in loop.cell.state_sizes]
    holes = torch.rand(4, 6) > 0.4
    holes[0], holes[1] = True, False
    for training, mask in ((True, None), (True, holes), (False, holes)):
        expected = results(loop.train(training), x, state, mask)
        found = results(compiled.train(training), x, state, mask)
        for ours, reference in zip(found, expected, strict=True):
            zero = None if ours is None else torch.zeros_like(ours)
            torch.testing.assert_close(ours, zero if reference is None else reference)


def rows(value, gates, name):
    start = gates.index(name) * 5
    return value[start : start + 5]


def test_the_parts_of_gates_by_hand(asymmetric):
    cell = asymmetric(Parts(4, 5).double())
    assert cell.weight_ih.shape == (10, 3)
    assert cell.weight_hh.shape == (10, 5)
    assert cell.beta.shape == (1,)
    x, state = torch.randn(2, 3, 4).double(), cell.initial_state(2)
    output, _ = seqlab.Recurrent(cell)(x)
    w, u, b = cell.weight_ih, cell.weight_hh, cell.bias
    for t in range(3):
        seen, gap = x[:, t, :3], x[:, t, 3:]
        write = torch.sigmoid(
            seen @ rows(w, cell.input_gates, "write").T + rows(b, cell.input_gates, "write")
            + state.hidden @ rows(u, cell.recurrent_gates, "write").T - cell.beta * gap
        )  # fmt: skip
        only = seen @ rows(w, cell.input_gates, "only").T + rows(b, cell.input_gates, "only")
        back = state.hidden @ rows(u, cell.recurrent_gates, "back").T
        new = write * state.cell + (1 - write) * torch.tanh(only)
        torch.testing.assert_close(output[:, t], new * torch.tanh(back))
        state = Parts.State(torch.tanh(new + back), new)


def test_a_chain_of_products_by_hand(asymmetric):
    cell = asymmetric(Chain(4, 5).double())
    x, h, c = torch.randn(2, 1, 4).double(), torch.randn(2, 5).double(), torch.randn(2, 5).double()
    output, _ = seqlab.Recurrent(cell)(x, (h, c))
    first_x, fourth_x = (x[:, 0] @ cell.weight_ih.T + cell.bias).chunk(2, -1)
    u1, u2, u3, u4 = cell.weight_hh.chunk(4)
    first = h @ u1.T
    second = (torch.sigmoid(first_x + first) * h) @ u2.T
    fourth = (torch.tanh(second) + first_x - c * torch.sigmoid(c @ u3.T)) @ u4.T
    memory = 0.5 * c + torch.tanh(fourth_x + fourth) * torch.sigmoid(first)
    torch.testing.assert_close(output[:, 0], torch.tanh(memory + second))


def test_heads_are_blocks(asymmetric):
    cell = asymmetric(seqlab.get("cell", "gru")(4, 6, heads=3).double())
    assert cell.weight_hh.shape == (18, 2)
    whole = cell.recurrent_matrix()
    for gate in range(3):
        for head in range(3):
            rows_, columns = (
                slice(gate * 6 + head * 2, gate * 6 + head * 2 + 2),
                slice(head * 2, head * 2 + 2),
            )
            torch.testing.assert_close(whole[rows_, columns], cell.weight_hh[rows_])
    assert int(whole.count_nonzero()) == 18 * 2
    dense = seqlab.get("cell", "gru")(4, 6).double()
    state = cell.state_dict()
    dense.load_state_dict({**state, "weight_hh": whole})
    x = torch.randn(3, 5, 4).double()
    torch.testing.assert_close(seqlab.Recurrent(cell)(x)[0], seqlab.Recurrent(dense)(x)[0])


def test_a_state_of_another_width_runs_in_the_loop_and_says_why():
    layer = seqlab.Recurrent(Delayed(4, 5))
    output, state = layer(torch.zeros(2, 3, 4))
    assert state.last.shape == (2, 3)
    plan = layer.explain(torch.zeros(2, 3, 4))
    assert plan.engine.name == "loop"
    assert "not all of the hidden size" in plan.refused["compiled"]
    assert output.shape == (2, 3, 5)


def test_options_of_a_matrix_that_is_not_there_are_refused():
    for option, value in {
        "recurrent_dropout": 0.2, "weight_dropout": 0.2, "recurrent_regularizer": "l2",
        "recurrent_constraint": "unit_norm", "proj_size": 2,
    }.items():  # fmt: skip
        with pytest.raises(seqlab.errors.OptionError, match=f"{option}: Diagonal has no recurrent"):
            Diagonal(5, 5, **{option: value})
    with pytest.raises(seqlab.errors.OptionError, match="no recurrent matrix of which to make"):
        Diagonal(5, 5, heads=5)
    with pytest.raises(seqlab.errors.OptionError, match="4 does not divide hidden_size 6"):
        seqlab.get("cell", "gru")(4, 6, heads=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gates": ("candidate")}, r"gates is a string; write \('candidate',\) with a comma"),
        ({"gates": ("a", "a")}, "must name each gate once"),
        ({"input_gates": ("a",), "gates": ("a", "b"), "recurrent_gates": ("a",)}, "leave none out"),
        ({"products": {"hidden": ("candidate",), "mixed": ()}}, "'mixed' is neither a method"),
        ({"products": {"hidden": ("other",)}}, "must name the recurrent gates"),
        ({"products": {"hidden": ("candidate",)}, "second_gates": ("candidate",)}, "short form"),
        ({"raw": {"gap": 2}}, "must have width 1, H or 'all'"),
        ({"raw": {"whole": "all"}}, "input_size 4 must equal hidden_size 5"),
        ({"raw": {"a": 1, "b": 1, "c": 1, "d": 1}}, "input_size must be at least 5, got 4"),
        ({"input_gates": ()}, "input_gates must name at least one gate"),
    ],
)
def test_declarations_that_contradict_themselves(changes, message):
    kind = type("Slip", (Antisymmetric,), changes)
    with pytest.raises(seqlab.errors.OptionError, match=message):
        kind(4, 5)


def test_a_product_in_update_is_refused_with_what_to_write_instead():
    layer = seqlab.Recurrent(Matrix(4, 5), engine="compiled")
    with pytest.raises(seqlab.errors.EngineError, match="reads the matrix `weight`; declare its"):
        layer(torch.zeros(1, 2, 4))


def test_a_parameter_before_the_base_class_is_refused_with_what_to_do():
    class Slip(Antisymmetric):
        def __init__(self, input_size, hidden_size):
            self.own = torch.nn.Parameter(torch.zeros(3))
            super().__init__(input_size, hidden_size)

    with pytest.raises(AttributeError, match=r"sets self.own before super\(\).__init__"):
        Slip(4, 5)


def test_a_gate_that_is_not_there_is_named_with_those_that_are():
    class Slip(Antisymmetric):
        def update(self, x, h, state):
            hidden = x.candidate + h.candidat + state.hidden
            return hidden, HiddenState(hidden)

    with pytest.raises(AttributeError, match="no gate 'candidat' here, but candidate"):
        seqlab.Recurrent(Slip(4, 5), engine="loop")(torch.zeros(1, 2, 4))
