"""What holds for every cell, option, wrapper and mask."""

from __future__ import annotations

import copy
import io

import pytest
import seqlab
import small_cells as small
import torch
from hypothesis import given, settings
from small_cells import flat

checked = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def same(ours, theirs):
    for a, b in zip(flat(ours), flat(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@checked
@given(small.cells, small.options, small.wrapped, small.masks(), small.seeds)
def test_padding_never_matters(name, options, wrapped, mask, seed):
    layer = small.make(name, options, *wrapped, seed)
    x = small.sample(mask, seed)
    results = []
    for poison in (0.0, float("nan")):
        layer.zero_grad()
        output, state = layer(x.masked_fill(~mask.unsqueeze(-1), poison), mask=mask)
        (output.square().sum() + sum(s.sum() for s in flat(state))).backward()
        gradients = [p.grad.clone() for p in layer.parameters() if p.grad is not None]
        results.append([output, *flat(state), *gradients])
    same(results[0], results[1])
    assert torch.isfinite(torch.cat([r.flatten() for r in results[1]])).all()
    assert (results[1][0][~mask] == 0).all()


@checked
@given(small.cells, small.options, small.wrapped, small.masks(), small.seeds)
def test_rows_are_independent(name, options, wrapped, mask, seed):
    layer = small.make(name, options, *wrapped, seed)
    x = small.sample(mask, seed)
    output, state = layer(x, mask=mask)
    for row in range(len(x)):
        alone, last = layer(x[row : row + 1], mask=mask[row : row + 1])
        same(alone[0], output[row])
        same([part[0] for part in flat(last)], [part[row] for part in flat(state)])


@checked
@given(small.cells, small.options, small.masks(), small.seeds)
def test_a_split_run_equals_the_whole(name, options, mask, seed):
    for form in ("plain", "stacked", "residual"):
        layer = small.make(name, options, form, seed=seed)
        x = small.sample(mask, seed)
        whole, last = layer(x, mask=mask)
        cut = mask.shape[1] // 2
        first, state = layer(x[:, :cut], mask=mask[:, :cut])
        second, state = layer(x[:, cut:], state, mask=mask[:, cut:])
        same(torch.cat([first, second], 1), whole)
        same(state, last)


@checked
@given(small.cells, small.options, small.seeds)
def test_a_stream_equals_the_whole(name, options, seed):
    mask = torch.ones(3, 5, dtype=torch.bool)
    for form in ("plain", "stacked", "residual"):
        layer = small.make(name, options, form, seed=seed)
        x = small.sample(mask, seed)
        whole, last = layer(x)
        running = seqlab.stream(layer)
        steps = [running.step(x[:, t]) for t in range(5)]
        same(torch.stack([output for output, _ in steps], 1), whole)
        same(steps[-1][1], last)


@checked
@given(small.cells, small.options, small.masks(), small.seeds)
def test_bidirectional_is_two_runs_on_the_real_parts(name, options, mask, seed):
    layer = small.make(name, options, "bidirectional", "concat", seed)
    forward = layer.forward_layer
    backward = copy.deepcopy(layer.backward_layer)
    backward.reverse_()
    x = small.sample(mask, seed)
    output, state = layer(x, mask=mask)
    for row in range(len(x)):
        real = x[row : row + 1, mask[row]]
        ours, last = forward(real)
        theirs, first = backward(real.flip(1))
        same(output[row, mask[row]], torch.cat([ours, theirs.flip(1)], -1)[0])
        same([p[row] for p in flat(state.forward)], [p[0] for p in flat(last)])
        same([p[row] for p in flat(state.backward)], [p[0] for p in flat(first)])


@checked
@given(small.cells, small.options, small.wrapped, small.seeds)
def test_state_dicts_round_trip(name, options, wrapped, seed):
    layer = small.make(name, options, *wrapped, seed)
    stored = io.BytesIO()
    torch.save(layer.state_dict(), stored)
    stored.seek(0)
    twin = small.make(name, options, *wrapped, seed + 1)
    twin.load_state_dict(torch.load(stored, weights_only=True))
    mask = torch.ones(2, 4, dtype=torch.bool)
    x = small.sample(mask, seed)
    same(twin(x)[0], layer(x)[0])


@pytest.mark.parametrize("options", small.OPTIONS, ids=lambda o: "-".join(o) or "none")
@pytest.mark.parametrize("name", small.CELLS)
def test_gradients_are_those_of_finite_differences(name, options):
    layer = small.make(name, options, "bidirectional", "gate", seed=3)
    mask = torch.tensor([[True, False, True], [True, True, False]])
    names = [n for n, _ in layer.named_parameters()]

    def run(x, *parameters):
        values = dict(zip(names, parameters, strict=True))
        output, state = torch.func.functional_call(layer, values, (x, None, None, mask))
        return output, *flat(state)

    parameters = [p.detach().clone().requires_grad_() for p in layer.parameters()]
    x = small.sample(mask, 3).requires_grad_()
    assert torch.autograd.gradcheck(run, (x, *parameters), fast_mode=True)


EVERY_OPTION = {
    "activation": "mish",
    "recurrent_activation": {"name": "relu", "max_value": 1.0},
    "use_bias": False,
    "kernel_initializer": "he_uniform",
    "recurrent_initializer": "glorot_normal",
    "bias_initializer": {"name": "random_normal", "stddev": 0.1},
    "unit_forget_bias": True,
    "kernel_regularizer": "l1",
    "recurrent_regularizer": "orthogonal",
    "bias_regularizer": {"name": "l2", "l2": 0.5},
    "activity_regularizer": "l2",
    "kernel_constraint": "max_norm",
    "recurrent_constraint": "unit_norm",
    "bias_constraint": "non_neg",
    "dropout": 0.4,
    "recurrent_dropout": 0.4,
    "untied_dropout": True,
    "layer_norm": True,
    "zoneout": {"hidden": 0.3},
    "weight_dropout": 0.3,
    "chrono": 10,
    "modifier": {"name": "multiplicative_integration", "alpha": 0.5},
    "proj_size": 2,
    "heads": 2,
}


def test_the_list_of_options_is_whole():
    from seqlab.construct import accepted_options

    taken = set(accepted_options(seqlab.GatedCell)) - {"input_size", "hidden_size"}
    assert taken == set(EVERY_OPTION)


@pytest.mark.parametrize("option", EVERY_OPTION)
def test_every_option_acts_on_a_third_partys_cell(option):
    torch.manual_seed(1)
    plain = seqlab.Recurrent(small.MinimalGatedUnit(3, 4))
    torch.manual_seed(1)
    layer = seqlab.Recurrent(small.MinimalGatedUnit(3, 4, **{option: EVERY_OPTION[option]}))
    if option == "bias_regularizer":
        for each in (plain, layer):
            torch.nn.init.ones_(each.cell.bias)
    x = torch.randn(5, 6, 3)
    mask = torch.rand(5, 6) > 0.3
    torch.manual_seed(2)
    output, state = layer(x, mask=mask)
    loss = layer.regularization_loss()
    (output.sum() + loss).backward()
    with torch.no_grad():
        layer.cell.weight_ih.mul_(4.0)
        before = [p.clone() for p in layer.parameters()]
        if layer.cell.bias is not None:
            layer.cell.bias.sub_(1.0)
            before = [p.clone() for p in layer.parameters()]
        layer.apply_constraints()
    changed = any(not torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))
    torch.manual_seed(2)
    reference, _ = plain(x, mask=mask)
    differs = output.shape != reference.shape or not torch.allclose(output, reference)
    if option.endswith("_constraint"):
        assert changed
    elif option.endswith("_regularizer"):
        assert loss > 0
        assert not differs
    elif option == "untied_dropout":
        noise = layer.cell.sample_noise(2, 3, device=x.device, dtype=x.dtype)
        assert noise is None
    elif option == "use_bias":
        assert layer.cell.bias is None
    else:
        assert differs
    assert state.hidden.shape == (5, 4)
    assert torch.isfinite(output).all()


def test_penalties_and_constraints_act_in_a_training_loop():
    torch.manual_seed(0)
    x, y = torch.randn(16, 5, 3), torch.randn(16, 4)
    norms = []
    for regularizer in (None, {"name": "l2", "l2": 0.5}):
        layer = seqlab.Bidirectional(
            seqlab.Recurrent(
                small.MinimalGatedUnit(
                    3,
                    2,
                    kernel_regularizer=regularizer,
                    recurrent_constraint={"name": "max_norm", "max_value": 0.3},
                )
            )
        )
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
        for _ in range(30):
            optimizer.zero_grad()
            output, _ = layer(x)
            loss = (output[:, -1] - y).square().mean() + layer.regularization_loss()
            loss.backward()
            optimizer.step()
            layer.apply_constraints()
            assert all(cell.weight_hh.norm(dim=1).max() <= 0.3001 for cell in layer.cells())
        norms.append(sum(cell.weight_ih.norm() for cell in layer.cells()))
    assert norms[1] < 0.5 * norms[0]


@pytest.mark.parametrize("frozen", [("bias",), ("weight_ih", "weight_hh"), ("recurrent_bias",)])
def test_a_constraint_leaves_frozen_weights_as_they_are_to_the_bit(frozen):
    torch.manual_seed(0)
    options = {f"{part}_constraint": "unit_norm" for part in ("kernel", "recurrent", "bias")}
    cell = seqlab.GRU(5, 4, bias_initializer="random_normal", **options).float().cell
    cell.apply_constraints()
    kept = {name: copy.deepcopy(getattr(cell, name)).detach() for name in frozen}
    others = {n: p for n, p in cell.named_parameters() if n not in frozen}
    for name in frozen:
        getattr(cell, name).requires_grad_(requires_grad=False)
    with torch.no_grad():
        for parameter in others.values():
            parameter.mul_(1.5)
    for _ in range(50):
        cell.apply_constraints()
    for name, before in kept.items():
        assert torch.equal(getattr(cell, name), before), name
    for name, parameter in others.items():
        if name.startswith("weight"):
            norms = parameter.norm(dim=1)
            torch.testing.assert_close(norms, torch.ones_like(norms), msg=name)
