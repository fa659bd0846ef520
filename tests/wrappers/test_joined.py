"""Layers that run in one call equal the same layers one by one: outputs, states, gradients."""

from __future__ import annotations

import copy

import pytest
import seqlab
import torch
from seqlab.engines.calls import expected_calls
from seqlab.engines.fused import cell_stack, vendor_calls
from seqlab.layers.recurrent import Recurrent
from seqlab.verbs.explain import _table
from torch.utils import _pytree


def yes(*_args, **_options):
    return True


def no(*_args, **_options):
    return False


MAKERS = {"rnn": seqlab.RNN, "lstm": seqlab.LSTM, "gru": seqlab.GRU}


def stack(make, *, pair=True, depth=3, **options):
    """Layers on top of each other, each in both directions where ``pair``."""
    layers, width = [], 5
    for _ in range(depth):
        layer = make(width, 7, **options)
        layers.append(seqlab.Bidirectional(layer) if pair else layer)
        width = layers[-1].output_size
    return seqlab.Stacked(layers)


FORMS = {
    "pair": lambda make, **options: seqlab.Bidirectional(make(5, 7, **options)),
    "sum": lambda make, **options: seqlab.Bidirectional(make(5, 7, **options), "sum"),
    "gate": lambda make, **options: seqlab.Bidirectional(make(5, 7, **options), "gate"),
    "stack": lambda make, **options: stack(make, pair=False, **options),
    "stack of pairs": stack,
    "pair of stacks": lambda make, **options: seqlab.Bidirectional(
        stack(make, pair=False, depth=2, **options)
    ),
}
MASKS = {
    "none": None,
    "padded": torch.arange(9) < torch.tensor([9, 0, 1, 4]).unsqueeze(1),
    "short": torch.arange(9) < torch.tensor([6, 0, 1, 4]).unsqueeze(1),
    "holes": torch.rand(4, 9, generator=torch.Generator().manual_seed(2)) > 0.4,
    "all masked": torch.zeros(4, 9, dtype=torch.bool),
}


def twin(layer):
    """The same layer, run by the loop."""
    copied = copy.deepcopy(layer)
    for part in copied.modules():
        if isinstance(part, Recurrent):
            part.engine = "loop"
    return copied


def results(layer, x, state, mask):
    x = x.clone().requires_grad_()
    given, form = _pytree.tree_flatten(() if state is None else state)
    given = [part.clone().requires_grad_() for part in given]
    start = None if state is None else _pytree.tree_unflatten(given, form)
    output, final = layer(x, start, mask=mask)
    finals = _pytree.tree_leaves(final)
    weight = torch.linspace(-1, 2, output.numel(), dtype=x.dtype).view(output.shape)
    loss = (output * weight).sum() + sum((1 + i) * f.sin().sum() for i, f in enumerate(finals))
    wanted = [x, *given, *layer.parameters()]
    grads = torch.autograd.grad(loss, wanted, allow_unused=True)
    zeros = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, grads, strict=True)]
    return _pytree.tree_structure(final), [output, *finals, *zeros]


def compare(layer, x, state, mask, **tolerance):
    structure, found = results(layer, x, state, mask)
    expected_structure, expected = results(twin(layer), x, state, mask)
    assert structure == expected_structure
    for ours, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, reference, **tolerance)


@pytest.fixture(name="calls")
def _calls(monkeypatch):
    """How many levels and directions each call of torch's kernels ran."""
    made = []
    once = vendor_calls._call

    def counted(form, *args, **kwargs):
        made.append((form.levels, form.directions))
        return once(form, *args, **kwargs)

    monkeypatch.setattr(vendor_calls, "_call", counted)
    return made


@pytest.fixture(name="like_a_gpu")
def _like_a_gpu(monkeypatch):
    """Masked batches packed, and gradients of gradients by the loop, as where cuDNN runs."""
    monkeypatch.setattr(cell_stack, "pads", no)
    monkeypatch.setattr(cell_stack, "_once_differentiable", yes)
    monkeypatch.setattr("seqlab.engines.fused.engine.joins_masked", yes)


