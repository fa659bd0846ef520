"""Exported graphs give the layer's numbers at shapes they were not traced with."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.cells.linear import LinearRecurrentCell
from seqlab.construct import construct
from seqlab.engines import base
from seqlab.engines.export import ExportEngine
from seqlab.errors import EngineError
from seqlab.model import Encoder, SequenceModel
from seqlab.testing.sample import shaken
from seqlab.types import DataInfo, FeatureInfo, TargetInfo
from seqlab.verbs.graphs import difference, export, write
from seqlab.verbs.traced_parts import Graph, one_step
from torch import nn

#: Torch's own, of a module that whichever test exports first imports.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is:DeprecationWarning")
LINEAR = ("lru", "min_gru", "min_lstm", "qrnn", "rg_lru", "sru")
#: What the ordinary tests write; a complex and a real one.
ORDINARY = {("lru", "torch_export"), ("min_gru", "torch_export")}


class Sequence(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, lengths):
        output, state = self.layer(x, lengths=lengths)
        return [output, self.layer.final_output(state)]


def graph_of(layer):
    rows, steps = torch.export.Dim("rows"), torch.export.Dim("steps")

    def example(batch, count):
        lengths = torch.randint(0, count + 1, (batch,))
        return torch.randn(batch, count, layer.input_size), lengths

    dynamic = ({0: rows, 1: steps}, {0: rows})
    return Graph(Sequence(layer), example, dynamic, ("x", "lengths"), ("output", "final"))


def check_written(graph, form, folder):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    found = difference(graph, write(export(graph), graph, form, folder))
    assert set(found) == {"2x17", "5x4"}
    for shape in found.values():
        assert tuple(shape) == graph.outputs
        assert all(0 <= value < 1e-5 for value in shape.values())


def mixed():
    lower = seqlab.Bidirectional(seqlab.GRU(3, 2, reset_after=False))
    return seqlab.Stacked([lower, seqlab.Recurrent(seqlab.get("cell", "min_gru")(4, 5))])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["torch_export", "onnx"])
def test_a_mixed_stack_runs_at_other_shapes(form, tmp_path):
    check_written(graph_of(mixed().eval()), form, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["torch_export", "onnx"])
def test_a_cell_with_a_modifier_runs_at_other_shapes(form, tmp_path):
    torch.manual_seed(2)
    layer = seqlab.GRU(3, 4, reset_after=False, modifier="multiplicative_integration", reverse=True)
    check_written(graph_of(shaken(layer).eval()), form, tmp_path)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "form"),
    [
        pytest.param(name, form, marks=[] if (name, form) in ORDINARY else [pytest.mark.slow])
        for name in LINEAR
        for form in ("torch_export", "onnx")
    ],
)
def test_linear_recurrences_run_at_other_shapes(name, form, tmp_path):
    torch.manual_seed(2)
    layer = seqlab.Recurrent(seqlab.get("cell", name)(3, 4), reverse=True)
    check_written(graph_of(layer.eval()), form, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        n if (n, "torch_export") in ORDINARY else pytest.param(n, marks=pytest.mark.slow)
        for n in LINEAR
    ],
)
def test_a_step_of_a_linear_recurrence_runs_with_other_rows(name, tmp_path):
    torch.manual_seed(2)
    info = DataInfo((FeatureInfo("pitch", "numeric", 3),), TargetInfo("label", 2))
    encoder = Encoder(
        info.features, lambda width: seqlab.Recurrent(seqlab.get("cell", name)(width, 4))
    )
    head = construct("head", "classification", encoder.info, info.target)
    graph = one_step(SequenceModel(info, encoder, head).eval())
    check_written(graph, "step", tmp_path)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["lru", "sru"])
def test_linear_recurrences_equal_the_loop(name, reverse):
    torch.manual_seed(3)
    cell = seqlab.get("cell", name)(3, 5).double().eval()
    x, start = torch.randn(3, 7, 3).double(), cell.initial_state(3)
    start = type(start)(torch.randn_like(start.hidden))
    mask = torch.tensor([[1, 0, 1, 1, 0, 0, 1], [0] * 7, [0, 0, 0, 1, 0, 0, 0]]).bool()
    runs = [seqlab.Recurrent(cell, engine=e, reverse=reverse) for e in ("loop", "export")]
    with torch.no_grad():
        for given in (None, mask):
            (expected, last), (found, final) = (run(x, start, mask=given) for run in runs)
            torch.testing.assert_close(found, expected)
            torch.testing.assert_close(final.hidden, last.hidden)


class Halved(LinearRecurrentCell):
    """A linear recurrence with a step of its own, which an engine must not go around."""

    def coefficients(self, x_BTD):
        return torch.full_like(x_BTD, 0.5), x_BTD

    def step(self, projected_t, state, noise=None):
        output, after = super().step(projected_t, state, noise)
        return 0.5 * output, after


def test_a_step_of_the_cells_own_is_run():
    x = torch.randn(2, 5, 3)
    with torch.no_grad():
        found, expected = (
            seqlab.Recurrent(Halved(3, 3), engine=engine)(x)[0] for engine in ("export", "loop")
        )
    torch.testing.assert_close(found, expected)


class Unwritable(LinearRecurrentCell):
    """Its coefficients need an operator that ONNX does not have."""

    def coefficients(self, x_BTD):
        return torch.special.bessel_j0(x_BTD), x_BTD


def test_what_onnx_has_not_is_named(tmp_path):
    pytest.importorskip("onnxscript")
    graph = graph_of(seqlab.Recurrent(Unwritable(3, 3)))
    with pytest.raises(EngineError, match=r"ONNX has no form of this model: .*bessel_j0"):
        write(export(graph), graph, "onnx", tmp_path)


def test_a_wrong_graph_is_measured_as_wrong():
    graph = graph_of(seqlab.GRU(3, 2).eval())

    def shifted(x, lengths):
        output, final = graph.module(x, lengths)
        return [output + 0.25, final]

    for shape in difference(graph, shifted).values():
        assert shape == {"output": pytest.approx(0.25, abs=1e-5), "final": 0}


def test_random_masks_are_refused():
    layer = seqlab.GRU(3, 2, recurrent_dropout=0.5).train()
    noise = layer.cell.sample_noise(1, 2, device=torch.device("cpu"), dtype=torch.float32)
    run = base.Sequence(torch.zeros(1, 2, 3), layer.initial_state(1), noise=noise)
    assert "eval()" in ExportEngine().offer(layer.cell, run)


@pytest.mark.parametrize("mode", [True, False])
def test_it_is_refused_where_gradients_are_wanted(mode):
    layer = seqlab.GRU(3, 2, engine="export").train(mode)
    x = torch.randn(2, 5, 3)
    refused = "'export' cannot run cell 'gru': it gives no gradients, so it needs torch.no_grad"
    with pytest.raises(EngineError, match=refused):
        layer(x)
    with torch.no_grad():
        found = layer(x)[0]
    torch.testing.assert_close(found, seqlab.Recurrent(layer.cell, engine="loop")(x)[0])
    frozen = layer.requires_grad_(requires_grad=False)
    torch.testing.assert_close(frozen(x)[0], found)
    with pytest.raises(EngineError, match=refused):
        frozen(x.requires_grad_())


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_a_layer_in_training_mode_can_be_exported():
    graph = torch.export.export(seqlab.GRU(3, 2).train(), (torch.randn(2, 5, 3),), strict=False)
    assert "scan" in str(graph.graph)


def test_steps_are_traced_without_a_warning():
    torch._dynamo.reset()
    torch._dynamo.utils.warn_once_cache.clear()
    layer = seqlab.GRU(3, 2, reset_after=False, engine="export").eval()
    with torch.no_grad():
        assert layer(torch.randn(2, 5, 3))[0].shape == (2, 5, 2)
