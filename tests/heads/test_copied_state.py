"""``bridge: copy``: a decoder that starts from the encoder's state as it is."""

from __future__ import annotations

import pytest
import torch
from seqlab.build import build_model
from seqlab.errors import OptionError
from seqlab.types import Batch, DataInfo, FeatureInfo, TargetInfo

INFO = DataInfo((FeatureInfo("text", "ids", 9),), TargetInfo("tokens", 8, bos=2, eos=3))


def model(encoder="lstm", decoder="lstm", layers=1, wrappers=()):
    cell = {"name": encoder, "hidden_size": 5}
    head = {
        "name": "encoder_decoder",
        "bridge": "copy",
        "decoder": {"cell": {"name": decoder, "hidden_size": 5}, "num_layers": layers},
        "max_length": 4,
    }
    torch.manual_seed(2)
    return build_model({"encoder": {"cell": cell, "wrappers": list(wrappers)}, "head": head}, INFO)


BATCH = Batch(
    {"text": torch.tensor([[4, 5, 6], [7, 0, 0]])},
    torch.tensor([3, 1]),
    torch.tensor([[4, 5], [6, 0]]),
    torch.tensor([2, 1]),
)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_decoder_begins_where_the_encoder_ended(cell, layers):
    wrappers = [{"name": "stacked", "num_layers": 2}] if layers == 2 else []
    made = model(cell, cell, layers, wrappers).eval()
    encoded = made.encode(BATCH)
    _, state = made.head.decoder.start(encoded)
    flat = [torch.cat([f.flatten() for f in _fields(s)]) for s in (state.layer, encoded.state)]
    torch.testing.assert_close(flat[0], flat[1])
    assert not any("bridge" in name for name in made.state_dict())
    made.loss(BATCH).backward()
    assert made.encoder.embeddings[0].weight.grad.abs().sum() > 0
    assert len(made.predict(BATCH)) == 2


def _fields(state):
    for part in state:
        yield from [part] if torch.is_tensor(part) else _fields(part)


@pytest.mark.parametrize(
    "options",
    [{"decoder": "gru"}, {"layers": 2}, {"wrappers": [{"name": "bidirectional"}]}],
)
def test_states_of_two_forms_are_told(options):
    with pytest.raises(OptionError, match=r"head\.bridge=copy: the encoder's state is"):
        model(**options).loss(BATCH)
