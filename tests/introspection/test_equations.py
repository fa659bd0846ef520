from __future__ import annotations

from typing import NamedTuple

import pytest
import seqlab
import torch
from seqlab.cells.base import Cell, HiddenState
from seqlab.expressions import Graph
from seqlab.introspection.diagram import diagram_of
from seqlab.introspection.naming import equations_of
from seqlab.introspection.recorded_step import UntraceableError, record_step
from seqlab.introspection.rendering import latex_equations, plain_equations


def lines(cell):
    return [f"{left} = {right}" for left, right in plain_equations(equations_of(cell))]


def test_lstm_reads_like_its_paper():
    assert lines(seqlab.get("cell", "lstm")(3, 5)) == [
        "i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)",
        "f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)",
        "g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)",
        "o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)",
        "c_t = f_t * c_{t-1} + i_t * g_t",
        "h_t = o_t * tanh(c_t)",
    ]


def test_options_change_the_equations():
    cell = seqlab.get("cell", "lstm")
    peepholes = lines(cell(3, 5, peepholes=True, coupled=True, use_bias=False))
    assert peepholes[0] == "i_t = sigmoid(W_i x_t + U_i h_{t-1} + p_i * c_{t-1})"
    assert peepholes[2:4] == ["f_t = 1 - i_t", "c_t = f_t * c_{t-1} + i_t * g_t"]
    assert "o_t = sigmoid(W_o x_t + U_o h_{t-1} + p_o * c_t)" in peepholes
    relu = lines(cell(3, 5, activation="relu", recurrent_activation={"name": "hard_sigmoid"}))
    assert relu[2].startswith("g_t = relu(")
    assert relu[0].startswith("i_t = hard_sigmoid(")
    assert relu[5] == "h_t = o_t * relu(c_t)"


def test_both_forms_of_the_gru():
    cell = seqlab.get("cell", "gru")
    after = lines(cell(3, 5))
    assert after[2] == "n_t = tanh(W_n x_t + r_t * (U_n h_{t-1} + b'_n) + b_n)"
    before = lines(cell(3, 5, reset_after=False))
    assert before[2] == "n_t = tanh(W_n x_t + U_n (r_t * h_{t-1}) + b_n)"
    assert before[3] == after[3] == "h_t = z_t * h_{t-1} + (1 - z_t) * n_t"


def test_latex():
    latex = latex_equations(equations_of(seqlab.get("cell", "gru")(3, 5)))
    assert latex.startswith("\\begin{aligned}\nr_{t} &= \\sigma\\left(W_{r} x_{t} + U_{r} h_{t-1}")
    assert latex.endswith(
        "h_{t} &= z_{t} \\odot h_{t-1} + \\left(1 - z_{t}\\right) \\odot n_{t}\n\\end{aligned}"
    )
    assert latex.count(r"\left(") == latex.count(r"\right)")


def test_a_linear_recurrence():
    assert lines(seqlab.get("cell", "min_gru")(3, 5)) == [
        "z_t = sigmoid(W_z x_t + b_z)",
        "h_t = (1 - z_t) * h_{t-1} + z_t * (W_g x_t + b_g)",
    ]


class Pair(NamedTuple):
    fast: torch.Tensor
    slow: torch.Tensor


class Odd(seqlab.GatedCell):
    """Uses what built-in cells do not: quotients, powers, choices, lerp, three kinds of names."""

    gates = ("hold", "drive")
    State = Pair
    vectors = {"alpha": "ones", "scale_hold": "zeros"}  # noqa: RUF012  as the base class has it

    def update(self, x, h, state):
        hold = torch.sigmoid(x.hold * self.scale_hold - h.hold)
        fast = torch.where(hold > 0.5, state.fast**2, -x.drive / (1 + torch.exp(h.drive)))
        slow = torch.lerp(state.slow, fast, hold) + self.alpha
        return fast - slow, Pair(fast, slow)


def test_every_operator_and_names_of_ones_own():
    assert lines(Odd(3, 5)) == [
        "o_t = sigmoid((W_o x_t + b_o) * s_o - U_o f_{t-1})",
        "d_t = exp(U_d f_{t-1})",
        "f_t = f_{t-1}^2 if o_t > 0.5 else (-W_d x_t - b_d) / (1 + d_t)",
        "s_t = s_{t-1} + o_t * (f_t - s_{t-1}) + alpha",
        "y_t = f_t - s_t",
    ]
    latex = latex_equations(equations_of(Odd(3, 5)))
    assert r"\begin{cases} f_{t-1}^{2} & o_{t} > 0.5" in latex
    assert r"\frac{-W_{d} x_{t} - b_{d}}{1 + d_{t}}" in latex
    assert r"+ \alpha" in latex


class Twin(seqlab.GatedCell):
    gates = ("candidate",)
    State = HiddenState

    def update(self, x, h, state):
        p, q = x.candidate, h.candidate
        i, f = self.recurrent_activation(p + q), self.recurrent_activation(p - q)
        b = i * p + f * state.hidden
        return b, HiddenState(b)


def test_the_authors_own_letters_are_taken_where_they_are_free():
    assert lines(Twin(3, 5)) == [
        "p_t = W x_t + b",
        "q_t = U h_{t-1}",
        "i_t = sigmoid(p_t + q_t)",
        "f_t = sigmoid(p_t - q_t)",
        "h_t = i_t * p_t + f_t * h_{t-1}",
    ]


