"""Every head on a GPU: loss, gradients and answers as on the CPU, in mixed precision as well."""

from __future__ import annotations

import copy
import json

import pytest
import seqlab
import torch
from seqlab.testing.sample import normal, shaken
from seqlab.testing.tasks import TARGETS, apart, make_model, make_task, small_head

pytestmark = pytest.mark.gpu

ENCODER = {"cell": {"name": "gru", "hidden_size": 6}, "wrappers": [{"name": "bidirectional"}]}
TASKS = {kind: make_task(kind) for kind in TARGETS}


def variants(head):
    """A head with each pooling, attention and search that it can have."""
    yield {}
    if head == "classification":
        yield from ({"pooling": name} for name in seqlab.available("pooling"))
        yield {"label_smoothing": 0.1}
    if head == "encoder_decoder":
        yield from ({"attention": {"name": name}} for name in seqlab.available("attention"))
        yield {"search": {"name": "beam", "width": 3}}
    if head == "ctc":
        yield from ({"search": search} for search in ("greedy", {"name": "beam", "width": 3}))
    if head == "tagging":
        yield {"crf": True}


CASES = [
    (head, kind, options)
    for head in seqlab.available("head")
    for kind in seqlab.get("head", head).needs
    for options in variants(head)
]


def named(value):
    return json.dumps(value) if isinstance(value, dict) else str(value)


def model_of(head, kind, options):
    spec = {"name": head, **small_head(seqlab.get("head", head), options)}
    return shaken(make_model(TASKS[kind], ENCODER, spec)).eval()


def loss_and_gradients(model, batch):
    loss = model.loss(batch)
    wanted = list(model.parameters())
    return [loss, *torch.autograd.grad(loss, wanted, allow_unused=True)]


@pytest.mark.parametrize(("head", "kind", "options"), CASES, ids=named)
def test_loss_gradients_and_answers(device, head, kind, options):
    here = model_of(head, kind, options).double()
    there, batch = copy.deepcopy(here).to(device), TASKS[kind].batch
    expected = loss_and_gradients(here, batch)
    found = loss_and_gradients(there, batch.to(device))
    for ours, reference in zip(found, expected, strict=True):
        assert (ours is None) == (reference is None)
        if reference is not None:
            assert ours.device.type == device.type
            torch.testing.assert_close(ours.cpu(), reference)
    with torch.inference_mode():
        difference = apart(there.predict(batch.to(device)), here.predict(batch))
    assert difference is not None
    assert difference < 1e-6


@pytest.mark.parametrize(("head", "kind", "options"), CASES, ids=named)
def test_measured_as_on_the_cpu(device, head, kind, options):
    here = model_of(head, kind, options).double()
    there, batch = copy.deepcopy(here).to(device), TASKS[kind].batch
    metrics = here.metrics()
    on_gpu = {name: metric.to(device) for name, metric in there.metrics().items()}
    with torch.inference_mode():
        here.measure(metrics, batch, final=True)
        there.measure(on_gpu, batch.to(device), final=True)
    for name, metric in metrics.items():
        torch.testing.assert_close(on_gpu[name].compute().cpu(), metric.compute(), equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("head", "kind", "options"), CASES, ids=named)
def test_mixed_precision(device, head, kind, options, dtype):
    model, batch = model_of(head, kind, options).to(device), TASKS[kind].batch.to(device)
    expected = model.loss(batch).detach()
    with torch.autocast(device.type, dtype=dtype):
        loss = model.loss(batch)
    loss.backward()
    assert loss.dtype == torch.float32
    assert abs(float(loss.detach() - expected)) < 0.1 * max(1.0, float(expected))
    for parameter in model.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()
    with torch.inference_mode(), torch.autocast(device.type, dtype=dtype):
        assert len(model.predict(batch)) == batch.size


@pytest.mark.parametrize(("head", "kind", "options"), CASES, ids=named)
def test_repeatable_algorithms(device, head, kind, options):
    """``trainer.deterministic=true`` refuses no head, in training or in testing."""
    model, batch = model_of(head, kind, options).to(device), TASKS[kind].batch.to(device)
    metrics = {name: metric.to(device) for name, metric in model.metrics().items()}
    torch.use_deterministic_algorithms(True)  # noqa: FBT003 - torch's own
    try:
        first, second = (loss_and_gradients(model, batch) for _ in range(2))
        with torch.inference_mode():
            model.measure(metrics, batch, final=True)
    finally:
        torch.use_deterministic_algorithms(False)  # noqa: FBT003 - torch's own
    for ours, again in zip(first, second, strict=True):
        assert ours is again is None or torch.equal(ours, again)


ACTIVATIONS = [name for name in seqlab.available("activation") if name != "threshold"]


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation(device, name, deterministic):
    function = seqlab.get("activation", name)
    x = normal(4, 6, seed=3).requires_grad_()
    there = x.detach().to(device).requires_grad_()
    expected = function(x)
    torch.use_deterministic_algorithms(deterministic)
    try:
        found = function(there)
        weight = normal(*expected.shape, seed=4)
        (slope,) = torch.autograd.grad((found * weight.to(device)).sum(), there)
    finally:
        torch.use_deterministic_algorithms(False)  # noqa: FBT003 - torch's own
    torch.testing.assert_close(found.cpu(), expected)
    torch.testing.assert_close(slope.cpu(), torch.autograd.grad((expected * weight).sum(), x)[0])


@pytest.mark.parametrize("name", seqlab.available("initializer"))
def test_every_initializer_draws_there(device, name):
    """A seed decides what is drawn, wherever; a matrix on the GPU has the numbers' scale."""
    options = {"constant": {"value": 0.5}}.get(name, {})
    drawn = []
    for _ in range(2):
        torch.manual_seed(11)
        with torch.device(device):
            cell = seqlab.get("cell", "gru")(6, 6, kernel_initializer={"name": name, **options})
        assert cell.weight_ih.device.type == device.type
        drawn.append(cell.weight_ih.detach())
    assert torch.equal(*drawn)
    torch.manual_seed(11)
    here = seqlab.get("cell", "gru")(6, 6, kernel_initializer={"name": name, **options}).weight_ih
    torch.testing.assert_close(drawn[0].cpu().std(), here.detach().std(), atol=0.1, rtol=0.5)
