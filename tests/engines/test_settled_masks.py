"""Masked calls that were planned before go straight to the engine, with the long way's numbers."""

from __future__ import annotations

import pytest
import seqlab
import torch
from test_settled import layer_of, long_way, same


@pytest.mark.parametrize("masked_output", ["zeros", "carry"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "mgu", "gru fused", "mgu loop", "lru scan"])
def test_masked_calls_equal_the_long_way(cell, masked_output, asymmetric, straight):
    name, _, engine = cell.partition(" ")
    layer = layer_of(name, 4, 21, engine=engine or "compiled", masked_output=masked_output)
    layer, x = asymmetric(layer), torch.randn(3, 4, 4)
    state = None if name == "lru" else layer.cell.State(
        *[torch.randn(3, 21) for _ in layer.cell.State._fields]
    )  # fmt: skip
    mask = torch.arange(12).view(3, 4) % 3 != 0
    lengths = torch.tensor([0, 4, 2])
    with torch.no_grad():
        layer(x, mask=mask)
        for before in (None, state):
            for given in ({"mask": mask}, {"mask": mask.T.contiguous().T},
                          {"lengths": lengths}, {"lengths": lengths.int(), "mask": ~mask},
                          {"mask": torch.zeros_like(mask)}, {"lengths": [1, 2, 3]}):  # fmt: skip
                inputs = torch.randn_like(x)
                inputs[0, 3] = torch.nan  # never real
                del straight[:]
                found = layer(inputs, before, **given)
                same(found, long_way(layer, inputs, state=before, **given))
                assert straight == [True, False]
                assert found[0].isfinite().all()


def test_masked_calls_and_whole_ones_are_settled_apart(asymmetric, straight):
    layer, x = asymmetric(layer_of("gru", 4, 21)), torch.randn(2, 3, 4)
    mask = torch.tensor([[True, False, True], [False, False, False]])
    with torch.no_grad():
        layer(x)
        layer(x, mask=mask)
        assert straight == [False, False]
        assert torch.equal(layer(x, lengths=torch.tensor([3, 3]))[0], layer(x)[0])
        assert not torch.equal(layer(x, mask=mask)[0], layer(x)[0])
        assert all(straight[2:])
        del straight[:]
        same(layer(x, reset=mask), long_way(layer, x, reset=mask))
        with torch.enable_grad():
            layer(x, mask=mask)
        assert not any(straight)


@pytest.mark.parametrize(
    "given",
    [{"mask": torch.ones(2, 4, dtype=torch.bool)}, {"mask": torch.ones(2, 3)},
     {"lengths": torch.tensor([3])}, {"lengths": torch.tensor([3, 4])},
     {"lengths": torch.tensor([-1, 3])}, {"lengths": torch.tensor([1.0, 2.0])}],
)  # fmt: skip
def test_wrong_masks_are_refused_as_before(given, asymmetric, straight):
    layer, x = asymmetric(layer_of("gru", 4, 21)), torch.randn(2, 3, 4)
    said = []
    with torch.no_grad():
        for _ in range(2):
            with pytest.raises(seqlab.ShapeError) as found:
                layer(x, **given)
            said.append(str(found.value))
            layer(x, lengths=torch.tensor([1, 3]))
        with pytest.raises(seqlab.ShapeError):
            layer(x, layer.initial_state(3), lengths=torch.tensor([1, 3]))
    assert straight[-2]
    assert said[0] == said[1]
