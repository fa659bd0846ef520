"""Cells, wrappers and merges on a GPU give what they give on the CPU, with their gradients."""

from __future__ import annotations

import copy
import pickle

import pytest
import seqlab
import torch
from on_device import MASKS, B, D, H, T, assert_same_run, by_engine, cell_layer, moved
from seqlab import registry
from seqlab.build import build_layer
from seqlab.engines.base import Sequence
from seqlab.engines.instances import engine as engine_named
from seqlab.errors import EngineError
from seqlab.heads.states import leaves
from seqlab.testing.sample import normal, random_state, shaken

pytestmark = pytest.mark.gpu

CELLS = [
    name
    for name in seqlab.available("cell")
    if registry.owner_of("cell", name)[0] != "seqlab-zoo"  # it has tests of its own
]
GATED = [name for name in CELLS if issubclass(seqlab.get("cell", name), seqlab.GatedCell)]
LINEAR = [
    name for name in CELLS if issubclass(seqlab.get("cell", name), seqlab.LinearRecurrentCell)
]
ENGINES = [name for name in seqlab.available("engine") if name not in {"compiled", "export"}]
VENDOR = ["rnn", "lstm", "gru"]


def takes(engine, layer, device):
    """An engine runs this layer there; why not is the reason to skip."""
    part = by_engine(layer, engine).to(device)
    missing = engine_named(engine).unavailable()
    if missing is not None:
        pytest.skip(missing)
    try:
        return part.explain(normal(B, T, D, seed=1).to(device)).engine.name == engine
    except EngineError as refusal:
        pytest.skip(str(refusal))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("engine", ["auto", *ENGINES])
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_by_every_engine(device, name, engine, reverse):
    layer = cell_layer(name, reverse=reverse)
    assert engine == "auto" or takes(engine, layer, device)
    assert_same_run(layer, device, engine=engine)


@pytest.mark.parametrize("name", VENDOR)
def test_vendor_kernels_run_their_cells(device, name):
    assert takes("fused", cell_layer(name), device)


@pytest.mark.parametrize("name", LINEAR)
def test_linear_cells_are_scanned(device, name):
    assert takes("scan", cell_layer(name), device)


NOISY = {
    "masks": {"dropout": 0.3, "recurrent_dropout": 0.4},
    "a mask for each gate": {"recurrent_dropout": 0.4, "untied_dropout": True},
    "zoneout": {"zoneout": 0.3},
    "weights": {"weight_dropout": 0.4},
}


@pytest.mark.parametrize("kind", NOISY)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", GATED)
def test_with_the_same_noise(device, name, engine, kind):
    layer = cell_layer(name, **NOISY[kind])
    cell, there = layer.cell.train(), copy.deepcopy(layer.cell).to(device)
    noise = cell.sample_noise(B, T, device=torch.device("cpu"), dtype=torch.float64)
    x, runner = normal(B, T, D, seed=5), engine_named(engine)
    state = random_state(cell, B)
    for what, mask in MASKS.items():
        given = Sequence(x, state, mask, reverse=False, noise=noise)
        on_gpu = Sequence(*(moved(part, device) for part in given))
        offer = runner.offer(there, on_gpu)
        if isinstance(offer, str):
            pytest.skip(offer)
        runner.prepare(there, on_gpu)
        expected, last = engine_named("loop").run(cell, given)
        found, state_there = runner.run(there, on_gpu)
        for ours, reference in zip(
            [found, *leaves(state_there)], [expected, *leaves(last)], strict=True
        ):
            torch.testing.assert_close(ours.cpu(), reference, msg=f"{what}: {{}}".format)


