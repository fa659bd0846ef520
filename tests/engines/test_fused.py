"""The fused engine: gradients of gradients, types, and how the kernels are called."""

from __future__ import annotations

import copy
import gc

import pytest
import seqlab
import torch
from seqlab.engines.fused import cell_stack, cudnn_call, packing, vendor_calls
from seqlab.engines.fused.call_form import CallForm
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.checkpoint import checkpoint


def without_autocast(_data):
    return not torch.is_autocast_enabled("cpu")


def yes(*_args, **_options):
    return True


def no(*_args, **_options):
    return False


MAKERS = {"rnn": seqlab.RNN, "lstm": seqlab.LSTM, "gru": seqlab.GRU}
MASKS = {
    "none": None,
    "padded": torch.arange(6) < torch.tensor([6, 0, 1, 4]).unsqueeze(1),
    "even": (torch.arange(6) < 4).expand(4, 6),
    "even holes": (torch.arange(24).view(4, 6) * 5 + torch.arange(4).unsqueeze(1)) % 2 == 0,
    "holes": torch.tensor([[1, 0, 1, 1, 0, 1], [0] * 6, [0, 0, 0, 1, 0, 0], [1] * 6]).bool(),
}
FORMS = {
    "layer": lambda make: make(5, 7),
    "reversed": lambda make: make(5, 7, reverse=True),
    "stack": lambda make: seqlab.Stacked(
        [seqlab.Bidirectional(make(5, 7)), seqlab.Bidirectional(make(14, 7))]
    ),
}


def by_engine(layer, engine):
    layer = copy.deepcopy(layer)
    for part in layer.modules():
        if isinstance(part, seqlab.Recurrent):
            part.engine = engine
    return layer


class StandInKernel(cudnn_call.Kernel):
    """Torch's kernels of the CPU, called as cuDNN's are."""

    def forward(self, data, tensors):
        mode, _, _, levels, batch_first, _, train, both, sizes, _ = self.settings
        name = {number: name for name, number in cudnn_call.MODES.items()}[mode]
        form = CallForm(name, levels, 1 + both, self.stride > 3, train)
        sizes = torch.tensor(sizes) if sizes else None
        results = vendor_calls._by_torch(form, sizes, data, *tensors, batch_first=batch_first)
        return (*results, data.new_zeros(1), data.new_zeros(1))

    def backward(self, inputs, _, grads, mask):
        with torch.enable_grad():
            leaves = [value.detach().requires_grad_() for value in inputs]
            results = self.forward(leaves[0], leaves[1:])[:-2]
        pairs = [(r, g) for r, g in zip(results, grads, strict=True) if g is not None]
        found = list(torch.autograd.grad([r for r, _ in pairs], leaves, [g for _, g in pairs]))
        return found if mask[3] else found[: 1 + self.fields]


@pytest.fixture(name="once_differentiable", params=["twice", "graph", "node"])
def _once_differentiable(request, monkeypatch):
    """As on a GPU, where the kernel has no second derivatives: a graph or a node in the graph."""
    if request.param != "twice":
        monkeypatch.setattr(cell_stack, "_once_differentiable", yes)
    if request.param == "node":
        monkeypatch.setattr(vendor_calls, "calls_cudnn", without_autocast)
        monkeypatch.setattr(cudnn_call, "Kernel", StandInKernel)
    return request.param != "twice"


def second_derivatives(layer, x, mask):
    x = x.clone().requires_grad_()
    wanted = [x, *layer.parameters()]
    output, final = layer(x, mask=mask)
    loss = output.pow(2).sum() + layer.final_output(final).sin().sum()
    first = torch.autograd.grad(loss, wanted, create_graph=True)
    return [*first, *torch.autograd.grad(sum(g.pow(2).sum() for g in first), wanted)]


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MAKERS)
def test_second_derivatives_equal_the_loop_s(name, form, kind, asymmetric, once_differentiable):
    layer = asymmetric(FORMS[form](MAKERS[name])).double()
    x = torch.randn(4, 6, 5, dtype=torch.float64)
    found = second_derivatives(by_engine(layer, "fused"), x, MASKS[kind])
    expected = second_derivatives(by_engine(layer, "loop"), x, MASKS[kind])
    for ours, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize(
    "options", [{"use_bias": False}, {"proj_size": 3}, {"weight_dropout": 0.4}]
)
def test_second_derivatives_of_other_weights(options, asymmetric, once_differentiable):
    layer = asymmetric(seqlab.LSTM(5, 7, **options)).double()
    x = torch.randn(4, 6, 5, dtype=torch.float64)
    found = []
    for engine in ("fused", "loop"):
        torch.manual_seed(1)
        found.append(second_derivatives(by_engine(layer, engine), x, MASKS["holes"]))
    for ours, reference in zip(*found, strict=True):
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_float32_second_derivatives_of_onednn(name, asymmetric):
    layer = asymmetric(MAKERS[name](5, 7), 0.3)
    x = torch.randn(4, 6, 5)
    found = second_derivatives(by_engine(layer, "fused"), x, MASKS["padded"])
    expected = second_derivatives(by_engine(layer, "loop"), x, MASKS["padded"])
    for ours, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-3, atol=1e-4)


