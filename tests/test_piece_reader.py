"""Encoders of the pieces of an entry, beside a loop over entries one by one."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.build import build_model
from seqlab.errors import OptionError, ShapeError
from seqlab.model import Encoder
from seqlab.piece_reader import PieceReader, SeriesReader
from seqlab.types import Batch, DataInfo, FeatureInfo, TargetInfo

LETTERS = FeatureInfo("letters", "pieces", 12, longest=5)
FORMS = [
    {"size": 4, "cell": {"name": "gru", "hidden_size": 3}},
    {
        "size": 4,
        "cell": {"name": "lstm", "hidden_size": 3},
        "wrappers": [{"name": "bidirectional"}],
    },
    {"size": 4, "convolution": {"width": 3, "size": 6}},
    {
        "size": 4,
        "convolution": [{"width": 2, "size": 3}, {"width": 3, "size": 2}],
        "pooling": "mean",
    },
    {"size": 4, "convolution": {"size": 3}, "cell": "rnn", "pooling": ["max", "attention"]},
    {"size": 4},
]
FORMS[4]["cell"] = {"name": "rnn", "hidden_size": 4}


def entries():
    """Entries of 0 to 5 pieces, two of them equal, with garbage behind each one's end."""
    generator = torch.Generator().manual_seed(3)
    counts = torch.tensor([[3, 0, 5], [1, 3, 2]])
    ids = torch.randint(1, 12, (2, 3, 5), generator=generator)
    ids[1, 1] = ids[0, 0]
    return torch.cat([counts.unsqueeze(-1), ids], -1)


def one_by_one(reader, value):
    """Each entry alone, without any padding."""
    rows = []
    for entry in value.flatten(0, 1):
        count = int(entry[0])
        if count:
            rows.append(reader.read(entry[None, 1 : 1 + count], entry[:1])[0])
        else:
            rows.append(torch.zeros(reader.output_size, dtype=torch.float64))
    return torch.stack(rows).view(2, 3, -1)


@pytest.mark.parametrize("form", FORMS)
def test_vectors_and_gradients_are_those_of_each_entry_alone(form):
    torch.manual_seed(0)
    reader, value = PieceReader(LETTERS, form).double(), entries()
    weight = torch.randn(2, 3, reader.output_size, dtype=torch.float64)
    found = []
    for run in (reader, lambda v: one_by_one(reader, v)):
        vectors = run(value)
        grads = torch.autograd.grad((vectors * weight).sum(), list(reader.parameters()))
        found.append((vectors, *grads))
    torch.testing.assert_close(found[0], found[1])
    assert not found[0][0][0, 1].any()


PULSE = FeatureInfo("pulse", "series", 2, role="row", longest=5)


@pytest.mark.parametrize("form", FORMS)
def test_vectors_and_gradients_of_series_are_those_of_each_alone(form):
    torch.manual_seed(0)
    form = {key: value for key, value in form.items() if key != "size"}
    reader = SeriesReader(PULSE, form).double()
    numbers = torch.randn(4, 1, 5, 2, dtype=torch.float64)
    counts, weight = [3, 0, 5, 1], torch.randn(4, 1, reader.output_size, dtype=torch.float64)
    value = torch.cat([torch.tensor(counts).double().view(4, 1, 1), numbers.flatten(2)], -1)
    value[0, 0, 1 + 2 * 3 :] = float("nan")  # behind the end
    alone = [
        reader.pooled(numbers[row, :, :count], torch.tensor([count]))
        if count
        else torch.zeros(1, reader.output_size, dtype=torch.float64)
        for row, count in enumerate(counts)
    ]
    found = []
    for vectors in (reader(value), torch.stack(alone)):
        grads = torch.autograd.grad((vectors * weight).sum(), list(reader.parameters()))
        found.append((vectors, *grads))
    torch.testing.assert_close(found[0], found[1])
    assert not found[0][0][1].any()
    assert reader(value[:0]).shape == (0, 1, reader.output_size)


def test_an_exported_reader_of_series_takes_any_number_of_rows():
    reader = SeriesReader(PULSE, {"cell": {"name": "gru", "hidden_size": 3}}).eval()
    reader.requires_grad_(requires_grad=False)
    value = torch.cat([torch.tensor([2.0, 5.0, 0.0]).view(3, 1, 1), torch.randn(3, 1, 10)], -1)
    exported = torch.export.export(
        reader, (value,), dynamic_shapes=({0: torch.export.Dim("rows")},)
    )
    more = value.flip(0).repeat(2, 1, 1)[:5]
    torch.testing.assert_close(exported.module()(more), reader(more))


def test_no_entries_at_all():
    reader = PieceReader(LETTERS, FORMS[0])
    assert reader(torch.zeros(0, 3, 6).long()).shape == (0, 3, 3)
    assert reader(torch.zeros(2, 0, 6).long()).shape == (2, 0, 3)
    assert not reader(torch.zeros(1, 2, 6).long()).any()


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"sizes": 4}, "features.letters.sizes: unknown key, did you mean 'size'"),
        ({"size": 0}, "features.letters.size: expected an int of at least 1"),
        ({"convolution": {"widths": 3}}, "letters.convolution.widths: unknown key"),
        ({"cell": {"name": "gruu"}}, "unknown cell 'gruu'"),
        ({"pooling": "avg"}, "unknown pooling 'avg'"),
        ({"vectors": "x.txt"}, "letters.vectors: unknown key"),
    ],
)
def test_a_wrong_option_is_named(form, said):
    info = DataInfo((LETTERS,), TargetInfo("tags", 2))
    encoder = {"cell": {"name": "gru", "hidden_size": 4}}
    encoder["embedding"] = {"features": {"letters": form}}
    with pytest.raises(seqlab.errors.SeqlabError) as caught:
        build_model({"encoder": encoder, "head": {"name": "tagging"}}, info)
    assert said in str(caught.value)


