"""Layers inside torch.func's transforms and forward-mode differentiation: the loop runs them."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.errors import EngineError, ShapeError
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jacfwd, jvp, vmap


def recurrent(name):
    return seqlab.Recurrent(seqlab.get("cell", name)(3, 4))


LAYERS = {
    "rnn": lambda: seqlab.RNN(3, 4),
    "lstm": lambda: seqlab.LSTM(3, 4),
    "gru": lambda: seqlab.GRU(3, 4),
    "reversed": lambda: seqlab.GRU(3, 4, reverse=True),
    "lru": lambda: recurrent("lru"),
    "min_gru": lambda: recurrent("min_gru"),
    "pair": lambda: seqlab.Bidirectional(seqlab.LSTM(3, 4)),
    "stack": lambda: seqlab.Stacked([seqlab.GRU(3, 4), seqlab.GRU(4, 4)]),
}


@pytest.fixture(name="layer", params=LAYERS)
def _layer(request, asymmetric):
    return asymmetric(LAYERS[request.param]()).double()


@pytest.fixture(name="x")
def _x():
    return torch.randn(6, 5, 3, dtype=torch.float64)


def test_gradients_of_each_sample_add_up_to_those_of_the_batch(layer, x):
    values = {name: value.detach() for name, value in layer.named_parameters()}

    def loss(values, row):
        return functional_call(layer, values, (row[None],))[0].sum()

    found = vmap(grad(loss), in_dims=(None, 0))(values, x)
    layer(x)[0].sum().backward()
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(found[name].sum(0), parameter.grad)


def test_vmap_over_batches_is_each_batch(layer, x):
    batches = torch.stack([x, 2 * x])
    found = vmap(lambda batch: layer(batch)[0])(batches)
    torch.testing.assert_close(found, torch.stack([layer(batch)[0] for batch in batches]))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_forward_mode_gives_the_derivative_along_a_direction(layer, x):
    direction = torch.randn_like(x)
    _, along = jvp(lambda value: layer(value)[0], (x,), (direction,))
    with forward_ad.dual_level():
        dual = layer(forward_ad.make_dual(x, direction))[0]
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, along)
    jacobian = torch.autograd.functional.jacobian(lambda value: layer(value)[0], x)
    expected = (jacobian * direction).sum((-3, -2, -1))
    torch.testing.assert_close(along, expected)
    torch.testing.assert_close(jacfwd(lambda value: layer(value)[0])(x[:2]), jacobian[:2, :, :, :2])


def test_the_choice_is_for_the_transform_alone(x):
    layer = seqlab.GRU(3, 4).double()
    before = layer.explain(x).engine.name
    vmap(lambda batch: layer(batch)[0])(x[None])
    assert layer.explain(x).engine.name == before != "loop"


def test_an_engine_asked_for_by_name_says_why_not(x):
    layer = seqlab.GRU(3, 4, engine="fused").double()
    with pytest.raises(EngineError, match=r"inside torch\.func's transforms"):
        vmap(lambda batch: layer(batch)[0])(x[None])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.bool])
def test_an_input_of_another_type_is_named(name, dtype):
    layer = LAYERS[name]()
    words = rf"the input is {dtype} and the parameters are torch.float32; write x.to\("
    with pytest.raises(ShapeError, match=words):
        layer(torch.ones(2, 5, 3).to(dtype))
    if not layer.reverse and name != "pair":
        with pytest.raises(ShapeError, match=words):
            seqlab.stream(layer).step(torch.ones(2, 3).to(dtype))
