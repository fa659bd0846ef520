"""seqlab's layers against torch.nn: outputs, states, gradients; padding, packing, directions."""

from __future__ import annotations

import pytest
import seqlab
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

PAIRS = {"rnn": (seqlab.RNN, nn.RNN), "lstm": (seqlab.LSTM, nn.LSTM), "gru": (seqlab.GRU, nn.GRU)}


def copy_into(ours: seqlab.Layer, theirs: nn.RNNBase, suffix: str = "_l0") -> None:
    cell = ours.cells()[0]
    with torch.no_grad():
        cell.weight_ih.copy_(getattr(theirs, f"weight_ih{suffix}"))
        cell.weight_hh.copy_(getattr(theirs, f"weight_hh{suffix}"))
        first, second = getattr(theirs, f"bias_ih{suffix}"), getattr(theirs, f"bias_hh{suffix}")
        if cell.recurrent_bias is None:
            cell.bias.copy_(first + second)
        else:
            cell.bias.copy_(first)
            cell.recurrent_bias.copy_(second)


@pytest.mark.parametrize("engine", ["loop", "fused"])
@pytest.mark.parametrize("name", PAIRS)
def test_equals_torch_with_lengths_states_and_gradients(name, engine):
    make, reference = PAIRS[name]
    theirs = reference(5, 7, batch_first=True)
    ours = make(5, 7, engine=engine)
    copy_into(ours, theirs)
    lengths = torch.tensor([6, 1, 4])
    x = torch.randn(3, 6, 5)
    hidden = torch.randn(1, 3, 7)
    memory = torch.randn(1, 3, 7)
    initial = (hidden, memory) if name == "lstm" else hidden
    mine = (hidden[0], memory[0]) if name == "lstm" else (hidden[0],)

    x1, x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
    packed = pack_padded_sequence(x1, lengths, batch_first=True, enforce_sorted=False)
    expected, final = theirs(packed, initial)
    expected, _ = pad_packed_sequence(expected, batch_first=True)
    output, state = ours(x2, mine, lengths=lengths)
    final = final if name == "lstm" else (final,)
    torch.testing.assert_close(output, expected)
    for ours_part, their_part in zip(state, final, strict=True):
        torch.testing.assert_close(ours_part, their_part[0])

    weight = torch.randn_like(expected)
    (expected * weight).sum().backward()
    (output * weight).sum().backward()
    torch.testing.assert_close(x2.grad, x1.grad)
    torch.testing.assert_close(ours.cell.weight_hh.grad, theirs.weight_hh_l0.grad)
    torch.testing.assert_close(ours.cell.weight_ih.grad, theirs.weight_ih_l0.grad)


@pytest.mark.parametrize("name", PAIRS)
def test_stacked_bidirectional_equals_torch(name):
    make, reference = PAIRS[name]
    theirs = reference(4, 3, num_layers=2, batch_first=True, bidirectional=True)
    ours = seqlab.Stacked([seqlab.Bidirectional(make(4, 3)), seqlab.Bidirectional(make(6, 3))])
    for index, layer in enumerate(ours.layers):
        copy_into(layer.forward_layer, theirs, f"_l{index}")
        copy_into(layer.backward_layer, theirs, f"_l{index}_reverse")
    lengths = torch.tensor([2, 5, 4])
    x = torch.randn(3, 5, 4)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, final = theirs(packed)
    expected, _ = pad_packed_sequence(expected, batch_first=True)
    output, state = ours(x, lengths=lengths)
    torch.testing.assert_close(output, expected)
    hidden = final[0] if name == "lstm" else final
    torch.testing.assert_close(state[1].backward[0], hidden[3])
    torch.testing.assert_close(ours.final_output(state), torch.cat([hidden[2], hidden[3]], -1))