@pytest.fixture(name="layer", params=[(n, f, r) for n in MAKERS for f in FORMS for r in (0, 1)])
def _layer(request, asymmetric):
    name, form, reverse = request.param
    layer = asymmetric(FORMS[form](MAKERS[name])).double()
    if reverse:
        layer.reverse_()
    return layer


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("given", [False, True])
def test_equals_loop(layer, given, kind):
    state = None
    if given:
        state = _pytree.tree_map(torch.randn_like, layer.initial_state(4))
    compare(layer, torch.randn(4, 9, 5, dtype=torch.float64), state, MASKS[kind])


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.usefixtures("like_a_gpu")
def test_packed_equals_loop(layer, kind):
    state = _pytree.tree_map(torch.randn_like, layer.initial_state(4))
    compare(layer, torch.randn(4, 9, 5, dtype=torch.float64), state, MASKS[kind])


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("like_a_gpu")
def test_packed_levels_are_one_call(form, kind, calls):
    FORMS[form](seqlab.RNN)(torch.randn(4, 9, 5), mask=MASKS[kind])
    one = {"stack": [(3, 1)], "stack of pairs": [(3, 2)], "pair of stacks": [(2, 1)] * 2}
    assert calls == one.get(form, [(1, 2)])


@pytest.mark.parametrize("options", [{"use_bias": False}, {"proj_size": 3}])
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("packed", [False, True])
def test_other_weights(options, kind, packed, asymmetric, request):
    if packed:
        request.getfixturevalue("like_a_gpu")
    layer = asymmetric(stack(seqlab.LSTM, **options)).double()
    compare(layer, torch.randn(4, 9, 5, dtype=torch.float64), None, MASKS[kind])


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_float32_with_large_inputs(name, kind, asymmetric):
    layer = asymmetric(stack(MAKERS[name]), 3.0)
    x = 30 * torch.randn(4, 9, 5)
    compare(layer, x, None, MASKS[kind], rtol=1e-3, atol=1e-3)


def test_a_call_for_all_levels_or_for_each_where_there_are_masks(calls):
    layer = stack(seqlab.LSTM)
    x = torch.randn(4, 9, 5)
    layer(x)
    assert calls == [(3, 2)]
    calls.clear()
    layer(x, lengths=torch.tensor([9, 0, 1, 4]))
    assert calls == [(1, 2)] * 3
    calls.clear()
    stack(seqlab.GRU, pair=False)(x, lengths=torch.tensor([9, 9, 9, 9]))
    assert calls == [(3, 1)]


def dropped(**options):
    return lambda: seqlab.Stacked([seqlab.GRU(5, 7), seqlab.GRU(7, 7)], **options)


APART = {
    "other cells": lambda: seqlab.Bidirectional(seqlab.LSTM(5, 7), backward_layer=seqlab.GRU(5, 7)),
    "other widths": lambda: seqlab.Stacked([seqlab.GRU(5, 7), seqlab.GRU(7, 4)]),
    "other biases": lambda: seqlab.Stacked([seqlab.GRU(5, 7, use_bias=False), seqlab.GRU(7, 7)]),
    "other orders": lambda: seqlab.Stacked([seqlab.GRU(5, 7), seqlab.GRU(7, 7, reverse=True)]),
    "between them dropout": dropped(dropout=0.5),
    "between them residuals": dropped(residual=True),
    "carry": lambda: seqlab.Bidirectional(seqlab.GRU(5, 7, masked_output="carry")),
    "masks to draw": lambda: seqlab.Bidirectional(seqlab.GRU(5, 7, dropout=0.3)),
    "activity": lambda: seqlab.Bidirectional(seqlab.GRU(5, 7, activity_regularizer="l2")),
    "a loop asked for": lambda: seqlab.Bidirectional(seqlab.GRU(5, 7, engine="loop")),
    "one by another engine": lambda: seqlab.Bidirectional(
        seqlab.GRU(5, 7), backward_layer=seqlab.GRU(5, 7, engine="loop")
    ),
}


@pytest.mark.parametrize("form", APART)
def test_what_stands_between_keeps_layers_apart(form, calls):
    layer = APART[form]()
    x = torch.randn(4, 9, 5)
    torch.manual_seed(3)
    output, _ = layer(x, lengths=torch.tensor([9, 0, 1, 4]))
    assert all(shape == (1, 1) for shape in calls)
    torch.manual_seed(3)
    torch.testing.assert_close(output, twin(layer)(x, lengths=torch.tensor([9, 0, 1, 4]))[0])


def test_dropout_and_masks_of_training_do_not_matter_in_evaluation(calls):
    for form in ("between them dropout", "masks to draw", "activity"):
        layer = APART[form]().eval()
        calls.clear()
        layer(torch.randn(4, 9, 5))
        assert calls in ([(2, 1)], [(1, 2)])


def test_penalties_of_outputs_are_kept():
    layer = APART["activity"]()
    reference = twin(layer)
    x = torch.randn(4, 9, 5)
    layer(x), reference(x)
    torch.testing.assert_close(layer.regularization_loss(), reference.regularization_loss())
    assert layer.regularization_loss() == 0