@pytest.mark.parametrize("name", VENDOR)
@pytest.mark.parametrize("kind", MASKS)
def test_gradients_of_gradients(device, name, kind):
    """cuDNN has none, so they come from the loop."""
    layer, x = cell_layer(name), normal(B, T, D, seed=7)

    def second(layer, x, mask):
        wanted = [x.clone().requires_grad_(), *layer.parameters()]
        output, _ = layer(wanted[0], mask=mask)
        first = torch.autograd.grad(output.pow(3).sum(), wanted, create_graph=True)
        return torch.autograd.grad(sum(g.pow(2).sum() for g in first), wanted)

    mask = MASKS[kind]
    expected = second(by_engine(layer, "loop"), x, mask)
    there = by_engine(layer, "fused").to(device)
    found = second(there, x.to(device), None if mask is None else mask.to(device))
    for ours, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), reference)


FORMS = {
    "stacked": {"name": "stacked", "num_layers": 2},
    "bidirectional": {"name": "bidirectional"},
    "residual": {"name": "residual"},
}


def test_all_wrappers_are_here():
    assert set(FORMS) <= set(seqlab.available("wrapper"))


@pytest.mark.parametrize("engine", ["auto", "loop"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "min_gru", "lru"])
@pytest.mark.parametrize("form", seqlab.available("wrapper"))
def test_every_wrapper(device, form, cell, engine):
    wrapper = FORMS.get(form, {"name": form})
    layer = build_layer({"cell": {"name": cell, "hidden_size": D}, "wrappers": [wrapper]}, D)
    assert_same_run(shaken(layer.double().eval()), device, engine=engine)


@pytest.mark.parametrize("cell", VENDOR)
def test_a_deep_bidirectional_stack_in_one_call(device, cell):
    spec = {
        "cell": {"name": cell, "hidden_size": H},
        "wrappers": [{"name": "bidirectional"}, {"name": "stacked", "num_layers": 3}],
    }
    assert_same_run(shaken(build_layer(spec, D).double().eval()), device, engine="fused")


@pytest.mark.parametrize("merge", seqlab.available("merge"))
def test_every_merge(device, merge):
    layer = seqlab.Bidirectional(seqlab.LSTM(D, H), merge_mode=merge)
    assert_same_run(shaken(layer.double().eval()), device)


@pytest.mark.parametrize("name", CELLS)
def test_streams(device, name):
    layer = cell_layer(name, engine="auto").to(device)
    x = normal(B, T, D, seed=9).to(device)
    with torch.no_grad():
        running = seqlab.stream(layer)
        steps = torch.stack([running.step(x[:, t])[0] for t in range(T)], 1)
        whole, state = layer(x)
    torch.testing.assert_close(steps, whole)
    for ours, reference in zip(leaves(running.state), leaves(state), strict=True):
        assert ours.device.type == device.type
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("name", CELLS)
def test_copies_and_pickles_of_layers_that_ran_there(device, name):
    layer = cell_layer(name, engine="auto").to(device)
    x = normal(B, T, D, seed=11).to(device)
    expected = layer(x)[0]
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):  # noqa: S301 - our own
        assert torch.equal(copied(x)[0], expected)
        torch.testing.assert_close(copied.cpu()(x.cpu())[0], expected.cpu())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("engine", ["auto", *ENGINES])
@pytest.mark.parametrize("name", CELLS)
def test_mixed_precision_is_near_full_precision(device, exact_products, name, engine, dtype):
    layer = cell_layer(name).float()
    assert engine == "auto" or takes(engine, layer.double(), device)
    layer = by_engine(layer, engine).float().to(device)
    x = normal(B, T, D, seed=13).float().to(device)
    mask = MASKS["holes"].to(device)
    with torch.no_grad():
        expected, last = layer(x, mask=mask)
    with torch.autocast(device.type, dtype=dtype):
        output, state = layer(x, mask=mask)
    output.float().pow(2).sum().backward()
    scale = max(1.0, float(expected.abs().max()))
    assert float((output.float() - expected).detach().abs().max()) < 0.1 * scale
    assert [part.dtype for part in leaves(state)] == [part.dtype for part in leaves(last)]
    for parameter in layer.parameters():
        assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("engine", ["auto", *ENGINES])
