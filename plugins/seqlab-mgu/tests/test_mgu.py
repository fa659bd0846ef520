from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab_mgu import MGU

X = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def asymmetric_cell(**options):
    cell = MGU(4, 5, **options).double()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in cell.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise / 2)
    return cell


def by_hand(cell, x, hidden):
    """The paper's equations on plain matrices."""
    w_forget, w_candidate = cell.weight_ih.chunk(2)
    u_forget, u_candidate = cell.weight_hh.chunk(2)
    b_forget, b_candidate = cell.bias.chunk(2)
    outputs = []
    for x_t in x.unbind(1):
        forget = torch.sigmoid(x_t @ w_forget.T + hidden @ u_forget.T + b_forget)
        candidate = torch.tanh(
            x_t @ w_candidate.T + (forget * hidden) @ u_candidate.T + b_candidate
        )
        hidden = (1 - forget) * hidden + forget * candidate
        outputs.append(hidden)
    return torch.stack(outputs, 1)


def test_the_equations_of_the_paper():
    cell = asymmetric_cell()
    start = torch.randn(3, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    output, state = seqlab.Recurrent(cell)(X, state=(start,))
    torch.testing.assert_close(output, by_hand(cell, X, start))
    torch.testing.assert_close(state.hidden, output[:, -1])


def test_it_is_known_by_name_and_distribution():
    assert seqlab.get("cell", "mgu") is MGU
    assert seqlab.registry.owner_of("cell", "mgu")[0] == "seqlab-mgu"


def test_gradients():
    layer = seqlab.Recurrent(asymmetric_cell())
    x = X[:2, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda value: layer(value)[0], (x,))


@pytest.mark.parametrize(
    "options",
    [
        {"layer_norm": True},
        {"zoneout": 0.2},
        {"recurrent_dropout": 0.3, "dropout": 0.1},
        {"weight_dropout": 0.2},
        {"use_bias": False},
        {"unit_forget_bias": True},
        {"activation": "relu", "recurrent_activation": "hard_sigmoid"},
        {"kernel_regularizer": "l2", "recurrent_constraint": "unit_norm"},
    ],
)
def test_the_options_of_gated_cells(options):
    layer = seqlab.Recurrent(MGU(4, 5, **options))
    output, _ = layer(X.float(), lengths=torch.tensor([6, 0, 2]))
    (output.square().sum() + layer.regularization_loss()).backward()
    layer.apply_constraints()
    assert output.isfinite().all()
    assert (output[1] == 0).all()
    assert layer.cell.weight_hh.grad.abs().sum() > 0


def test_in_wrappers():
    layer = seqlab.Bidirectional(seqlab.Recurrent(MGU(4, 5)))
    assert layer(X.float())[0].shape == (3, 6, 10)
