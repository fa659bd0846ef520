"""A layer lies where it lies: torch's default device and type are for what is made anew."""

from __future__ import annotations

import pytest
import seqlab
import torch

CASES = [("lstm", "loop"), ("lstm", "fused"), ("gru", "compiled"), ("min_gru", "scan"),
         ("lru", "scan"), ("mlstm", "scan")]  # fmt: skip


def everything(layer, x):
    lengths = torch.tensor([3, 20], device="cpu")
    for given in ({}, {"lengths": lengths}):
        output, _ = layer(x, **given)
        yield from (output, *torch.autograd.grad(output.sum(), list(layer.parameters())))
        with torch.no_grad():
            yield from (layer(x, **given)[0] for _ in range(3))
    with torch.no_grad():
        running = seqlab.stream(layer)
        yield from (running.step(x[:, t])[0] for t in range(3))


@pytest.mark.parametrize(("cell", "engine"), CASES)
def test_runs_on_the_cpu_while_new_tensors_are_made_elsewhere(cell, engine):
    x = torch.randn(2, 20, 3)
    found = []
    for device in ("cpu", "meta"):
        torch.manual_seed(0)
        layer = seqlab.Recurrent(seqlab.get("cell", cell)(3, 4), engine=engine)
        with torch.device(device):
            found.append(list(everything(layer, x)))
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(here, there)
