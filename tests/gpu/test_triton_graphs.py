"""CUDA graphs of loops with launches at each step: replayed calls are the loop's, in any order.

On a CPU Triton's interpreter runs the kernels, and tests/gpu/recorded_graph.py stands for graphs.
"""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from recorded_graph import Counted, Recorded
from seqlab.engines.triton import graphs
from seqlab.testing.sample import holey_mask, normal
from test_triton_steps import assert_equal, holes, pair

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"),
]
CASES = ["narrow lstm", "narrow state", "narrow gru with two products", "normal lstm", "chain",
         "everything"]  # fmt: skip
ROWS, STEPS, WIDTH = 4, 2, 5


@pytest.fixture(name="cuda")
def _cuda(device, monkeypatch):
    """What captures, where the second call of a form is captured already."""
    found = Recorded() if device.type == "cpu" else Counted()
    monkeypatch.setenv(graphs.VARIABLE, "1")
    monkeypatch.setattr(graphs, "cuda", found)
    monkeypatch.setattr(graphs, "GRAPHS", graphs.Graphs())
    monkeypatch.setattr(graphs, "CALLS_BEFORE", 1)
    monkeypatch.setattr(graphs, "LEAST_STEPS", 1)
    return found


class Call:
    """One call of both layers with inputs of its own; its gradients are asked for later."""

    def __init__(self, layers, device, seed, *, masked=False, given=True):
        loop = layers[0]
        x = normal(ROWS, STEPS, loop.input_size, seed=seed).to(device)
        widths = loop.cell.state_sizes if given else []
        state = [normal(ROWS, w, seed=seed + 1 + i).to(device) for i, w in enumerate(widths)]
        mask = None
        if masked:
            mask = (holes if seed % 2 else lambda *size: ~holes(*size))(ROWS, STEPS).to(device)
        self.layers, self.runs, self.found = layers, [], []
        for layer in layers:
            inputs = [part.clone().requires_grad_() for part in (x, *state)]
            torch.manual_seed(seed)  # of dropout
            output, final = layer(inputs[0], inputs[1:] if given else None, mask=mask)
            self.runs.append((inputs, output, list(final)))

    def values(self):
        """Compared, with all gradients that there are, after later calls too."""
        (_, expected, theirs), (_, found, ours) = self.runs
        assert_equal([found, *ours], [expected, *theirs])
        for expected, found in self.found:
            assert_equal(found, expected)

    def gradients(self, *, of="all", **options):
        """Compared; ``of``: what the loss is made of."""
        found = []
        for layer, (inputs, output, final) in zip(self.layers, self.runs, strict=True):
            loss = sum((part * (n + 1.5)).sin().sum() for n, part in enumerate(final))
            if of != "finals":
                loss = output.cos().sum() + (loss if of == "all" else 0)
            wanted = [*inputs, *layer.parameters()]
            found.append(torch.autograd.grad(loss, wanted, allow_unused=True, **options))
        self.found.append(found)
        self.values()


def layers_of(device, case, **options):
    size = (2, WIDTH)
    return pair(device, case, size, torch.float64, **options)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_calls_in_any_order(device, cuda, case, reverse):
    layers = layers_of(device, case, reverse=reverse)
    for masked in (False, True):
        calls = [Call(layers, device, 10 * n, masked=masked) for n in range(2)]
        calls[0].gradients()
        calls[1].gradients()
        # four calls at once, of which one has the memory of the graph
        calls = [Call(layers, device, 7 + 10 * n, masked=masked) for n in range(4)]
        for call in calls:
            call.values()
        for call in (calls[2], calls[0], calls[3], calls[1]):
            call.gradients()
        with torch.no_grad():
            for parameter in (p for layer in layers for p in layer.parameters()):
                parameter.mul_(0.9)
        for n in range(3):
            call = Call(layers, device, 3 + 10 * n, masked=masked)
            call.values()
            call.gradients(of=("all", "finals", "output")[n])
            calls.append(call)
        for call in calls:  # what was given away is nobody else's
            call.values()
    assert cuda.captured == 6  # masked or not: forward, backward with the output and without it
    assert cuda.replayed >= 8


def test_without_gradients_outputs_are_the_callers_own(device, cuda):
    layers = layers_of(device, "narrow lstm")
    kept = []
    for n, around in enumerate((torch.no_grad, torch.inference_mode, torch.no_grad) * 2):
        with around():
            kept.append(Call(layers, device, n, given=n % 2 == 0))
            kept[-1].runs[1][1].mul_(2)  # nobody else reads it
            kept[-1].runs[0][1].mul_(2)
    for call in kept:
        call.values()
    assert (cuda.captured, cuda.replayed) == (1, 4)


@pytest.mark.parametrize("case", ["everything", "normal gru"])
def test_masks_that_are_drawn_are_those_of_the_call(device, cuda, case):
    layers = [layer.train() for layer in layers_of(device, case)]
    for n in range(4):
        call = Call(layers, device, n)
        call.values()
        call.gradients()
    assert cuda.replayed == 4


def test_parameters_that_move_are_read_where_they_are(device, cuda):
    layers = layers_of(device, "normal lstm")

    def twice(value):
        return torch.nn.Parameter(value.detach() * 2)

    def moved(layer):
        layer.cell.weight_hh.data = layer.cell.weight_hh.data * 2

    def replaced(layer):
        layer.cell.norm_hh = twice(layer.cell.norm_hh)

    for change in (moved, replaced):
        for n in range(4):
            Call(layers, device, n).gradients()
        for layer in layers:
            change(layer)
        before = cuda.replayed
        call = Call(layers, device, 5)
        call.values()
        call.gradients()
        assert cuda.replayed == before
    for n in range(4):
        Call(layers, device, n).gradients()
    assert cuda.captured == 6


