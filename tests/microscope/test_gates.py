"""Gates are read off ``update``, whatever the cell and its options."""

import pytest
import seqlab
import torch
from seqlab.microscope.recording import copy_of, recorded

D, H, T = 3, 4, 5


def gates_of(cell):
    torch.manual_seed(7)
    layer = copy_of(seqlab.Recurrent(cell))
    x = torch.randn(2, T, D, dtype=torch.float64)
    with torch.no_grad(), recorded(layer) as (trace,):
        output, _ = layer(x)
    return layer.cell, x, output, trace.gates()


@pytest.mark.parametrize("activation", ["sigmoid", "hard_sigmoid", "softsign"])
def test_gates_of_an_lstm_are_its_equations(activation):
    torch.manual_seed(1)
    cell = seqlab.get("cell", "lstm")(D, H, recurrent_activation=activation)
    cell, x, output, gates = gates_of(cell)
    before = torch.cat([torch.zeros(2, 1, H, dtype=torch.float64), output[:, :-1]], 1)
    sums = x @ cell.weight_ih.T + before @ cell.weight_hh.T + cell.bias
    assert set(gates) == {"input", "forget", "candidate", "output"}
    for name, part in zip(cell.gates, sums.chunk(4, -1), strict=True):
        squash = cell.activation if name == "candidate" else cell.recurrent_activation
        torch.testing.assert_close(gates[name], squash(part))


@pytest.mark.parametrize("options", [{}, {"reset_after": False}, {"layer_norm": True}])
def test_all_gates_of_a_gru_are_seen(options):
    _, _, output, gates = gates_of(seqlab.get("cell", "gru")(D, H, **options))
    assert set(gates) == {"update", "reset", "candidate"}
    before = torch.cat([torch.zeros_like(output[:, :1]), output[:, :-1]], 1)
    z = gates["update"]
    torch.testing.assert_close(output, z * before + (1 - z) * gates["candidate"])


def test_functions_of_torch_count_too():
    class Own(seqlab.GatedCell):
        gates = ("keep", "new")
        State = seqlab.HiddenState

        def update(self, x, h, state):
            keep = torch.sigmoid(x.keep + h.keep)
            hidden = keep * state.hidden + (1 - keep) * (x.new + h.new).tanh()
            return hidden, seqlab.HiddenState(hidden)

    assert set(gates_of(Own(D, H))[3]) == {"keep", "new"}


def test_a_linear_recurrence_shows_its_decay():
    cell, x, _, gates = gates_of(seqlab.get("cell", "lru")(D, H))
    torch.testing.assert_close(gates["decay"], cell.coefficients(x)[0].abs())


def test_a_mingru_decay_is_in_time_when_it_runs_backward():
    torch.manual_seed(2)
    layer = copy_of(seqlab.Recurrent(seqlab.get("cell", "min_gru")(D, H), reverse=True))
    x = torch.randn(1, T, D, dtype=torch.float64)
    with torch.no_grad(), recorded(layer) as (trace,):
        output, _ = layer(x)
    torch.testing.assert_close(trace.gates()["decay"], layer.cell.coefficients(x)[0].abs())
    torch.testing.assert_close(trace.outputs(), output)


def test_nothing_is_left_behind():
    cell = seqlab.get("cell", "lstm")(D, H)
    layer = seqlab.Recurrent(cell)
    before = dict(vars(cell))
    with recorded(layer):
        layer(torch.zeros(1, 2, D))
    assert vars(cell) == before
