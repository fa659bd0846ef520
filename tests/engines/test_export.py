"""Exported graphs give the layer's numbers at shapes they were not traced with."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.engines.export import ExportEngine
from seqlab.errors import EngineError
from seqlab.verbs.graphs import Graph, difference, export, write
from torch import nn


class Sequence(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, lengths):
        return [self.layer(x, lengths=lengths)[0]]


def graph_of(layer):
    rows, steps = torch.export.Dim("rows"), torch.export.Dim("steps")

    def example(batch, count):
        lengths = torch.randint(0, count + 1, (batch,))
        return torch.randn(batch, count, layer.input_size), lengths

    dynamic = ({0: rows, 1: steps}, {0: rows})
    return Graph(Sequence(layer), example, dynamic, ("x", "lengths"), ("output",))


def mixed():
    lower = seqlab.Bidirectional(seqlab.GRU(3, 2, reset_after=False))
    return seqlab.Stacked([lower, seqlab.Recurrent(seqlab.get("cell", "min_gru")(4, 5))])


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["torch_export", "onnx"])
def test_a_mixed_stack_runs_at_other_shapes(form, tmp_path):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    graph = graph_of(mixed().eval())
    found = difference(graph, write(export(graph), graph, form, tmp_path))
    assert set(found) == {"2x17", "5x4"}
    assert all(0 <= shape["output"] < 1e-5 for shape in found.values())


def test_a_wrong_graph_is_measured_as_wrong():
    graph = graph_of(seqlab.GRU(3, 2).eval())

    def shifted(x, lengths):
        return [graph.module(x, lengths)[0] + 0.25]

    for shape in difference(graph, shifted).values():
        assert shape["output"] == pytest.approx(0.25, abs=1e-5)


def test_random_masks_are_refused():
    layer = seqlab.GRU(3, 2, recurrent_dropout=0.5).train()
    noise = layer.cell.sample_noise(1, 2, device=torch.device("cpu"), dtype=torch.float32)
    assert "eval()" in ExportEngine().refusal(layer.cell, torch.zeros(1, 2, 3), noise)


@pytest.mark.parametrize("mode", [True, False])
def test_it_is_refused_where_gradients_are_wanted(mode):
    layer = seqlab.GRU(3, 2, engine="export").train(mode)
    x = torch.randn(2, 5, 3)
    refused = "'export' cannot run GRUCell: it gives no gradients, so it needs torch.no_grad"
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
