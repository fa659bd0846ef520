"""What is measured of whole models, against the same by hand."""

import dataclasses

import pytest
import seqlab
import torch
from seqlab.microscope.gradients import Reading, gradient_curves
from seqlab.microscope.layers import Look
from seqlab.microscope.loss_reading import read_loss
from seqlab.microscope.occlusion import occlusion
from seqlab.microscope.recording import copy_of, recorded
from seqlab.model import Encoder, SequenceModel
from seqlab.types import Batch, DataInfo, FeatureInfo, TargetInfo

from sampled_cells import CELLS

LENGTHS = torch.tensor([7, 5, 1])


def model_of(head="classification", target=None, layer=None, **options):
    torch.manual_seed(3)
    target = target or TargetInfo("label", 3, ("a", "b", "c"))
    features = (FeatureInfo("x", "numeric", 2),)
    encoder = Encoder(features, layer or (lambda size: seqlab.GRU(size, 4)))
    made = seqlab.get("head", head)(encoder.info, target, **options)
    return SequenceModel(DataInfo(features, target), encoder, made).double().eval()


def batch_of(target):
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(3, 7, 2, generator=generator, dtype=torch.float64)
    return Batch({"x": x}, LENGTHS, target)


TAGS = TargetInfo("tags", 3, ("a", "b", "c"))


def tags():
    return torch.randint(0, 3, (3, 7), generator=torch.Generator().manual_seed(6))


@pytest.mark.parametrize("reverse", [False, True])
def test_gradient_of_one_steps_loss_by_earlier_states(reverse):
    """A tagger's loss at step t alone, by a change that is added to the state k steps before."""
    model = model_of("tagging", TAGS, lambda size: seqlab.LSTM(size, 4, reverse=reverse))
    batch = batch_of(tags())
    row, length = 1, 5
    cell, weight = model.encoder.layer.cell, model.head
    x = batch.inputs["x"][row : row + 1, :length]
    times = range(length)[::-1] if reverse else range(length)
    expected: dict[int, list[float]] = {}
    for place, t in enumerate(times):
        changes = [torch.zeros(1, 8, dtype=torch.float64, requires_grad=True) for _ in times]
        state, projected = cell.initial_state(1), cell.project(x)
        for i, time in enumerate(list(times)[: place + 1]):
            h, c = (s + d for s, d in zip(state, changes[i].chunk(2, 1), strict=True))
            output, state = cell.step(projected[:, time], type(state)(h, c))
        encoded = model.encode(batch)
        one = encoded._replace(output=torch.zeros_like(encoded.output).index_put(
            (torch.tensor([row]), torch.tensor([t])), output))  # fmt: skip
        loss = weight.loss(one, batch)
        for i, grad in enumerate(torch.autograd.grad(loss, changes[: place + 1])):
            expected.setdefault(place - i + 1, []).append(float(grad.norm()))
    twin = copy_of(model)
    with recorded(twin) as traces:
        encoded = twin.encode(batch)
        reading = read_loss(twin, encoded, batch).encoder
    alone = torch.zeros_like(reading.output_gradient)
    alone[row] = reading.output_gradient[row]
    (curve,) = gradient_curves(traces, Reading(reading.output, alone, []), LENGTHS)
    assert [k for k, _ in curve] == list(range(1, length + 1))
    for k, value in curve:
        assert value == pytest.approx(sum(expected[k]) / len(expected[k]), rel=1e-9)


@pytest.mark.parametrize("pooling", ["last", "final_state"])
def test_a_loss_at_the_end_is_traced_from_the_end_of_each_row(pooling):
    model = model_of(pooling=pooling)
    look = Look(model, batch_of(torch.tensor([0, 1, 2])))
    curve = look.layers[0]["gradient"]
    assert [k for k, _ in curve] == list(range(1, 8))  # the longest row has 7 steps
    assert look.loss == pytest.approx(float(model.loss(look.batch).detach()))
    assert all(value > 0 for _, value in curve)


def test_layers_and_directions_have_their_own_entries():
    def stack(size):
        return seqlab.Stacked([
            seqlab.Bidirectional(seqlab.LSTM(size, 4)), seqlab.Bidirectional(seqlab.RNN(8, 3)),
        ])  # fmt: skip

    look = Look(model_of(layer=stack), batch_of(torch.tensor([0, 1, 2])))
    assert [(e["name"], e["cell"], e["direction"]) for e in look.layers] == [
        ("layer 1 forward", "LSTMCell", "forward"),
        ("layer 1 backward", "LSTMCell", "backward"),
        ("layer 2 forward", "RNNCell", "forward"),
        ("layer 2 backward", "RNNCell", "backward"),
    ]
    for entry in look.layers:
        assert entry["memory"]["reach"] > 0
        assert entry["jacobian"]["norm"][0][0] == 1
        assert set(entry["gates"])


def test_every_registered_cell_can_be_looked_at():
    for name in CELLS:
        size = 2 if name == "highway" else 4
        layer = seqlab.Recurrent(seqlab.get("cell", name)(2, size))
        look = Look(model_of(layer=layer), batch_of(torch.tensor([0, 1, 2])))
        assert len(look.layers[0]["gradient"]) == 7, name
        assert look.layers[0]["jacobian"]["rate"] is not None, name


def test_without_targets_the_output_is_followed():
    look = Look(model_of(), batch_of(None))
    assert look.loss is None
    assert len(look.layers[0]["gradient"]) == 7


def test_a_look_changes_nothing():
    model = model_of().train()
    before = {n: p.clone() for n, p in model.state_dict().items()}
    engine = model.encoder.layer.engine
    random = torch.random.get_rng_state()
    Look(model, batch_of(torch.tensor([0, 1, 2])))
    assert all(torch.equal(before[n], p) for n, p in model.state_dict().items())
    assert (model.training, model.encoder.layer.engine) == (True, engine)
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(random, torch.random.get_rng_state())


def test_dead_and_saturated_units_are_found():
    model = model_of(layer=lambda size: seqlab.RNN(size, 4))
    cell = model.encoder.layer.cell
    with torch.no_grad():
        cell.weight_ih[:2], cell.weight_hh[:2] = 0.0, 0.0
        cell.bias[:2] = torch.tensor([0.0, 9.0], dtype=torch.float64)
        cell.weight_ih[2], cell.weight_hh[2], cell.bias[2] = 0.1, 0.0, 3.0
    units = Look(model, batch_of(torch.tensor([0, 1, 2]))).layers[0]["units"]
    assert units == {"units": 4, "dead": [0, 1], "saturated": [2]}


def test_occlusion_is_the_rise_of_the_loss():
    model = model_of()
    batch = batch_of(torch.tensor([0, 1, 2])).apply(lambda t: t[1:2])
    found = occlusion(model, batch)
    assert len(found) == 5
    whole = float(model.head.loss(model.encode(batch), batch).detach())
    for step in range(5):
        x = batch.inputs["x"].clone()
        x[:, step] = 0.0
        hidden = dataclasses.replace(batch, inputs={"x": x})
        rise = float(model.head.loss(model.encode(hidden), hidden).detach()) - whole
        assert found[step] == pytest.approx(rise, abs=1e-12)


def test_occlusion_without_a_target_is_how_far_the_scores_move():
    model = model_of()
    batch = batch_of(None).apply(lambda t: t[:1])
    found = occlusion(model, batch)
    x = batch.inputs["x"].clone()
    x[:, 3] = 0.0
    moved = model.head.scores(model.encode(dataclasses.replace(batch, inputs={"x": x})))
    assert found[3] == pytest.approx(
        float((moved - model.head.scores(model.encode(batch))).norm().detach())
    )