def test_a_kept_graph_gives_gradients_twice_and_a_freed_one_says_so(once_differentiable):
    layer = seqlab.LSTM(5, 7, engine="fused")
    loss = layer(torch.randn(4, 6, 5))[0].pow(2).sum()
    parameters = list(layer.parameters())
    first = torch.autograd.grad(loss, parameters, retain_graph=True)
    again = torch.autograd.grad(loss, parameters)
    torch.testing.assert_close(again, first)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(loss, parameters)


def test_backward_frees_what_the_kernel_kept(once_differentiable):
    saved = []

    def pack(tensor):
        saved.append((StorageWeakRef(tensor.untyped_storage()), tensor.data_ptr()))
        return tensor

    layer = seqlab.LSTM(5, 7, engine="fused")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = layer(torch.randn(4, 6, 5), mask=MASKS["holes"])[0].pow(2).sum()
    parameters = {p.data_ptr() for p in layer.parameters()}
    others = [ref for ref, address in saved if address not in parameters]
    assert others
    assert not all(ref.expired() for ref in others)
    loss.backward()
    gc.collect()
    assert all(ref.expired() for ref in others)


def test_checkpointing_and_hooks_of_parameters(once_differentiable):
    layer = seqlab.LSTM(5, 7, engine="fused")
    x = torch.randn(4, 6, 5, requires_grad=True)
    expected = torch.autograd.grad(layer(x)[0].pow(2).sum(), [x, *layer.parameters()])
    seen = []
    for parameter in layer.parameters():
        parameter.register_post_accumulate_grad_hook(seen.append)
    checkpoint(lambda value: layer(value)[0], x, use_reentrant=False).pow(2).sum().backward()
    torch.testing.assert_close([x.grad, *(p.grad for p in layer.parameters())], list(expected))
    assert len(seen) == 3


def test_changing_an_input_in_place_is_noticed(once_differentiable):
    layer = seqlab.GRU(5, 7, engine="fused")
    state = torch.randn(4, 7)
    output, _ = layer(torch.randn(4, 6, 5), (state,))
    with torch.no_grad():
        layer.cell.weight_hh.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@pytest.mark.parametrize("training", [False, True])
def test_gradients_do_not_depend_on_the_mode(training, once_differentiable):
    layer = seqlab.LSTM(5, 7, engine="fused").train(training)
    x = torch.randn(4, 6, 5, requires_grad=True)
    expected = torch.autograd.grad(by_engine(layer, "loop")(x)[0].pow(2).sum(), x)
    torch.testing.assert_close(torch.autograd.grad(layer(x)[0].pow(2).sum(), x), expected)


ENGINES = ("loop", "fused", "compiled")


RUNS = [
    (engine, form, name)
    for engine in ENGINES
    for form in FORMS
    for name in MAKERS
    if engine == "fused" or form == "layer"
]


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("run", RUNS)
def test_autocast(run, dtype, kind, asymmetric):
    engine, form, name = run
    layer = asymmetric(FORMS[form](MAKERS[name]), 0.3)
    x, mask = torch.randn(4, 6, 5), MASKS[kind]
    found = []
    for candidate, enabled in ((by_engine(layer, "loop"), False), (by_engine(layer, engine), True)):
        given = x.clone().requires_grad_()
        with torch.autocast("cpu", dtype=dtype, enabled=enabled):
            output, final = candidate(given, mask=mask)
        last = candidate.final_output(final)
        if enabled and engine == "fused":
            assert last.dtype == torch.float32, "the state has the initial state's type"
        loss = output.float().pow(2).mean() + last.float().sin().mean()
        grads = torch.autograd.grad(loss, [given, *candidate.parameters()])
        assert all(g.dtype == torch.float32 for g in grads)
        found.append([output.float(), last.float(), *grads])
    for ours, reference in zip(*reversed(found), strict=True):
        torch.testing.assert_close(ours, reference, rtol=0.06, atol=0.02)


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", MAKERS)
def test_autocast_of_an_input_that_is_half_already(name, dtype, kind, once_differentiable):
    layer = MAKERS[name](5, 7)
    x = torch.randn(4, 6, 5)
    with torch.autocast("cpu", dtype=dtype):
        output, _ = by_engine(layer, "fused")(x.to(dtype), mask=MASKS[kind])
    output.float().sum().backward(retain_graph=True)
    expected, _ = by_engine(layer, "loop")(x, mask=MASKS[kind])
    torch.testing.assert_close(output.float(), expected, rtol=0.06, atol=0.02)


