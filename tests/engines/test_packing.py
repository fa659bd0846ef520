"""Packed rows: real steps are moved together and back, whatever the mask looks like."""

from __future__ import annotations

import copy

import pytest
import seqlab
import torch
from seqlab.engines.fused import cell_stack, vendor_calls
from seqlab.engines.fused.packing import packing_of, real_steps
from torch.nn.utils.rnn import pack_padded_sequence

MAKERS = {"rnn": seqlab.RNN, "lstm": seqlab.LSTM, "gru": seqlab.GRU}
B, T = 5, 6
MASKS = {
    "holes": torch.arange(B * T).view(B, T) % 4 != 1,
    "no step": torch.zeros(B, T, dtype=torch.bool),
    "one step": torch.eye(B, T, dtype=torch.bool) & (torch.arange(B) == 2).unsqueeze(1),
    "ties and empty rows": torch.arange(T) < torch.tensor([3, 0, 6, 3, 0]).unsqueeze(1),
    "from the right": torch.arange(T) >= torch.tensor([3, 0, 6, 2, 5]).unsqueeze(1),
}


@pytest.fixture(name="packed")
def _packed(monkeypatch):
    """Rows are packed, as on a GPU; how many steps of each run."""
    seen, once = [], vendor_calls._call

    def call(form, data, start, weights, sizes, **options):
        seen.append(sizes.tolist())
        return once(form, data, start, weights, sizes, **options)

    monkeypatch.setattr(vendor_calls, "_call", call)
    monkeypatch.setattr(cell_stack, "pads", lambda *_, **__: False)
    return seen


def results(layer, x, state, mask):
    x = x.clone().requires_grad_()
    given = [part.clone().requires_grad_() for part in state]
    output, final = layer(x, given, mask=mask)
    loss = output.sin().sum() + sum((n + 2) * part.cos().sum() for n, part in enumerate(final))
    wanted = [x, *given, *layer.parameters()]
    return [output, *final, *torch.autograd.grad(loss, wanted)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("name", MAKERS)
def test_packed_rows_are_the_loops(name, kind, reverse, packed, asymmetric):
    layer = asymmetric(MAKERS[name](3, 4, engine="fused", reverse=reverse)).double()
    loop = copy.deepcopy(layer)
    loop.engine = "loop"
    x = torch.randn(B, T, 3, dtype=torch.float64)
    state = [torch.randn(B, 4, dtype=torch.float64) for _ in layer.initial_state(1)]
    ours, theirs = (results(each, x, state, MASKS[kind]) for each in (layer, loop))
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected)
    (sizes,) = packed
    assert sum(sizes) == max(1, int(MASKS[kind].sum()))


def test_steps_are_packed_as_torch_packs_them():
    lengths = torch.tensor([3, 1, 6, 3, 5])
    mask, x = torch.arange(T) < lengths.unsqueeze(1), torch.randn(B, T, 2)
    found = packing_of(real_steps(mask), reverse=False)
    expected = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    assert torch.equal(found.sizes, expected.batch_sizes)
    assert sorted(found.rows.tolist()) == list(range(B))
    assert lengths[found.rows].tolist() == sorted(lengths.tolist(), reverse=True)
    given = pack_padded_sequence(x[found.rows], lengths[found.rows], batch_first=True)
    assert torch.equal(x.flatten(0, 1)[found.places], given.data)


@pytest.mark.parametrize("masked_output", ["zeros", "carry"])
def test_lengths_and_masks_on_a_device_are_not_asked_for(masked_output):
    """Tensors of the device ``meta`` have no numbers, as those of a GPU are far away."""
    layer = seqlab.LSTM(3, 4, engine="loop", masked_output=masked_output).to("meta")
    x, lengths = torch.empty(B, T, 3, device="meta"), torch.zeros(B, dtype=int, device="meta")
    mask = torch.empty(B, T, dtype=torch.bool, device="meta")
    for given in ({"lengths": lengths}, {"mask": mask}, {"lengths": lengths, "mask": mask}):
        for _ in range(2):
            output, final = layer(x, **given)
            assert (output.shape, final.hidden.shape) == ((B, T, 4), (B, 4))


def test_lengths_of_the_processor_are_sent_without_waiting(monkeypatch):
    layer, said, once = seqlab.GRU(3, 4, engine="loop").to("meta"), [], torch.Tensor.to

    def to(tensor, *args, **options):
        if tensor is lengths:
            said.append(options.get("non_blocking"))
        return once(tensor, *args, **options)

    lengths = torch.tensor([1, 0, 6, 2, 3])
    monkeypatch.setattr(torch.Tensor, "to", to)
    layer(torch.empty(B, T, 3, device="meta"), lengths=lengths)
    assert said == [True]
