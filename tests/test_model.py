from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.construct import construct
from seqlab.errors import DataError, OptionError, ShapeError
from seqlab.model import Encoder, SequenceModel
from seqlab.types import Batch, DataInfo, FeatureInfo, TargetInfo

WORD = FeatureInfo("word", "ids", 9)
CASE = FeatureInfo("case.shape", "ids", 3)
PITCH = FeatureInfo("pitch", "numeric", 2)
TAGS = TargetInfo("tags", 4)
LAYERS = {
    "lstm": lambda size: seqlab.LSTM(size, 4),
    "stacked": lambda size: seqlab.Stacked(
        [seqlab.GRU(size, 3), seqlab.Bidirectional(seqlab.RNN(3, 2), merge_mode="sum")]
    ),
    "bidirectional": lambda size: seqlab.Bidirectional(
        seqlab.LSTM(size, 3), backward_layer=seqlab.GRU(size, 2)
    ),
}


def make_batch(lengths=(5, 2, 0), *, poison=False, target=True):
    generator = torch.Generator().manual_seed(2)
    lengths = torch.tensor(lengths)
    shape = (len(lengths), int(lengths.max()))
    values = {
        "word": torch.randint(9, shape, generator=generator),
        "case.shape": torch.randint(3, shape, generator=generator),
        "pitch": torch.randn(*shape, 2, generator=generator),
    }
    tags = torch.randint(4, shape, generator=generator)
    if poison:
        padded = torch.arange(shape[1]) >= lengths.unsqueeze(1)
        values["word"] = values["word"].masked_fill(padded, -(10**9))
        values["case.shape"] = values["case.shape"].masked_fill(padded, 10**9)
        values["pitch"] = values["pitch"].masked_fill(padded.unsqueeze(-1), float("nan"))
        tags = tags.masked_fill(padded, 10**9)
    return Batch(values, lengths, tags if target else None)


def make_model(layer="bidirectional", features=(WORD, CASE, PITCH), head="tagging", **options):
    options.setdefault("embedding", {"size": 4, "features": {"case.shape": {"size": 2}}})
    encoder = Encoder(features, LAYERS.get(layer, layer), **options)
    part = construct("head", head, encoder.info, TAGS)
    return SequenceModel(DataInfo(tuple(features), TAGS), encoder, part)


@pytest.mark.parametrize("layer", LAYERS)
def test_what_stands_in_the_padding_never_matters(asymmetric, layer):
    model = asymmetric(make_model(layer, input_layer={"size": 6, "activation": "tanh"}))
    results = []
    for poison in (False, True):
        batch = make_batch(poison=poison)
        encoded = model.encode(batch)
        assert encoded.output[~encoded.mask].eq(0).all()
        loss = model.loss(batch)
        grads = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        kept = [torch.zeros(()) if g is None else g for g in grads]
        results.append((encoded.output, encoded.final, loss, kept))
        results[-1] += (model.predict(batch),)
    assert results[0][2].isfinite()
    assert results[0][4] == results[1][4]
    torch.testing.assert_close(results[0][:4], results[1][:4], rtol=0, atol=0)


@pytest.mark.parametrize("layer", LAYERS)
def test_rows_are_independent_and_keep_their_place(asymmetric, layer):
    model = asymmetric(make_model(layer)).double().eval()
    batch, order = make_batch((5, 2, 0, 3)), torch.tensor([3, 1, 0, 2])
    encoded = model.encode(batch)
    shuffled = model.encode(batch.apply(lambda x: x[order]))
    torch.testing.assert_close(shuffled.output, encoded.output[order])
    torch.testing.assert_close(shuffled.final, encoded.final[order])
    for row, n in enumerate([5, 2, 0, 3]):
        alone = model.encode(batch.apply(lambda x, row=row: x[row : row + 1]))
        torch.testing.assert_close(alone.output[0, :n], encoded.output[row, :n])


def test_features_are_embedded_joined_and_projected(asymmetric):
    model = asymmetric(make_model("lstm", input_layer={"size": 6, "activation": "tanh"}))
    encoder, batch = model.encoder, make_batch((5, 5))
    word, case = encoder.embeddings
    assert (word.embedding_dim, case.embedding_dim) == (4, 2)
    joined = torch.cat(
        [word(batch.inputs["word"]), case(batch.inputs["case.shape"]), batch.inputs["pitch"]], -1
    )
    projection = encoder.input_layer.map
    x = torch.tanh(joined @ projection.weight.T + projection.bias)
    output, state = encoder.layer(x)
    encoded = encoder(batch)
    torch.testing.assert_close(encoded.output, output)
    torch.testing.assert_close(encoded.final, state.hidden)
    assert Encoder.input_size_for(encoder.features, {"size": 4}) == 4 + 4 + 2
    assert Encoder.input_size_for(encoder.features, {"size": 4}, {"size": 6}) == 6


@pytest.mark.parametrize(
    ("layer", "info"),
    [
        ("lstm", (4, 4, (4,))),
        ("stacked", (2, 2, (2,))),
        ("bidirectional", (5, 5, (3, 2))),
        (lambda size: seqlab.LSTM(size, 4, reverse=True), (4, 4, (0, 4))),
    ],
)
def test_the_encoder_says_what_it_hands_over(layer, info):
    encoder = make_model(layer).encoder
    assert (encoder.info.output_size, encoder.info.final_size, encoder.info.directions) == info
    encoded = encoder(make_batch())
    assert encoded.output.shape == (3, 5, info[0])
    assert encoded.final.shape == (3, info[1])
    assert encoded.directions == info[2]
    assert encoded.mask.sum(1).tolist() == [5, 2, 0]


