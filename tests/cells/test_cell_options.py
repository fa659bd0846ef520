"""The options that stand around or inside a gated cell's equations, against their definitions."""

from __future__ import annotations

import math

import pytest
import seqlab
import torch
from seqlab.cells.base import HiddenState
from seqlab.cells.lstm import LSTMState
from seqlab.cells.noise import Noise
from seqlab.cells.products import recurrent_product
from seqlab.errors import OptionError
from torch import nn

MAKERS = {"rnn": seqlab.RNN, "lstm": seqlab.LSTM, "gru": seqlab.GRU}
KEEP = {"lstm": "forget", "gru": "update"}


@pytest.mark.parametrize("name", KEEP)
def test_chrono_biases(name):
    options = {"recurrent_initializer": "zeros"}
    cell = MAKERS[name](3, 4000, chrono=50, **options).cell.requires_grad_(requires_grad=False)
    keep = cell.gate_rows(cell.bias, KEEP[name])
    span = keep.exp()
    assert span.min() >= 1
    assert span.max() <= 49
    assert span.mean() == pytest.approx(25, rel=0.05)
    if name == "lstm":
        assert torch.equal(cell.gate_rows(cell.bias, "input"), -keep)
    others = [g for g in cell.gates if g not in {"input", KEEP[name]}]
    assert all((cell.gate_rows(cell.bias, gate) == 0).all() for gate in others)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lstm", {"chrono": 1}, "chrono: expected an int of at least 2"),
        ("lstm", {"chrono": 9.0}, "chrono: expected an int"),
        ("lstm", {"chrono": 9, "use_bias": False}, "chrono .* contradicts use_bias=False"),
        ("lstm", {"chrono": 9, "unit_forget_bias": True}, "contradicts unit_forget_bias=True"),
        ("rnn", {"chrono": 9}, "chrono: cell 'rnn' has no gate that keeps its memory"),
        ("gru", {"unit_forget_bias": True}, "unit_forget_bias: cell 'gru' has no forget gate"),
        ("lstm", {"coupled": True, "unit_forget_bias": True}, "cell 'lstm' has no forget gate"),
        ("lstm", {"proj_size": 0}, "proj_size: expected an int of at least 1 or null, got 0"),
        ("lstm", {"peepholes": 1}, "peepholes: expected true or false"),
        ("lstm", {"zoneout": {"memory": 0.1}}, "zoneout.memory: unknown key, known: cell, hidden"),
        ("gru", {"peepholes": True}, "has no option 'peepholes'"),
    ],
)
def test_contradictions_are_refused(name, options, message):
    with pytest.raises(OptionError, match=message):
        MAKERS[name](3, 4, **options)


def test_chrono_reads_the_gates_off_the_equations():
    coupled = seqlab.LSTM(3, 50, coupled=True, chrono=20).cell
    assert (coupled.gate_rows(coupled.bias, "input") < 0).all()

    class Minimal(seqlab.GatedCell):
        gates = ("forget", "candidate")
        State = HiddenState

        def update(self, x, h, state):
            forget = self.recurrent_activation(x.forget + h.forget)
            new = self.activation(x.candidate + h.candidate)
            hidden = (1 - forget) * state.hidden + forget * new
            return hidden, HiddenState(hidden)

    cell = Minimal(3, 50, chrono=20)
    bias = cell.gate_rows(cell.bias, "forget")
    assert (bias < 0).all()  # its forget gate overwrites
    assert (-bias).exp().max() <= 19


def peephole_reference(cell, x, h, c):
    """One step written out from Gers and Schmidhuber (2000)."""
    z = x @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias
    i, f, g, o = z.chunk(4, -1)
    i = torch.sigmoid(i + cell.peephole_input * c)
    f = torch.sigmoid(f + cell.peephole_forget * c)
    c = f * c + i * torch.tanh(g)
    o = torch.sigmoid(o + cell.peephole_output * c)
    return o * torch.tanh(c), c


def test_peepholes(asymmetric):
    layer = asymmetric(seqlab.LSTM(3, 4, peepholes=True))
    x, h, c = torch.randn(2, 5, 3), torch.randn(2, 4), torch.randn(2, 4)
    output, state = layer(x, LSTMState(h, c))
    for t in range(5):
        h, c = peephole_reference(layer.cell, x[:, t], h, c)
        torch.testing.assert_close(output[:, t], h)
    torch.testing.assert_close(state.cell, c)
    plain = seqlab.LSTM(3, 4)
    started = seqlab.LSTM(3, 4, peepholes=True)
    started.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(started(x)[0], plain(x)[0])
    output.sum().backward()
    assert all(layer.get_parameter(f"cell.peephole_{g}").grad.abs().sum() > 0 for g in ["input"])


def test_coupled_gates(asymmetric):
    coupled = asymmetric(seqlab.LSTM(3, 4, coupled=True))
    assert coupled.cell.weight_ih.shape == (12, 3)
    plain = seqlab.LSTM(3, 4)
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias"):
            i, g, o = getattr(coupled.cell, name).chunk(3)
            getattr(plain.cell, name).copy_(torch.cat([i, -i, g, o]))  # 1 - s(z) = s(-z)
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(coupled(x)[0], plain(x)[0])
    assert "coupled" in coupled.explain(x).refused["fused"]


