from __future__ import annotations

import pytest
import torch
from seqlab.errors import OptionError
from seqlab.testing import parametrize_with_checks
from seqlab.training.optimizers import build_optimizer
from seqlab_optimizers import AutoClip, Lion


@parametrize_with_checks(["optimizer=lion", "callback=autoclip"])
def test_conforms(check):
    check()


def test_lion_is_the_papers():
    weight = torch.nn.Parameter(torch.tensor([[1.0, -2.0]], dtype=torch.float64))
    optimizer = Lion([weight], lr=0.1, betas=(0.8, 0.5), weight_decay=0.3)
    w, m = weight.detach().clone(), torch.zeros(1, 2, dtype=torch.float64)
    for gradient in ([[0.5, -4.0]], [[-0.1, 9.0]], [[-0.3, 0.1]]):
        weight.grad = g = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        w = w - 0.1 * (torch.sign(0.8 * m + 0.2 * g) + 0.3 * w)
        m = 0.5 * m + 0.5 * g
        torch.testing.assert_close(weight.detach(), w)


def test_lion_in_a_spec_decays_matrices_alone():
    made = build_optimizer({"name": "lion", "weight_decay": 0.5}, torch.nn.Linear(3, 2))
    assert [group["weight_decay"] for group in made.param_groups] == [0.5, 0.0]
    with pytest.raises(OptionError, match=r"optimizer\.betas\[1\]: expected a number in \[0, 1\)"):
        build_optimizer({"name": "lion", "betas": [0.9, 1.5]}, torch.nn.Linear(3, 2))


def test_autoclip_clips_to_the_percentile_of_the_norms_so_far():
    model, clip = torch.nn.Linear(2, 1, bias=False), AutoClip(percentile=50)
    found = []
    for size in (1.0, 3.0, 8.0):
        model.weight.grad = torch.tensor([[0.0, size]])
        clip.on_before_optimizer_step(None, model, None)
        found.append(float(model.weight.grad.norm()))
    assert found == pytest.approx([1.0, 2.0, 3.0], rel=1e-4)
    again = AutoClip(percentile=50)
    again.load_state_dict(clip.state_dict())
    assert again.norms == [1.0, 3.0, 8.0]