class Difference(seqlab.GatedCell):
    gates = ("candidate",)
    State = HiddenState

    def update(self, x, h, state):
        del state
        hidden = self.activation(x.candidate - h.candidate)
        return hidden, HiddenState(hidden)


def test_a_diagram_keeps_the_signs_of_a_gates_parts():
    diagram = diagram_of(equations_of(Difference(3, 5)))
    labels = [box.label for box in diagram.boxes]
    assert labels == ["x_t", "W x + b", "h_{t-1}", "U h", "+", "tanh", "h_t"]
    assert diagram.sources(4) == [(1, ""), (3, "\N{MINUS SIGN}")]


class Numbers(seqlab.GatedCell):
    gates = ("candidate",)
    State = HiddenState

    def update(self, x, h, state):
        limited = torch.clamp_max(torch.exp(x.candidate), 1e-12)
        hidden = (-1 - limited - 2) * (h.candidate > 0) - (state.hidden - limited)
        return hidden, HiddenState(hidden)


def test_numbers_comparisons_and_limits():
    equations = equations_of(Numbers(3, 5))
    assert lines(Numbers(3, 5)) == [
        "u_t = minimum(exp(W x_t + b), 1e-12)",
        "h_t = (-1 - u_t - 2) * (U h_{t-1} > 0) - h_{t-1} + u_t",
    ]
    assert r"\min\left(\exp\left(W x_{t} + b\right), 1 \cdot 10^{-12}\right)" in latex_equations(
        equations
    )
    labels = [box.label for box in diagram_of(equations).boxes]
    assert "\N{MINUS SIGN}3 \N{MINUS SIGN}" in labels


def test_a_diagram_tells_the_two_biases_apart():
    labels = [box.label for box in diagram_of(equations_of(seqlab.get("cell", "gru")(3, 5))).boxes]
    assert "W_r x + U_r h + b_r + b'_r" in labels
    assert "U_n h + b'_n" in labels


def test_operators_are_counted_once_each():
    assert equations_of(seqlab.get("cell", "lstm")(3, 5)).counts() == {
        "add": 5,
        "mul": 3,
        "sigmoid": 3,
        "tanh": 2,
    }


class Branching(seqlab.GatedCell):
    gates = ("candidate",)
    State = HiddenState

    def update(self, x, h, state):
        del state
        hidden = x.candidate if x.candidate.sum() > 0 else h.candidate
        return hidden, HiddenState(hidden)


class Plain(Cell):
    def step(self, projected_t, state, noise=None):
        del noise
        return projected_t, state


def test_code_that_cannot_be_recorded_says_why():
    with pytest.raises(UntraceableError, match=r"TraceError: .*control flow"):
        record_step(Branching(3, 5), Graph())
    with pytest.raises(UntraceableError, match="neither a gated nor a linear recurrent cell"):
        record_step(Plain(3, 5), Graph())


def test_tracing_leaves_the_cell_and_the_random_state_alone():
    cell = seqlab.get("cell", "lstm")(3, 5, peepholes=True)
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    activation, state = cell.activation, torch.get_rng_state()
    equations_of(cell)
    assert cell.activation is activation
    assert list(cell.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in cell.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def evaluated(cell, x_BD, state):
    """The plain equations of a gated cell, computed by Python from the text."""
    scope = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}
    equations = equations_of(cell)
    for name in cell.gates:
        letter = next(v for k, v in equations.letters.items() if k == ("input", name))
        letter = f"_{letter}" if letter else ""
        scope[f"W{letter}"] = cell.gate_rows(cell.weight_ih, name).T
        scope[f"U{letter}"] = cell.gate_rows(cell.weight_hh, name).T
        scope[f"b{letter}"] = cell.gate_rows(cell.bias, name)
        if cell.recurrent_bias is not None:
            scope[f"b1{letter}"] = cell.gate_rows(cell.recurrent_bias, name)
    for field in state._fields:
        letter = next(v for k, v in equations.letters.items() if k == ("state", field))
        scope[f"{letter}_0"] = getattr(state, field)
    scope["x_t"] = x_BD
    for left, right in plain_equations(equations):
        text = right.replace("_{t-1}", "_0").replace("b'_", "b1_")
        for letter in [name for name in scope if name[0] in "WU"]:
            vector = "x_t" if letter.startswith("W") else "h_0"
            text = text.replace(f"{letter} {vector}", f"({vector} @ {letter})")
            text = text.replace(f"{letter} (", f"{letter}.__rmatmul__(")
        scope[left] = eval(text, {}, scope)  # noqa: S307  the text is the test's own
    return scope


@pytest.mark.parametrize(
    ("name", "options"),
    [("rnn", {}), ("lstm", {}), ("lstm", {"coupled": True}), ("gru", {}), ("mgu", {}),
     ("gru", {"reset_after": False})],
)  # fmt: skip
def test_the_equations_compute_what_the_cell_computes(name, options, asymmetric):
    cell = asymmetric(seqlab.get("cell", name)(3, 5, **options))
    x_BD = torch.randn(2, 3)
    state = cell.State(*(torch.randn(2, 5) for _ in cell.State._fields))
    output, new = cell.step(cell.project(x_BD.unsqueeze(1))[:, 0], state)
    scope = evaluated(cell, x_BD, state)
    torch.testing.assert_close(scope["h_t"], output)
    if len(new) > 1:
        torch.testing.assert_close(scope["c_t"], new[1])
