"""Linear recurrences: the parallel scan equals the step, and each cell its equations."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.engines.scan.linear_scan import linear_scan

NAMES = ("min_gru", "min_lstm", "sru", "qrnn", "lru", "rg_lru")


def results(layer, x, state, mask):
    output, final = layer(x, state, mask=mask)
    weight = torch.linspace(-1, 2, output.numel(), dtype=x.dtype).view_as(output)
    loss = (output * weight).sum() + final.hidden.sin().sum()
    return [output, final.hidden, *torch.autograd.grad(loss, [x, *state, *layer.parameters()])]


@pytest.mark.parametrize("steps", [1, 7, 16, 53])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [(5, 7), (4, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_scan_equals_loop(name, size, reverse, steps):
    make = seqlab.get("cell", name)
    loop, scan = (
        seqlab.Recurrent(make(*size), engine=engine, reverse=reverse).double()
        for engine in ("loop", "scan")
    )
    scan.load_state_dict(loop.state_dict())
    x = torch.randn(3, steps, size[0], dtype=torch.float64, requires_grad=True)
    state = [torch.randn_like(part).requires_grad_() for part in loop.initial_state(3)]
    mask = torch.rand(3, steps) > 0.4
    mask[1] = False
    for given in (None, mask):
        expected, found = results(loop, x, state, given), results(scan, x, state, given)
        for ours, reference in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, reference)
    assert seqlab.Recurrent(make(*size)).explain(x.float()).engine.name == "scan"


@pytest.mark.parametrize("name", NAMES)
def test_streaming_equals_the_whole_run(name):
    layer = seqlab.Recurrent(seqlab.get("cell", name)(3, 5)).double()
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    running = seqlab.stream(layer)
    steps = torch.stack([running.step(x[:, t])[0] for t in range(6)], 1)
    torch.testing.assert_close(steps, layer(x)[0])


def sigmoid(value):
    return 1 / (1 + torch.exp(-value))


def affine(cell, x, name):
    rows = slice(cell.gates.index(name) * cell.hidden_size, None)
    rows = slice(rows.start, rows.start + cell.hidden_size)
    return x @ cell.weight[rows].T + cell.bias[rows]


def by_hand(name, cell, x, h):
    """One step, from the equations of the papers."""
    if name in {"min_gru", "min_lstm"}:
        n = affine(cell, x, "candidate")
        n = torch.where(n >= 0, n + 0.5, sigmoid(n)) if cell.positive else n
    if name == "min_gru":
        z = sigmoid(affine(cell, x, "update"))
        new = (1 - z) * h + z * n
        return new, new
    if name == "min_lstm":
        f, i = sigmoid(affine(cell, x, "forget")), sigmoid(affine(cell, x, "input"))
        new = (f * h + i * n) / (f + i)
        return new, new
    if name == "rg_lru":
        r, i = sigmoid(affine(cell, x, "recurrence")), sigmoid(affine(cell, x, "input"))
        a = torch.exp(-8 * torch.log(1 + torch.exp(cell.decay)) * r)
        new = a * h + torch.sqrt(1 - a**2) * i * (x @ cell.weight_in.T)
        return new, new
    f = sigmoid(affine(cell, x, "forget"))
    n = affine(cell, x, "candidate")
    if name == "sru":
        new = f * h + (1 - f) * n
        r = sigmoid(affine(cell, x, "reset"))
        return r * torch.tanh(new) + (1 - r) * (x @ cell.highway.T), new
    new = f * h + (1 - f) * torch.tanh(n)
    return sigmoid(affine(cell, x, "output")) * new, new


@pytest.mark.parametrize(
    ("name", "options"),
    [("min_gru", {}), ("min_gru", {"positive": True}), ("min_lstm", {}),
     ("min_lstm", {"positive": True}), ("sru", {}), ("qrnn", {}), ("rg_lru", {})],
)  # fmt: skip
def test_steps_are_the_papers_equations(name, options, asymmetric):
    cell = asymmetric(seqlab.get("cell", name)(3, 5, **options).double())
    x, h = torch.randn(2, 4, 3, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    outputs, _ = seqlab.Recurrent(cell)(x, (h,))
    for t in range(4):
        expected, h = by_hand(name, cell, x[:, t], h)
        torch.testing.assert_close(outputs[:, t], expected)


def test_lru_is_a_sum_of_decaying_oscillations():
    cell = seqlab.get("cell", "lru")(3, 5).double()
    x = torch.randn(1, 6, 3, dtype=torch.float64)
    output, _ = seqlab.Recurrent(cell)(x)
    radius, phase = torch.exp(-torch.exp(cell.nu)), torch.exp(cell.theta)
    inside = torch.complex(*(x[0] @ cell.weight_in.T).chunk(2, -1))
    out = torch.complex(*cell.weight_out.chunk(2, -1))
    last = sum(
        torch.polar(radius ** (5 - t), phase * (5 - t)) * torch.sqrt(1 - radius**2) * inside[t]
        for t in range(6)
    )
    expected = (out @ last).real + cell.weight_skip @ x[0, 5]
    torch.testing.assert_close(output[0, 5], expected)
    assert ((radius >= 0.4) & (radius <= 0.99)).all()


def test_long_sequences_with_vanishing_and_zero_factors_stay_exact():
    a = torch.rand(1, 3000, 2, dtype=torch.float64) * 0.2
    a[:, ::7] = 0.0
    b = torch.randn(1, 3000, 2, dtype=torch.float64)
    h, expected = torch.zeros(1, 2, dtype=torch.float64), []
    for t in range(3000):
        h = a[:, t] * h + b[:, t]
        expected.append(h)
    torch.testing.assert_close(linear_scan(a, b, torch.zeros_like(h)), torch.stack(expected, 1))


@pytest.mark.parametrize("reverse", [False, True])
def test_first_and_second_derivatives(reverse):
    parts = [torch.randn(2, 19, 2, dtype=torch.complex128, requires_grad=True) for _ in range(2)]
    start = torch.randn(2, 2, dtype=torch.complex128, requires_grad=True)

    def run(a, b, h):
        return linear_scan(a, b, h, reverse=reverse)

    assert torch.autograd.gradcheck(run, (*parts, start))
    assert torch.autograd.gradgradcheck(run, (parts[0][:, :4], parts[1][:, :4], start))


def test_wrong_options_are_refused():
    for name, options in (
        ("lru", {"min_radius": 0.9, "max_radius": 0.5}),
        ("rg_lru", {"max_radius": 1.0}),
        ("rg_lru", {"c": 0.0}),
        ("min_gru", {"positive": "yes"}),
        ("sru", {"use_bias": 1}),
    ):
        with pytest.raises(seqlab.errors.OptionError, match=next(iter(options))):
            seqlab.get("cell", name)(3, 4, **options)