@pytest.mark.parametrize("layer", LAYERS)
def test_batches_without_steps(layer):
    model = make_model(layer)
    batch = make_batch((0, 0))
    assert float(model.loss(batch).detach()) == 0
    assert [answer["ids"] for answer in model.predict(batch)] == [[], []]


def test_numeric_features_alone_take_the_dtype_of_the_weights():
    model = make_model("lstm", features=(PITCH,), embedding=None)
    loss = model.double().loss(make_batch())
    assert loss.dtype == torch.float64


def test_dropout_is_for_training_only():
    for options in ({"dropout": 0.5}, {"embedding": {"size": 4, "dropout": 0.5}}):
        model, batch = make_model(**options), make_batch()
        assert not model.loss(batch).equal(model.loss(batch))
        model.eval()
        assert model.loss(batch).equal(model.loss(batch))


def test_regularization_reaches_the_loss_and_constraints_the_weights(asymmetric):
    def layer(size):
        return seqlab.Bidirectional(
            seqlab.GRU(
                size,
                3,
                kernel_regularizer={"name": "l2", "l2": 0.5},
                recurrent_constraint="non_neg",
            )
        )

    plain = asymmetric(make_model(lambda size: seqlab.Bidirectional(seqlab.GRU(size, 3))))
    model, batch = asymmetric(make_model(layer)), make_batch()
    kernels = [cell.weight_ih for cell in model.encoder.layer.cells()]
    penalty = sum(0.5 * kernel.square().sum() for kernel in kernels)
    torch.testing.assert_close(model.loss(batch), plain.loss(batch) + penalty)
    torch.testing.assert_close(model.measure(model.metrics(), batch), plain.loss(batch))
    torch.testing.assert_close(model(batch), model.loss(batch))
    recurrent = [cell.weight_hh for cell in model.encoder.layer.cells()]
    assert all(weight.min() < 0 for weight in recurrent)
    model.apply_constraints()
    assert all(weight.min() >= 0 for weight in recurrent)
    assert all(weight.max() > 0 for weight in recurrent)


def test_the_state_dict_makes_an_equal_model(asymmetric):
    one, two, batch = asymmetric(make_model()), make_model(), make_batch()
    assert not one.loss(batch).equal(two.loss(batch))
    two.load_state_dict(one.state_dict())
    assert one.loss(batch).equal(two.loss(batch))


def test_bfloat16_autocast_gives_a_float32_loss(asymmetric):
    model, batch = asymmetric(make_model()), make_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model.loss(batch)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, model.loss(batch), rtol=0.05, atol=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": ()}, "encoder: the data has no features"),
        (
            {"features": (FeatureInfo("x", "image", 3),), "embedding": None},
            "feature 'x': kind must be ids, numeric, pieces or series",
        ),
        ({"embedding": {"sise": 3}}, "encoder.embedding.sise: unknown key, did you mean 'size'"),
        (
            {"embedding": {"features": {"wrd": {"size": 3}}}},
            "encoder.embedding.features.wrd: unknown key, did you mean 'word'",
        ),
        (
            {"embedding": {"features": {"word": 3}}},
            "encoder.embedding.features.word: expected a mapping, got 3",
        ),
        (
            {"embedding": {"size": 0}},
            "encoder.embedding.size: expected an int of at least 1, got 0",
        ),
        ({"embedding": {"dropout": 1}}, "encoder.embedding.dropout: expected a number"),
        ({"input_layer": {}}, "encoder.input_layer.size: expected an int of at least 1, got null"),
        ({"layer": seqlab.LSTM(7, 2)}, "the layer takes 7 inputs, the features give 8"),
        (
            {"layer": lambda size: seqlab.Bidirectional(seqlab.GRU(size, 2), merge_mode="none")},
            "a head needs one: choose concat, sum, mul or ave",
        ),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(OptionError, match=message):
        make_model(**options)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ({"word": torch.zeros(2, 3).long()}, DataError, "no feature 'case.shape' .it has: word"),
        (
            {"word": torch.zeros(2, 3).long(), "case.shape": torch.zeros(2, 4).long()},
            ShapeError,
            r"feature 'case.shape' has \(2, 4\) rows and steps, the first feature has \(2, 3\)",
        ),
        (
            {"word": torch.zeros(2, 3, 1).long()},
            ShapeError,
            r"feature 'word' must be \[B, T\], got \(2, 3, 1\)",
        ),
        (
            {
                "word": torch.zeros(2, 3).long(),
                "case.shape": torch.zeros(2, 3).long(),
                "pitch": torch.zeros(2, 3, 4),
            },
            ShapeError,
            r"feature 'pitch' must be \[B, T, 2\], got \(2, 3, 4\)",
        ),
    ],
)
def test_wrong_batches(inputs, error, message):
    with pytest.raises(error, match=message):
        make_model().loss(Batch(inputs, torch.tensor([3, 2]), torch.zeros(2, 3).long()))