@pytest.mark.parametrize("engine", ["loop", "fused"])
@pytest.mark.parametrize("bias", [True, False])
def test_projection_is_that_of_torch(engine, bias, asymmetric):
    theirs = nn.LSTM(3, 6, proj_size=4, batch_first=True, bias=bias).double()
    asymmetric(theirs)
    ours = seqlab.LSTM(3, 6, proj_size=4, engine=engine, use_bias=bias).double()
    with torch.no_grad():
        ours.cell.weight_ih.copy_(theirs.weight_ih_l0)
        ours.cell.weight_hh.copy_(theirs.weight_hh_l0)
        ours.cell.weight_hr.copy_(theirs.weight_hr_l0)
        if bias:
            ours.cell.bias.copy_(theirs.bias_ih_l0 + theirs.bias_hh_l0)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    h, c = torch.randn(2, 4, dtype=torch.float64), torch.randn(2, 6, dtype=torch.float64)
    expected, (last, memory) = theirs(x, (h[None], c[None]))
    output, state = ours(x, (h, c))
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(state.hidden, last[0])
    torch.testing.assert_close(state.cell, memory[0])
    assert ours.output_size == ours.final_size == 4
    lengths = torch.tensor([5, 2])
    masked, _ = ours(x, (h, c), lengths=lengths)
    torch.testing.assert_close(masked[1, :2], output[1, :2])


def test_projection_of_other_cells(asymmetric):
    layer = asymmetric(seqlab.GRU(3, 6, proj_size=4, reset_after=False))
    assert layer.cell.weight_hh.shape == (18, 4)
    whole = seqlab.GRU(3, 6, reset_after=False)
    with torch.no_grad():
        whole.cell.weight_ih.copy_(layer.cell.weight_ih)
        whole.cell.bias.copy_(layer.cell.bias)
        whole.cell.weight_hh.copy_(layer.cell.weight_hh @ layer.cell.weight_hr)
    x = torch.randn(2, 5, 3)
    expected, state = whole(x)
    output, ours = layer(x)
    torch.testing.assert_close(output, expected @ layer.cell.weight_hr.T)
    torch.testing.assert_close(ours.hidden, state.hidden)


def test_layer_norm_by_its_definition(asymmetric):
    layer = asymmetric(seqlab.RNN(3, 5, layer_norm=True))
    cell = layer.cell

    def normalise(v):
        return (v - v.mean(-1, keepdim=True)) / (
            v.var(-1, correction=0, keepdim=True) + 1e-5
        ).sqrt()

    x, h = torch.randn(2, 4, 3), torch.zeros(2, 5)
    output, _ = layer(x)
    for t in range(4):
        first = cell.norm_ih * normalise(x[:, t] @ cell.weight_ih.T) + cell.bias
        h = torch.tanh(first + cell.norm_hh * normalise(h @ cell.weight_hh.T))
        torch.testing.assert_close(output[:, t], h)


def test_zoneout_outside_training_is_the_expectation(asymmetric):
    layer = asymmetric(seqlab.LSTM(3, 4, zoneout={"cell": 0.3})).eval()
    cell = layer.cell
    x, state = torch.randn(2, 3), LSTMState(torch.randn(2, 4), torch.randn(2, 4))
    _, (hidden, memory) = layer(x[:, None], state)
    z = x @ cell.weight_ih.T + state.hidden @ cell.weight_hh.T + cell.bias
    i, f, g, o = z.chunk(4, -1)
    new = torch.sigmoid(f) * state.cell + torch.sigmoid(i) * torch.tanh(g)
    torch.testing.assert_close(memory, 0.7 * new + 0.3 * state.cell)
    torch.testing.assert_close(hidden, torch.sigmoid(o) * torch.tanh(new))


def test_a_zoned_out_unit_keeps_its_state():
    layer = seqlab.RNN(3, 100, zoneout=0.25)
    before = torch.randn(100, 100)
    output, state = layer(torch.randn(100, 1, 3), (before,))
    kept = (state.hidden == before).float().mean()
    assert kept == pytest.approx(0.25, abs=0.02)
    assert torch.equal(output[:, 0], state.hidden)


def forced(cell, batch):
    gates, width = len(cell.gates), cell.recurrent_size
    return Noise(
        torch.rand(batch, gates, cell.input_size),
        torch.rand(batch, gates, width),
        torch.rand(cell.weight_hh.shape),
    )


