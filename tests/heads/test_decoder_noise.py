"""A decoder's random masks: one draw a sequence, whether it runs at once or step by step."""

from __future__ import annotations

import pytest
import torch
from encoder_decoder_helpers import CELL, build, make_batch
from seqlab.cells.gated import GatedCell

CELLS = [
    {**CELL, "dropout": 0.5},
    {**CELL, "recurrent_dropout": 0.5},
    {**CELL, "weight_dropout": 0.5, "zoneout": 0.2},
    {"name": "gru", "hidden_size": 6, "recurrent_dropout": 0.5, "activity_regularizer": "l2"},
]


@pytest.mark.parametrize("cell", CELLS)
def test_steps_with_one_draw_equal_the_run(cell, asymmetric):
    model, batch = build(asymmetric, decoder={"cell": cell}), make_batch()
    decoder = model.head.decoder.train()
    memory, state = decoder.start(model.encode(batch))
    tokens = torch.tensor([[5, 3, 4, 0, 6, 3], [5, 6, 3, 1, 1, 1], [5, 1, 1, 1, 1, 1]])
    mask = torch.arange(6) < torch.tensor([[6], [3], [1]])
    torch.manual_seed(4)
    whole = decoder.run(tokens, mask, memory, state).scores
    penalty = decoder.layer.regularization_loss()
    torch.manual_seed(4)
    noise = decoder.sample_noise(3, 6)
    found = []
    for t in range(6):
        made, state = decoder.step(tokens[:, t : t + 1], memory, state, mask[:, t], noise.at(t))
        found.append(made.scores)
    torch.testing.assert_close(torch.cat(found, 1)[mask], whole[mask])
    torch.testing.assert_close(decoder.layer.regularization_loss(), penalty)


@pytest.mark.parametrize("options", [
    {"input_feeding": True}, {"teacher_forcing": 0.5}, {"input_feeding": True, "num_layers": 2},
])  # fmt: skip
def test_the_masks_of_a_loss_are_drawn_once(options, asymmetric, monkeypatch):
    decoder = {"cell": CELLS[1], "num_layers": options.pop("num_layers", 1)}
    model, batch = build(asymmetric, decoder=decoder, **options), make_batch()
    drawn = []
    original = GatedCell.sample_noise

    def counted(self, batch_size, steps, **where):
        drawn.append((batch_size, steps))
        return original(self, batch_size, steps, **where)

    monkeypatch.setattr(GatedCell, "sample_noise", counted)
    model.head.train()
    model.head.loss(model.encode(batch), batch)
    assert drawn == [(3, 6)] * decoder["num_layers"]