def test_a_graph_of_autograd_that_is_kept_is_gone_through_again(device, cuda):
    layers = layers_of(device, "narrow gru with two products")
    Call(layers, device, 1).gradients()
    call = Call(layers, device, 2)
    call.gradients(retain_graph=True)
    other = Call(layers, device, 3)  # must not get the memory
    other.gradients()
    call.gradients(retain_graph=True)
    call.gradients()
    before = cuda.replayed
    Call(layers, device, 4).gradients()
    assert cuda.replayed == before + 2


def test_memory_of_a_call_without_a_backward_pass_is_given_back(device, cuda):
    layers = layers_of(device, "normal lstm")
    for n in range(3):
        Call(layers, device, n)
    call = Call(layers, device, 4)
    Call(layers, device, 5)
    assert (cuda.captured, cuda.replayed) == (1, 2)
    del call
    Call(layers, device, 6).gradients()
    assert cuda.replayed == 3


def test_gradients_of_gradients(device, cuda):
    found = []
    for layer in layers_of(device, "normal lstm"):
        for n in range(3):
            x = normal(ROWS, STEPS, 2, seed=n).to(device).requires_grad_()
            output, _ = layer(x)
            (first,) = torch.autograd.grad(output.sin().sum(), x, create_graph=True)
            found.append(torch.autograd.grad(first.square().sum(), [x, *layer.parameters()]))
    for ours, theirs in zip(found[3:], found[:3], strict=True):
        assert_equal(ours, theirs)
    assert cuda.captured == 2  # the second derivative goes back through the kernels too


@pytest.mark.parametrize("kind", ["not allowed", "fails", "not asked for", "few steps"])
def test_where_nothing_can_be_captured_kernels_are_launched(device, cuda, monkeypatch, kind):
    if kind == "not allowed":
        cuda.allowed = False
    if kind == "fails":
        monkeypatch.setattr(Counted, "capture", lambda _, run, __: run())
    if kind == "not asked for":
        monkeypatch.delenv(graphs.VARIABLE)
    if kind == "few steps":
        monkeypatch.setattr(graphs, "LEAST_STEPS", STEPS + 1)
    layers = layers_of(device, "narrow lstm")
    for n in range(5):
        call = Call(layers, device, n)
        call.values()
        call.gradients()
    assert cuda.captured == cuda.replayed == 0
    assert not kept_loops()


def test_where_the_way_back_may_not_be_captured(device, cuda):
    layers = layers_of(device, "narrow lstm")
    for n in range(6):
        call = Call(layers, device, n)
        cuda.allowed = n not in {2, 4}
        call.gradients()
        cuda.allowed = True
    assert cuda.captured == 2


def kept_loops():
    forms = [form for of in graphs.GRAPHS._of.values() for form in of.values()]
    return [form.kept.loop for form in forms if form.kept is not None]


def test_few_loops_are_kept_and_none_of_a_cell_that_is_gone(device, cuda, monkeypatch):
    monkeypatch.setattr(graphs, "MOST_LOOPS", 2)
    several = [layers_of(device, case) for case in ("narrow lstm", "normal lstm", "chain")]
    for _ in range(2):
        for layers in several:
            for n in range(3):
                Call(layers, device, n).gradients()
            assert len(kept_loops()) <= 2
    assert len(kept_loops()) == 2
    held = [weakref.ref(loop) for loop in kept_loops()]
    del several, layers
    gc.collect()
    assert not kept_loops()
    assert [loop() for loop in held] == [None, None]


def test_what_is_too_large_is_not_kept(device, cuda, monkeypatch):
    monkeypatch.setattr(graphs, "MOST_BYTES", 1000)
    layers = layers_of(device, "narrow lstm")
    for n in range(4):
        Call(layers, device, n).gradients()
    assert cuda.captured == 0


def test_under_autocast(device, cuda):
    layer = layers_of(device, "everything")[1].float().eval()
    found = []
    for n in (1, 1, 2, 1):
        x = normal(ROWS, STEPS, 2, seed=n).to(device).float()
        with torch.autocast(device.type, dtype=torch.bfloat16):
            output, _ = layer(x)
        wanted = torch.autograd.grad(output.float().sin().sum(), list(layer.parameters()))
        found.append([output, *wanted])
    for first, last in zip(found[0], found[3], strict=True):
        assert torch.equal(first, last)
        assert first.isfinite().all()
    assert (cuda.captured, cuda.replayed) == (2, 4)


def test_other_settings_of_products_are_another_form(device, cuda):
    layers = layers_of(device, "narrow lstm")
    products = torch.backends.cuda.matmul
    before = products.allow_bf16_reduced_precision_reduction
    try:
        for allowed in (before, not before):
            products.allow_bf16_reduced_precision_reduction = allowed
            for n in range(2):
                Call(layers, device, n).gradients()
    finally:
        products.allow_bf16_reduced_precision_reduction = before
    assert cuda.captured == 4


def test_masks_with_holes_of_another_layout(device, cuda):
    layers = layers_of(device, "everything")
    x = normal(ROWS, STEPS, 2, seed=1).to(device)
    for n in range(4):
        mask = holey_mask(ROWS + n, STEPS).to(device)[n:]
        mask = mask if n % 2 else mask.T.contiguous().T
        with torch.no_grad():
            expected, found = (layer.eval()(x, mask=mask) for layer in layers)
        assert_equal([found[0], *found[1]], [expected[0], *expected[1]])
    assert cuda.replayed >= 1
