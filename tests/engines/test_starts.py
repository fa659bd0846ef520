"""What runs of one form start from."""

from __future__ import annotations

from types import SimpleNamespace

import seqlab
import torch
from seqlab.engines import base
from seqlab.engines.base import Sequence, starts, zeros
from torch._subclasses.fake_tensor import FakeTensorMode

X = torch.linspace(-1, 1, 18).view(2, 3, 3)


def test_zeros_are_shared_by_what_one_stream_does(monkeypatch):
    cell = seqlab.get("cell", "gru")(3, 4)
    x = torch.zeros(2, 3, 3)
    start = starts(cell, Sequence(x, cell.initial_state(2)), only_read=True)
    found = []
    for stream in (7, 7, 8, None, None):
        monkeypatch.setattr(base, "stream_of", lambda _, stream=stream: stream)
        found.append(start(x, None).hidden)
    assert all(torch.equal(zeros, found[0]) for zeros in found)
    assert found[0] is found[1]
    assert len({id(zeros) for zeros in found}) == 4


def test_what_a_device_has_in_its_queue(monkeypatch):
    assert base.stream_of(torch.device("cpu")) is not None
    stream = SimpleNamespace(cuda_stream=77)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    for capturing in (True, False):
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda c=capturing: c)
        assert base.stream_of(torch.device("cuda:0")) == (None if capturing else 77)


def test_what_is_only_looked_at_shares_no_zeros_with_calls():
    layer = seqlab.LSTM(3, 5, engine="fused")
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        layer(torch.randn(2, 3, 3))
    for given in (zeros(torch.Size([20]), torch.float32, torch.device("cpu")), *layer(X)[1]):
        assert type(given) is torch.Tensor
    with torch.no_grad():
        output, final = layer(X)
        again, _ = layer(X)
        final.hidden.add_(1)  # the caller's own
    assert torch.equal(output, again)
    assert torch.equal(layer(X)[0], output)