@pytest.mark.parametrize("kind", MASKS)
def test_a_type_that_onednn_lacks_is_run_in_float32(kind, monkeypatch):
    monkeypatch.setattr(cell_stack, "_lacks_type", yes)
    layer = seqlab.LSTM(5, 7, engine="fused")
    x = torch.randn(4, 6, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = layer(x, mask=MASKS[kind])
    assert output.dtype == torch.float32
    torch.testing.assert_close(output, layer(x, mask=MASKS[kind])[0], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("engine", ENGINES)
def test_layers_of_another_type(engine, name, dtype, asymmetric):
    layer = asymmetric(MAKERS[name](5, 7), 0.3)
    x = torch.randn(4, 6, 5)
    expected = by_engine(layer, "loop")(x, mask=MASKS["holes"])[0]
    output, _ = by_engine(layer, engine).to(dtype)(x.to(dtype), mask=MASKS["holes"])
    output.float().sum().backward()
    assert output.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float64 else 0.03
    torch.testing.assert_close(output.float(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("packed", [False, True])
def test_masked_steps_change_nothing_at_all(name, packed, monkeypatch, asymmetric):
    if packed:
        monkeypatch.setattr(cell_stack, "pads", no)
    layer = asymmetric(MAKERS[name](5, 7, engine="fused"), 2.0)
    x = 10 * torch.randn(1, 40, 5)
    longer = torch.cat([x, torch.full((1, 60, 5), float("nan"))], 1)
    mask = (torch.arange(100) < 40).unsqueeze(0)
    output, final = layer(x)
    padded, padded_final = layer(longer, mask=mask)
    torch.testing.assert_close(padded[:, :40], output)
    torch.testing.assert_close(tuple(padded_final), tuple(final))


def test_a_plain_rnn_that_may_grow_is_packed(monkeypatch):
    monkeypatch.setattr(cell_stack, "run_padded", None)
    layer = seqlab.RNN(5, 7, activation="relu", engine="fused")
    layer(torch.randn(4, 6, 5), mask=MASKS["holes"])


def test_padding_right_of_all_rows_is_not_run(monkeypatch):
    seen = []
    once = vendor_calls._call

    def recorded(form, data, *args, **kwargs):
        seen.append(tuple(data.shape))
        return once(form, data, *args, **kwargs)

    monkeypatch.setattr(vendor_calls, "_call", recorded)
    layer = seqlab.GRU(5, 7, engine="fused")
    layer(torch.randn(3, 50, 5), lengths=torch.tensor([4, 0, 9]))
    assert seen == [(9, 3, 5)]


def test_a_batch_that_is_almost_all_padding_is_packed(monkeypatch, asymmetric):
    layer = asymmetric(seqlab.LSTM(5, 7, engine="fused"))
    x, lengths = torch.randn(20, 50, 5), torch.tensor([50, *range(1, 10), *[0] * 10])
    expected, final = layer(x, lengths=lengths)
    monkeypatch.setattr(packing.RealSteps, "is_sparse", no)
    output, padded_final = layer(x, lengths=lengths)
    assert not torch.equal(output, expected)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(tuple(padded_final), tuple(final))
    monkeypatch.setattr(cell_stack, "run_packed", None)
    layer(x, lengths=lengths.clamp_min(10))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MAKERS)
def test_cudnn_equals_the_loop_twice_differentiated(name, form, kind, asymmetric):
    layer = asymmetric(FORMS[form](MAKERS[name]), 0.3).double().cuda()
    x = torch.randn(4, 6, 5, dtype=torch.float64, device="cuda")
    mask = None if MASKS[kind] is None else MASKS[kind].cuda()
    for mode in (True, False):
        layer.train(mode)
        found = second_derivatives(by_engine(layer, "fused"), x, mask)
        expected = second_derivatives(by_engine(layer, "loop"), x, mask)
        for ours, reference in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, reference)
    with torch.autocast("cuda", dtype=torch.float16):
        output, _ = by_engine(layer.float(), "fused")(x.float(), mask=mask)
    expected, _ = by_engine(layer, "loop")(x.float(), mask=mask)
    output.float().sum().backward()
    torch.testing.assert_close(output.float(), expected, rtol=0.06, atol=0.02)