def test_an_encoder_joins_words_letters_categories_numbers_and_a_text_of_its_own_length():
    features = (
        FeatureInfo("words", "ids", 9),
        LETTERS,
        FeatureInfo("title", "pieces", 7, role="row", longest=4),
        FeatureInfo("year", "numeric", 2, role="row"),
        FeatureInfo("genre", "ids", 5, role="row"),
    )
    options = {
        "features": {"letters": FORMS[2], "title": FORMS[0], "genre": {"size": 2}},
        "size": 3,
    }
    encoder = Encoder(features, lambda size: seqlab.GRU(size, 5), embedding=options).double().eval()
    assert encoder.layer.input_size == 3 + 6 + 3 + 2 + 2
    generator = torch.Generator().manual_seed(1)
    title = torch.tensor([[[2, 3, 4, 0, 0]], [[4, 1, 2, 3, 4]]])
    inputs = {
        "words": torch.randint(9, (2, 3), generator=generator),
        "letters": entries(),
        "title": title,
        "year": torch.randn(2, 1, 2, generator=generator, dtype=torch.float64),
        "genre": torch.tensor([[1], [4]]),
    }
    lengths = torch.tensor([3, 2])
    whole = encoder(Batch(inputs, lengths)).output
    mask, x = encoder.read(Batch(inputs, lengths))
    read = encoder.readers[1](title)
    torch.testing.assert_close(x[:, 1, 9:12], read[:, 0])
    torch.testing.assert_close(x[:, 0, 9:12], read[:, 0])
    # garbage in the padding, and rows alone
    poisoned = dict(inputs)
    poisoned["letters"] = inputs["letters"].clone()
    poisoned["letters"][1, 2] = 10**6
    torch.testing.assert_close(encoder(Batch(poisoned, lengths)).output, whole)
    for row in range(2):
        count = int(lengths[row])
        alone = {
            name: value[row : row + 1, : 1 if value.shape[1] == 1 else count]
            for name, value in inputs.items()
        }
        found = encoder(Batch(alone, lengths[row : row + 1])).output
        torch.testing.assert_close(found[0], whole[row, :count])
    assert mask.tolist() == [[True] * 3, [True, True, False]]
    with pytest.raises(ShapeError, match=r"'letters' must be \[B, T, 6\]"):
        encoder(Batch({**inputs, "letters": entries()[..., :4]}, lengths))


def test_dropout_is_shared_by_equal_words_and_penalties_reach_the_readers_layer():
    form = {
        "size": 4,
        "dropout": 0.5,
        "cell": {"name": "gru", "hidden_size": 3, "kernel_regularizer": "l2"},
    }
    info = DataInfo((LETTERS,), TargetInfo("tags", 2))
    encoder = {
        "cell": {"name": "gru", "hidden_size": 4},
        "embedding": {"features": {"letters": form}},
    }
    model = build_model({"encoder": encoder, "head": {"name": "tagging"}}, info).train()
    read = model.encoder.readers[0](entries())
    assert read[0, 0].equal(read[1, 1])
    batch = Batch({"letters": entries()}, torch.tensor([3, 3]), torch.zeros(2, 3).long())
    penalty = model.encoder.readers[0].layer.regularization_loss()
    torch.manual_seed(1)
    loss = model.loss(batch)
    torch.manual_seed(1)
    torch.testing.assert_close(loss, model.head.loss(model.encode(batch), batch) + penalty)
    assert float(penalty.detach()) > 0


def test_a_table_that_is_not_trained_stays():
    info = DataInfo(
        (FeatureInfo("words", "ids", 9), FeatureInfo("n", "ids", 3)), TargetInfo("tags", 2)
    )
    encoder = {"cell": {"name": "gru", "hidden_size": 4}}
    encoder["embedding"] = {"features": {"words": {"trained": False, "size": 3}}}
    model = build_model({"encoder": encoder, "head": {"name": "tagging"}}, info)
    tables = model.encoder.tables()
    assert [tables[name].weight.requires_grad for name in ("words", "n")] == [False, True]
    wrong = {**encoder, "embedding": {"features": {"words": {"trained": "no"}}}}
    with pytest.raises(OptionError, match=r"words.trained: expected true or false"):
        build_model({"encoder": wrong, "head": {"name": "tagging"}}, info)


@pytest.mark.parametrize("form", [FORMS[0], FORMS[2]])
def test_an_exported_reader_takes_any_number_of_entries(form):
    reader, value = PieceReader(LETTERS, form).eval(), entries()
    reader.requires_grad_(requires_grad=False)
    rows, steps = torch.export.Dim("rows"), torch.export.Dim("steps")
    exported = torch.export.export(reader, (value,), dynamic_shapes=({0: rows, 1: steps},))
    more = torch.cat([value, value.flip(1)], 1)[:, :5].repeat(3, 1, 1)
    torch.testing.assert_close(exported.module()(more), reader(more))
