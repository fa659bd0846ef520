"""Gradients of decoder cells, against the same by hand."""

import pytest
import seqlab
import torch
from seqlab.microscope.layers import Look
from seqlab.model import Encoder, SequenceModel
from seqlab.types import Batch, DataInfo, FeatureInfo, TargetInfo

TARGET = TargetInfo("tokens", 7, bos=2, eos=3)


def model_of(cell="gru", *, layer=None, num_layers=1, **options):
    torch.manual_seed(3)
    features = (FeatureInfo("x", "numeric", 2),)
    encoder = Encoder(features, layer or (lambda size: seqlab.LSTM(size, 3)))
    decoder = {"cell": {"name": cell, "hidden_size": 4}, "num_layers": num_layers}
    head = seqlab.get("head", "encoder_decoder")(
        encoder.info, TARGET, decoder=decoder, embedding_size=3, **options
    )
    return SequenceModel(DataInfo(features, TARGET), encoder, head).double().eval()


def batch_of():
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(3, 5, 2, generator=generator, dtype=torch.float64)
    target = torch.randint(4, 7, (3, 4), generator=generator)
    return Batch({"x": x}, torch.tensor([5, 2, 3]), target, torch.tensor([4, 1, 0]))


def by_hand(model, batch):
    """Norms of the gradient of the loss at each step alone, by a change of each state before it."""
    network, found = model.head.decoder, {}
    encoded = model.encode(batch)
    tokens = int(batch.target_lengths.sum()) + len(batch.target_lengths)  # the ends too
    for row, length in enumerate(batch.target_lengths.tolist()):
        goal = [*batch.target[row, :length].tolist(), TARGET.eos]
        memory, begun = network.start(encoded)
        cell = network.layer.cell
        changes = [torch.zeros(1, cell.hidden_size, dtype=torch.float64) for _ in goal]
        state = type(begun.layer)(*(field[row : row + 1] for field in begun.layer))
        kept = type(memory)(*(f if f is None else f[row : row + 1] for f in memory))
        for u, (change, wanted) in enumerate(zip(changes, goal, strict=True)):
            token = [TARGET.bos, *goal][u]
            change.requires_grad_()
            state = type(state)(state[0] + change, *state[1:])
            x = network.embedding(torch.tensor([[token]]))
            output, state = cell.step(cell.project(x)[:, 0], state)
            context, _ = network.attention(output.unsqueeze(1), kept)
            scores = network.output(network.readout(torch.cat([output.unsqueeze(1), context], -1)))
            loss = -scores[0, 0].log_softmax(-1)[wanted] / tokens
            for i, grad in enumerate(
                torch.autograd.grad(loss, changes[: u + 1], retain_graph=True)
            ):
                found.setdefault(u - i + 1, []).append(float(grad.norm()))
    return found


@pytest.mark.parametrize("attention", ["none", "dot"])
def test_gradient_of_one_steps_loss_by_earlier_states_of_the_decoder(attention):
    layer = None if attention == "none" else (lambda size: seqlab.LSTM(size, 4))
    model, batch = model_of("gru", layer=layer, attention=attention), batch_of()
    (entry,) = Look(model, batch).decoder
    expected = by_hand(model, batch)
    assert [k for k, _ in entry["gradient"]] == sorted(expected) == [1, 2, 3, 4, 5]
    for k, value in entry["gradient"]:
        assert value == pytest.approx(sum(expected[k]) / len(expected[k]), rel=1e-6)
    assert entry["memory"]["half_life"] > 0
    assert entry["jacobian"]["norm"][0][0] == 1


def test_each_layer_of_a_stack_has_its_curve_and_its_name():
    look = Look(model_of("lstm", num_layers=2), batch_of())
    assert [e["name"] for e in look.decoder] == ["head.decoder.layer 1", "head.decoder.layer 2"]
    assert all(len(e["gradient"]) == 5 and e["gradient"][0][1] > 0 for e in look.decoder)
    assert [e["name"] for e in look.layers] == ["layer"]


def test_a_decoder_that_is_fed_step_by_step():
    (entry,) = Look(model_of("gru", input_feeding=True), batch_of()).decoder
    assert [k for k, _ in entry["gradient"]] == [1, 2, 3, 4, 5]
    stacked = Look(model_of("gru", num_layers=2, input_feeding=True), batch_of()).decoder
    assert all("one step at a time" in e["reason"] for e in stacked)
    assert all("gradient" not in e for e in stacked)


def test_the_encoder_is_measured_as_without_a_look_at_the_decoder():
    model, batch = model_of("gru"), batch_of()
    entry = Look(model, batch).layers[0]
    assert len(entry["gradient"]) == 5
    no_target = Look(model, Batch(batch.inputs, batch.lengths))
    assert no_target.decoder == []