@pytest.mark.parametrize("name", CELLS)
def test_float32_has_its_digits(device, exact_products, name, engine):
    layer = cell_layer(name)
    assert engine == "auto" or takes(engine, layer, device)
    x = normal(B, T, D, seed=15)
    expected = layer(x)[0]
    found = by_engine(layer, engine).float().to(device)(x.float().to(device))[0]
    torch.testing.assert_close(found.double().cpu(), expected, atol=3e-5, rtol=1e-4)


def test_long_sequences_on_few_rows(device):
    """Scans in blocks, and cuDNN over many steps."""
    for name in ("min_gru", "lru", "gru"):
        layer = cell_layer(name)
        x = normal(2, 700, D, seed=17)
        expected = layer(x)[0]
        found = by_engine(layer, "auto").to(device)(x.to(device))[0]
        torch.testing.assert_close(found.cpu(), expected)


@pytest.mark.parametrize(
    "case",
    [("gru", "fused", {}), ("lstm", "fused", {}), ("mgu", "triton", {}),
     ("lstm", "triton", {"proj_size": 3}), ("gru", "loop", {"layer_norm": True})],
)  # fmt: skip
def test_in_a_graph_that_a_user_captures(device, case, monkeypatch):
    if device.type != "cuda":
        pytest.skip("only CUDA has graphs")
    monkeypatch.setenv("SEQLAB_CUDA_GRAPHS", "1")
    name, engine, options = case
    layer = cell_layer(name, **options)
    assert takes(engine, layer, device)
    layer = by_engine(layer, engine).to(device)
    x, side = normal(B, T, D, seed=25).to(device), torch.cuda.Stream()
    with torch.no_grad():
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                layer(x)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output, final = layer(x)
        for rows in range(1, 40):  # what calls share is let go by then
            for _ in range(2):
                layer(x[:1].expand(rows, -1, -1))
        x.copy_(normal(B, T, D, seed=26))
        graph.replay()
        expected, last = layer(x)
    torch.testing.assert_close(output, expected)
    for ours, reference in zip(leaves(final), leaves(last), strict=True):
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (1, 1)])
@pytest.mark.parametrize("name", CELLS)
def test_empty_and_single(device, name, shape):
    layer = cell_layer(name)
    x = normal(*shape, D, seed=19)
    expected, last = layer(x)
    found, state = by_engine(layer, "auto").to(device)(x.to(device))
    torch.testing.assert_close(found.cpu(), expected)
    for ours, reference in zip(leaves(state), leaves(last), strict=True):
        torch.testing.assert_close(ours.cpu(), reference)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # torch's own
@pytest.mark.parametrize("name", ["gru", "min_gru", "mgu"])
def test_exported_there(device, name):
    layer = cell_layer(name, engine="auto").to(device).requires_grad_(requires_grad=False)
    x = normal(B, T, D, seed=21).to(device)
    with torch.no_grad():
        program = torch.export.export(layer, (x,))
        torch.testing.assert_close(program.module()(x)[0], layer(x)[0])


@pytest.mark.parametrize("name", CELLS)
def test_repeatable_algorithms(device, name):
    """With only these allowed, two runs give the same bits."""
    layer = cell_layer(name, engine="auto").to(device)
    x = normal(B, T, D, seed=23).to(device).requires_grad_()
    mask = MASKS["holes"].to(device)
    torch.use_deterministic_algorithms(True)  # noqa: FBT003 - torch's own
    try:
        runs = [
            torch.autograd.grad(layer(x, mask=mask)[0].sum(), [x, *layer.parameters()])
            for _ in range(2)
        ]
    finally:
        torch.use_deterministic_algorithms(False)  # noqa: FBT003 - torch's own
    for first, second in zip(*runs, strict=True):
        assert torch.equal(first, second)