@pytest.mark.parametrize("name", MAKERS)
def test_a_mask_for_each_gate(name, asymmetric):
    cell = asymmetric(MAKERS[name](3, 4).cell)
    noise = forced(cell, 2)
    x, h = torch.randn(2, 6, 3), torch.randn(2, 4)
    projected = cell.project(x, noise)
    product = torch.cat(
        recurrent_product(
            cell,
            h,
            cell.weight_hh,
            noise.recurrent_mask,
            slice(0, len(cell.chain[0].gates) * cell.hidden_size),
        ),
        -1,
    )
    rows = 4 * torch.arange(len(cell.gates) + 1)
    for g, gate in enumerate(cell.gates):
        part = slice(rows[g], rows[g + 1])
        masked = x * noise.input_mask[:, None, g]
        expected = masked @ cell.gate_rows(cell.weight_ih, gate).T + cell.gate_rows(cell.bias, gate)
        torch.testing.assert_close(projected[..., part], expected)
        expected = (h * noise.recurrent_mask[:, g]) @ cell.gate_rows(cell.weight_hh, gate).T
        if cell.recurrent_bias is not None:
            expected = expected + cell.gate_rows(cell.recurrent_bias, gate)
        torch.testing.assert_close(product[:, part], expected)


@pytest.mark.parametrize("untied", [False, True])
def test_masks_have_the_rates_and_the_scale(untied):
    cell = seqlab.LSTM(
        50,
        60,
        dropout=0.2,
        recurrent_dropout=0.4,
        weight_dropout=0.1,
        zoneout=0.3,
        untied_dropout=untied,
    ).cell
    noise = cell.sample_noise(200, 5, device=torch.device("cpu"), dtype=torch.float32)
    gates = (4,) if untied else ()
    assert noise.input_mask.shape == (200, 4 if untied else 1, 50)
    assert noise.recurrent_mask.shape == (200, *gates, 60)
    assert noise.weight_mask.shape == (240, 60)
    assert [z.shape for z in noise.zoneout] == [(5, 200, 60)] * 2
    for mask, rate in (
        (noise.input_mask, 0.2),
        (noise.recurrent_mask, 0.4),
        (noise.weight_mask, 0.1),
    ):
        values = mask.unique()
        torch.testing.assert_close(values, torch.tensor([0, 1 / (1 - rate)]))
        assert mask.mean() == pytest.approx(
            1.0, abs=5 * math.sqrt(rate / (1 - rate) / mask.numel())
        )
    assert noise.zoneout[0].mean() == pytest.approx(0.7, abs=0.01)
    assert not torch.equal(noise.zoneout[0][0], noise.zoneout[0][1])
    cell.eval()
    assert cell.sample_noise(2, 3, device=torch.device("cpu"), dtype=torch.float32) is None


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_one_input_mask_serves_all_steps_and_each_row_has_its_own(name, engine, asymmetric):
    options = {"dropout": 0.5, "activation": "linear", "engine": engine}
    layer = asymmetric(MAKERS[name](40, 3, recurrent_initializer="zeros", **options))
    cell = layer.cell
    with torch.no_grad():
        cell.weight_hh.zero_()
    x = torch.randn(1, 1, 40).expand(2, 6, 40)
    torch.manual_seed(5)
    output, _ = layer(x)
    torch.manual_seed(5)
    noise = cell.sample_noise(2, 6, device=x.device, dtype=x.dtype)
    expected, _ = seqlab.Recurrent(cell.eval())(x * noise.input_mask)
    torch.testing.assert_close(output, expected)
    assert not torch.allclose(output[0], output[1])
    layer.eval()
    torch.testing.assert_close(layer(x)[0][0], layer(x)[0][1])


def test_options_that_only_act_in_training_leave_the_kernel_in_place():
    layer = seqlab.LSTM(3, 4, recurrent_dropout=0.5, dropout=0.2, untied_dropout=True)
    x = torch.zeros(1, 2, 3)
    assert layer.explain(x).engine.name == "loop"
    assert layer.eval().explain(x).engine.name == "fused"


def test_a_subclass_with_equations_of_its_own_is_not_given_to_the_kernel():
    base = seqlab.get("cell", "lstm")

    class Forgetful(base):
        def update(self, x, h, state):
            output, new = super().update(x, h, state)
            return output * 0.5, LSTMState(output * 0.5, new.cell)

    layer = seqlab.Recurrent(Forgetful(3, 4))
    plan = layer.explain(torch.zeros(1, 2, 3))
    assert "Forgetful overrides update" in plan.refused["fused"]


def test_declared_vectors():
    base = seqlab.get("cell", "rnn")

    class Scaled(base):
        vectors = {"scale": "ones", "shift": {"name": "constant", "value": 0.5}}  # noqa: RUF012

        def update(self, x, h, state):
            del state
            hidden = self.activation(self.scale * (x.candidate + h.candidate) + self.shift)
            return hidden, self.State(hidden)

    layer = seqlab.Recurrent(Scaled(3, 4))
    assert (layer.cell.scale == 1).all()
    assert (layer.cell.shift == 0.5).all()
    output, _ = layer(torch.randn(2, 3, 3))
    output.sum().backward()
    assert layer.cell.scale.grad.shape == (4,)

    class Clashing(base):
        vectors = {"bias": "zeros"}  # noqa: RUF012

    with pytest.raises(OptionError, match="the name 'bias' is taken"):
        Clashing(3, 4)
