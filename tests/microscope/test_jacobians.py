"""Products of Jacobians: exact against autograd for every cell, and against theory."""

import math

import pytest
import seqlab
import torch
from seqlab.errors import OptionError
from seqlab.microscope.fresh import gradients_of
from seqlab.microscope.jacobians import distances, growth
from seqlab.microscope.memory import memory_of
from seqlab.microscope.recording import copy_of, flat, leaves, recorded

from sampled_cells import CELLS

ROWS, STEPS, D, H = 2, 6, 3, 4


def sequences(steps=STEPS, size=D):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(ROWS, steps, size, generator=generator, dtype=torch.float64)


def trace_of(cell, x, *, reverse=False, lengths=None):
    layer = copy_of(seqlab.Recurrent(cell, reverse=reverse))
    with torch.no_grad(), recorded(layer) as (trace,):
        layer(x, lengths=lengths)
    return trace


def explicit(cell, x_TD, k):
    """``d state_T / d state_{T-k}`` and the output's, by autograd through the last k steps."""
    with torch.no_grad():
        projected = cell.project(x_TD.unsqueeze(0))

        def at(t):
            if isinstance(projected, torch.Tensor):
                return projected[:, t]
            return type(projected)(*(part[:, t] for part in projected))

        state = cell.initial_state(1)
        for t in range(len(x_TD) - k):
            _, state = cell.step(at(t), state)
    shapes = [leaf.shape for leaf in leaves(state)]
    widths = [shape[1:].numel() for shape in shapes]

    def run(vector):
        parts = zip(vector.split(widths, 1), shapes, strict=True)
        now = type(state)(*(part.view(shape) for part, shape in parts))
        for t in range(len(x_TD) - k, len(x_TD)):
            output, now = cell.step(at(t), now)
        return flat(now), output

    state_J, output_J = torch.autograd.functional.jacobian(run, flat(state))
    return state_J[0, :, 0], output_J[0, :, 0]


@pytest.mark.parametrize("name", CELLS)
def test_curves_equal_autograds_own_jacobians(name):
    torch.manual_seed(1)
    cell = seqlab.get("cell", name)(D, D if name == "highway" else H).double().eval()
    trace = trace_of(cell, x := sequences())
    for row in range(ROWS):
        found = growth(trace, row, STEPS)
        for (k, state), (_, output) in zip(found.state, found.output, strict=True):
            J, C = explicit(cell, x[row], k)
            norm = torch.linalg.matrix_norm(J, 2)
            torch.testing.assert_close(state, float(norm), rtol=1e-8, atol=1e-12)
            rms = float(C.norm() / math.sqrt(len(C)))
            torch.testing.assert_close(output, rms, rtol=1e-8, atol=1e-12)


def test_a_state_that_is_a_matrix_counts_with_all_its_numbers():
    torch.manual_seed(1)
    cell = seqlab.get("cell", "mlstm")(D, H, heads=1).double().eval()
    x, count = sequences(), sum(leaf[0].numel() for leaf in cell.initial_state(1))
    assert gradients_of(cell, x)["state_size"] == count == H + H * (H + 1) + 1
    found = growth(trace_of(cell, x), 0, STEPS)
    for (k, state), (_, output) in zip(found.state, found.output, strict=True):
        J, C = explicit(cell, x[0], k)
        assert J.shape == (count, count)
        norm = float(torch.linalg.matrix_norm(J, 2))
        torch.testing.assert_close(state, norm, rtol=1e-8, atol=1e-12)
        rms = float(C.norm() / math.sqrt(len(C)))
        torch.testing.assert_close(output, rms, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["lstm", "gru", "lru"])
def test_backward_rows_start_at_their_own_end(name):
    torch.manual_seed(1)
    cell = seqlab.get("cell", name)(D, H).double().eval()
    x, lengths = sequences(), torch.tensor([6, 4])
    trace = trace_of(cell, x, reverse=True, lengths=lengths)
    for row, length in enumerate(lengths.tolist()):
        found = growth(trace, row, length)
        assert [k for k, _ in found.state] == list(range(1, length + 1))
        J, _ = explicit(cell, x[row, :length].flip(0), length)
        norm = float(torch.linalg.matrix_norm(J, 2))
        torch.testing.assert_close(found.state[-1][1], norm, rtol=1e-8, atol=1e-12)