def test_hooks_see_their_layer_s_calls():
    layer = stack(seqlab.GRU, depth=2)
    x = torch.randn(4, 9, 5)
    expected, _ = layer(x)
    seen = []
    handle = layer.layers[1].backward_layer.register_forward_hook(
        lambda *call: seen.append(call[-1][0])
    )
    output, _ = layer(x)
    torch.testing.assert_close(seen, [output[..., 7:]])
    torch.testing.assert_close(output, expected)
    handle.remove()
    layer(x)
    assert len(seen) == 1


class Doubled(seqlab.GRU):
    def forward(self, *args, **kwargs):
        output, state = super().forward(*args, **kwargs)
        return 2 * output, state


def test_a_subclass_s_forward_is_called(asymmetric):
    layer = asymmetric(seqlab.Stacked([Doubled(5, 7), seqlab.GRU(7, 7)]))
    x = torch.randn(4, 9, 5)
    plain = seqlab.Stacked([seqlab.GRU(5, 7), seqlab.GRU(7, 7)])
    plain.load_state_dict(layer.state_dict())
    first = plain.layers[0](x)[0]
    torch.testing.assert_close(layer(x)[0], plain.layers[1](2 * first)[0])


def test_no_random_number_is_drawn_to_decide():
    for form in APART.values():
        layer = form().eval()
        before = torch.get_rng_state()
        layer(torch.ones(2, 3, 5))
        assert torch.equal(torch.get_rng_state(), before)


def test_the_recorded_engine_is_fused_and_a_plan_of_another_is_followed(calls):
    layer = stack(seqlab.GRU)
    with expected_calls(2) as chosen:
        layer(torch.randn(4, 9, 5))
    assert chosen == {"fused"}
    assert calls == [(3, 2)]


def test_wrong_arguments_are_named_as_before():
    layer = stack(seqlab.LSTM)
    x = torch.randn(4, 9, 5)
    with pytest.raises(seqlab.errors.ShapeError, match=r"LSTM\(.*the input must be \[B, T, 5\]"):
        layer(x[..., :3])
    with pytest.raises(seqlab.errors.ShapeError, match=r"a state tensor must be \(4, 7\)"):
        layer(x, layer.initial_state(3))
    with pytest.raises(seqlab.errors.ShapeError, match=r"must have 2 parts \(forward, backward\)"):
        layer(x, ((torch.zeros(4, 7),), None, None))
    with pytest.raises(seqlab.errors.ShapeError, match=r"mask must be \(4, 9\) bool"):
        layer(x, mask=torch.ones(4, 8, dtype=torch.bool))


def test_part_of_a_state_may_be_left_out(asymmetric):
    layer = asymmetric(stack(seqlab.LSTM, depth=2)).double()
    x = torch.randn(4, 9, 5, dtype=torch.float64)
    some = _pytree.tree_map(torch.randn_like, layer.layers[1].initial_state(4))
    for mask in MASKS.values():
        output, _ = layer(x, (None, some), mask=mask)
        torch.testing.assert_close(output, twin(layer)(x, (None, some), mask=mask)[0])
        output, _ = layer(x, (None, (some[0], None)), mask=mask)
        torch.testing.assert_close(output, twin(layer)(x, (None, (some[0], None)), mask=mask)[0])


@pytest.mark.parametrize("shape", [(2, 0, 5), (0, 4, 5), (1, 1, 5)])
def test_small_shapes(shape):
    layer = stack(seqlab.LSTM)
    lengths = torch.full((shape[0],), shape[1])
    output, state = layer(torch.randn(shape), lengths=lengths)
    assert output.shape == (*shape[:2], 14)
    assert state[2].backward.cell.shape == (shape[0], 7)


def test_explain_says_what_runs_together():
    layer = stack(seqlab.LSTM, depth=2)
    lines = _table(layer, 4, 9, padded=True).splitlines()
    whole = "layers.0.backward_layer, layers.1.forward_layer, layers.1.backward_layer"
    assert lines[1].split()[:4] == ["layers.0.forward_layer", "LSTMCell(5,", "7)", "fused"]
    assert lines[1].endswith(f"in one run with {whole}")
    apart = _table(dropped(dropout=0.5)(), 4, 9, padded=True)
    assert "in one run" not in apart
    pair = _table(seqlab.Bidirectional(seqlab.GRU(5, 7)), 4, 9, padded=False)
    assert "in one run with backward_layer" in pair
