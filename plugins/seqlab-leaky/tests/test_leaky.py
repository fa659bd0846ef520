from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab_leaky import LeakyRNN

X = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def asymmetric_cell(**options):
    cell = LeakyRNN(4, 5, **options).double()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in cell.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise / 2)
    return cell


def by_hand(cell, x, hidden):
    """The papers' equations on plain matrices."""
    share = 1 / (1 + torch.exp(-cell.leak))
    outputs = []
    for x_t in x.unbind(1):
        candidate = torch.tanh(x_t @ cell.weight_ih.T + hidden @ cell.weight_hh.T + cell.bias)
        hidden = (1 - share) * hidden + share * candidate
        outputs.append(hidden)
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_the_equations_of_the_papers(engine):
    cell = asymmetric_cell()
    start = torch.randn(3, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    output, state = seqlab.Recurrent(cell, engine=engine)(X, state=(start,))
    torch.testing.assert_close(output, by_hand(cell, X, start))
    torch.testing.assert_close(state.hidden, output[:, -1])


def test_gradients():
    layer = seqlab.Recurrent(asymmetric_cell())
    x = X[:2, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda value: layer(value)[0], (x,))


def test_fresh_units_have_time_scales_of_their_own():
    torch.manual_seed(0)
    steps = 1 / torch.sigmoid(LeakyRNN(3, 400).leak.detach())
    assert 1.3 < float(steps.min()) < 2
    assert 40 < float(steps.max()) < 56


def test_a_unit_with_a_small_share_forgets_slowly():
    cell = LeakyRNN(1, 2, recurrent_initializer="zeros").double()
    with torch.no_grad():
        cell.leak.copy_(torch.logit(torch.tensor([0.5, 0.01], dtype=torch.float64)))
        cell.weight_ih.fill_(0.0)
    start = torch.ones(1, 2, dtype=torch.float64)
    _, state = seqlab.Recurrent(cell)(torch.zeros(1, 10, 1, dtype=torch.float64), state=(start,))
    torch.testing.assert_close(
        state.hidden[0], torch.tensor([0.5, 0.99], dtype=torch.float64) ** 10
    )


def test_it_is_known_by_name_and_distribution():
    assert seqlab.get("cell", "leaky_rnn") is LeakyRNN
    assert seqlab.registry.owner_of("cell", "leaky_rnn")[0] == "seqlab-leaky"


@pytest.mark.parametrize(
    "options",
    [
        {"layer_norm": True},
        {"zoneout": 0.2, "dropout": 0.1},
        {"recurrent_dropout": 0.3, "use_bias": False},
        {"activation": "relu", "recurrent_activation": "hard_sigmoid"},
        {"kernel_regularizer": "l2", "recurrent_constraint": "unit_norm"},
    ],
)
def test_the_options_of_gated_cells(options):
    layer = seqlab.Recurrent(LeakyRNN(4, 5, **options))
    output, _ = layer(X.float(), lengths=torch.tensor([6, 0, 2]))
    (output.square().sum() + layer.regularization_loss()).backward()
    layer.apply_constraints()
    assert output.isfinite().all()
    assert (output[1] == 0).all()
    assert layer.cell.leak.grad.abs().sum() > 0