def rnn(matrix, **options):
    cell = seqlab.get("cell", "rnn")(D, len(matrix), **options).double().eval()
    with torch.no_grad():
        cell.weight_hh.copy_(matrix)
    return cell


@pytest.mark.parametrize("radius", [0.5, 0.9, 0.99])
def test_a_linear_rnn_of_an_orthogonal_matrix_decays_at_its_radius(radius):
    torch.manual_seed(2)
    matrix = radius * torch.linalg.qr(torch.randn(7, 7, dtype=torch.float64))[0]
    found = growth(trace_of(rnn(matrix, activation="linear"), sequences(60)), 0, 60)
    for k, value in found.state:
        torch.testing.assert_close(value, radius**k, rtol=1e-9, atol=0.0)
    memory = memory_of(found.state)
    assert memory.rate == pytest.approx(radius, rel=1e-9)
    expected = math.log(0.5) / math.log(radius)
    assert memory.half_life == (pytest.approx(expected) if expected < 59 else None)


def test_any_matrix_decays_at_its_spectral_radius_in_the_long_run():
    torch.manual_seed(3)
    matrix = torch.randn(6, 6, dtype=torch.float64)
    matrix *= 0.9 / torch.linalg.eigvals(matrix).abs().max()
    assert torch.linalg.matrix_norm(matrix, 2) > 1  # it grows at first, and decays all the same
    curve = growth(trace_of(rnn(matrix, activation="linear"), sequences(600)), 0, 600).state
    assert memory_of(curve).rate == pytest.approx(0.9, abs=0.005)
    assert max(value for _, value in curve[:5]) > 1


def test_tanh_at_rest_is_linear():
    """At state 0 and input 0 the slope of tanh is 1, so the Jacobian is the matrix itself."""
    torch.manual_seed(4)
    matrix = 0.8 * torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))[0]
    trace = trace_of(rnn(matrix), torch.zeros(1, 40, D, dtype=torch.float64))
    assert memory_of(growth(trace, 0, 40).state).rate == pytest.approx(0.8, rel=1e-9)


def test_a_leaky_cell_is_its_leak():
    class Leaky(seqlab.Cell):
        State = seqlab.HiddenState

        def step(self, projected_t, state, noise=None):
            del noise
            hidden = 0.7 * state.hidden + 0.3 * projected_t
            return hidden, seqlab.HiddenState(hidden)

    found = growth(trace_of(Leaky(D, D), sequences(30)), 1, 30)
    assert memory_of(found.output).rate == pytest.approx(0.7, rel=1e-9)


def test_long_products_neither_vanish_nor_overflow():
    for radius in (0.01, 100.0):
        matrix = radius * torch.eye(3, dtype=torch.float64)
        found = growth(trace_of(rnn(matrix, activation="linear"), sequences(140)), 0, 140).state
        assert found[-1][1] == pytest.approx(radius**140, rel=1e-6)


def test_curves_end_before_numbers_that_no_float_can_hold():
    """100^k leaves the range of floats at k = 154 and a bit; the states themselves stay at 0."""
    matrix = 100.0 * torch.eye(3, dtype=torch.float64)
    still = torch.zeros(1, 200, D, dtype=torch.float64)
    found = growth(trace_of(rnn(matrix, activation="linear"), still), 0, 200)
    for curve in found:
        assert 100 < curve[-1][0] <= 155
        assert curve[0][1] == pytest.approx(100, rel=1)
        assert curve[-1][1] > 1e280
    with pytest.raises(OptionError, match=r"the gradient grows .* than 1[45]\d of 200 steps back"):
        gradients_of(rnn(matrix, activation="linear"), still)


def test_distances_are_dense_near_and_sparse_far():
    found = distances(10_000)
    assert found[:12] == list(range(1, 13))
    assert found[-1] == 10_000
    assert found == sorted(set(found))
