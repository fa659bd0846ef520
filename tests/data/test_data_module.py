import random

import datasets
import pytest
import torch
from seqlab.data.module import DataModule
from seqlab.data.sources.base import Source
from seqlab.errors import ConfigError, DataError

SPEC = {
    "features": {"text": {"column": "word", "tokenizer": "chars"}},
    "target": {"column": "kind", "kind": "label"},
    "batch_size": 4,
    "eval_batch_size": 6,
}


class Words(Source):
    """Seeded words of many lengths; the label says whether one begins with a vowel."""

    def __init__(self, sizes=None, *, streaming=False, **rows):
        if sizes is None:
            sizes = {"train": 50, "validation": 9, "test": 13}
        generator = random.Random(8)  # noqa: S311 - test data
        self.rows = {
            split: [make_row(generator) for _ in range(size)] for split, size in sizes.items()
        } | rows
        self.streaming = streaming

    def load(self):
        splits = {}
        for name, rows in self.rows.items():
            if self.streaming:
                splits[name] = datasets.IterableDataset.from_generator(
                    iterate, gen_kwargs={"rows": tuple(rows)}
                )
            else:
                splits[name] = datasets.Dataset.from_list(rows)
        kind = datasets.IterableDatasetDict if self.streaming else datasets.DatasetDict
        return kind(splits)

    def describe(self):
        return {"name": "words", "origin": "", "licence": "", "digest": "", "rows": {}}

    def locate(self, split, row):
        return f"{split}.csv line {row + 2}"


def iterate(rows):
    yield from rows


def make_row(generator):
    word = "".join(generator.choices("abcdefghi", k=generator.randint(1, 12)))
    return {"word": word, "kind": "vowel" if word[0] in "aei" else "consonant"}


def module(spec=None, source=None, seed=0, **changes):
    data = DataModule(source or Words(), {**SPEC, **(spec or {}), **changes}, seed=seed)
    data.prepare()
    return data


def content(batches):
    return [(b.rows.tolist(), b.inputs["text"].tolist(), b.target.tolist()) for b in batches]


def test_splits_sizes_and_steps():
    data = module()
    assert data.splits == ("train", "validation", "test")
    assert data.sizes == {"train": 50, "validation": 9, "test": 13}
    assert data.steps_per_epoch == 13 == len(data.loader("train"))
    assert data.steps("test") == 3 == len(data.loader("test"))
    assert data.info.target.names == ("consonant", "vowel")


def test_every_row_comes_once_and_is_the_row_it_says():
    data = module()
    for split in data.splits:
        seen = []
        for batch in data.loader(split):
            for place, number in enumerate(batch.rows.tolist()):
                row = data.rows(split)[number]
                ids = batch.inputs["text"][place, : batch.lengths[place]].tolist()
                if split == "train":
                    assert data.processor.decode_input(ids) == row["word"]
                assert data.processor.decode_target(batch.target[place]) == row["kind"]
                seen.append(number)
        assert sorted(seen) == list(range(data.sizes[split]))
    assert next(iter(data.rows("test"))) == Words().rows["test"][0]


def test_a_loader_can_be_gone_through_again():
    loader = module().loader("train", epoch=1)
    assert content(loader) == content(loader)


@pytest.mark.parametrize("bucket", [False, True])
def test_the_order_is_a_function_of_seed_and_epoch(bucket):
    first, again, other = (module(bucket=bucket, seed=seed) for seed in (5, 5, 6))
    assert content(first.loader("train", epoch=2)) == content(again.loader("train", epoch=2))
    assert content(first.loader("train", epoch=2)) != content(first.loader("train", epoch=3))
    assert content(first.loader("train", epoch=2)) != content(other.loader("train", epoch=2))
    assert content(first.loader("test")) == content(other.loader("test", epoch=4))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("bucket", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_starting_later_is_the_rest_of_the_whole(streaming, bucket, split):
    data = module(bucket=bucket, source=Words(streaming=streaming), shuffle_buffer=8)
    whole = content(data.loader(split, epoch=1))
    for start in range(len(whole) + 2):
        loader = data.loader(split, epoch=1, start_batch=start)
        assert content(loader) == whole[start:]
        assert len(loader) == len(whole[start:])


@pytest.mark.parametrize("streaming", [False, True])
def test_processes_take_turns(streaming):
    data = module(source=Words(streaming=streaming))
    whole = content(data.loader("train"))
    shares = [content(data.loader("train", rank=rank, world_size=4)) for rank in range(4)]
    assert [batch for step in zip(*shares, strict=True) for batch in step] == whole[:12]
    assert data.steps("train", world_size=4) == 3
    later = data.loader("train", rank=1, world_size=4, start_batch=2)
    assert content(later) == whole[9:10]
    tests = [content(data.loader("test", rank=rank, world_size=2)) for rank in range(2)]
    assert [len(share) for share in tests] == [2, 1]


@pytest.mark.parametrize("streaming", [False, True])
def test_workers_give_the_same_batches(streaming):
    alone = module(source=Words(streaming=streaming))
    helped = module(source=Words(streaming=streaming), num_workers=2)
    assert content(helped.loader("train", epoch=1)) == content(alone.loader("train", epoch=1))


def test_batches_do_not_touch_the_global_random_state():
    data = module()
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    list(data.loader("train"))
    assert torch.equal(torch.rand(3), expected)


def test_a_stream_gives_the_same_as_memory():
    memory = module(bucket=False)
    stream = module(bucket=False, source=Words(streaming=True), shuffle_buffer=10)
    assert stream.sizes == memory.sizes
    assert stream.steps_per_epoch == memory.steps_per_epoch
    assert stream.info == memory.info
    for split in ("validation", "test"):
        assert content(stream.loader(split)) == content(memory.loader(split))
    order = [n for batch in stream.loader("train") for n in batch.rows.tolist()]
    assert sorted(order) == list(range(50))
    assert order != list(range(50))
    assert stream.rows("test")[7] == memory.rows("test")[7]
    with pytest.raises(IndexError):
        stream.rows("test")[99]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_stream_is_shuffled_by_seed_and_epoch(streaming):
    source = Words(streaming=streaming)
    orders = [
        content(module(source=source, seed=seed, shuffle_buffer=20).loader("train", epoch=epoch))
        for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert orders[0] == orders[1]
    assert len({str(order) for order in orders}) == 3


@pytest.mark.parametrize("streaming", [False, True])
def test_validation_rows_are_held_out_alike_for_every_seed(streaming):
    def held(seed, split_seed=0):
        source = Words({"train": 40, "test": 5}, streaming=streaming)
        data = module(source=source, seed=seed, validation=0.2, split_seed=split_seed)
        assert data.sizes == {"train": 32, "validation": 8, "test": 5}
        return [[row["word"] for row in data.rows(s)] for s in ("train", "validation")]

    train, validation = held(0)
    source = [row["word"] for row in Words({"train": 40, "test": 5}).rows["train"]]
    assert sorted(train + validation) == sorted(source)
    assert held(1) == [train, validation]
    assert held(0, split_seed=1) != [train, validation]


def test_memory_and_stream_hold_out_the_same_rows():
    held = [
        [row["word"] for row in module(source=Words({"train": 40}, streaming=s), validation=0.2)
         .rows("validation")]
        for s in (False, True)
    ]  # fmt: skip
    assert held[0] == held[1]


def test_a_validation_split_of_the_source_is_used_as_it_is():
    assert module(validation=0.5).sizes == {"train": 50, "validation": 9, "test": 13}


def test_vocabulary_and_labels_see_neither_validation_nor_test():
    train = [{"word": "ab", "kind": "x"}, {"word": "ba", "kind": "y"}]
    other = [{"word": "qz", "kind": "x"}]
    data = module(source=Words({}, train=train, validation=other, test=other))
    assert data.info.features[0].size == 4
    assert next(iter(data.loader("test"))).inputs["text"].tolist() == [[1, 1]]
    rows = [{"word": chr(97 + n), "kind": "x"} for n in range(20)]
    held = module(source=Words({}, train=rows), validation=0.25)
    seen = {row["word"] for row in held.rows("train")}
    assert held.info.features[0].size == 2 + len(seen) == 2 + 15


@pytest.mark.parametrize("limits", [{"validation": 0.5}, {"limit_train": 1}])
def test_classes_of_training_rows_that_are_not_used_are_known_all_the_same(limits):
    rows = [{"word": "a", "kind": f"k{n}"} for n in range(10)]
    data = module(source=Words({}, train=rows, test=rows), **limits)
    assert data.info.target.size == 10
    assert data.sizes["train"] < 10


def test_limits_take_a_fixed_subset_or_the_first_rows_of_a_stream():
    data = module(limit_train=10, limit_test=3, seed=4)
    assert data.sizes == {"train": 10, "validation": 9, "test": 3}
    words = [row["word"] for row in Words().rows["train"]]
    chosen = [row["word"] for row in data.rows("train")]
    assert chosen != words[:10]
    assert chosen == [row["word"] for row in module(limit_train=10, seed=9).rows("train")]
    stream = module(limit_train=10, source=Words(streaming=True))
    assert [row["word"] for row in stream.rows("train")] == words[:10]
    assert module(limit_train=500).sizes["train"] == 50
    both = module(source=Words({"train": 40}), validation=0.25, limit_train=7, limit_validation=2)
    assert both.sizes == {"train": 7, "validation": 2}


def test_a_given_processor_is_used_and_only_the_splits_asked_for_are_read():
    fitted = module().processor
    bad = [{"word": 3, "kind": "x"}]
    source = Words({"test": 5}, train=bad)
    data = DataModule(source, SPEC, 0, processor=fitted)
    data.prepare(["test"])
    assert data.processor is fitted
    assert data.splits == ("test",)
    with pytest.raises(DataError, match="no split 'train' is loaded: known: test"):
        data.loader("train")


def test_class_labels_of_a_data_set_become_their_names():
    features = datasets.Features(
        {
            "word": datasets.Value("string"),
            "kind": datasets.ClassLabel(names=["zulu", "alpha"]),
        }
    )

    class Named(Words):
        def load(self):
            rows = {"word": ["a", "bb"], "kind": [0, 1]}
            return datasets.DatasetDict(train=datasets.Dataset.from_dict(rows, features=features))

    data = module(source=Named())
    assert data.info.target.names == ("alpha", "zulu")
    assert data.rows("train")[1] == {"word": "bb", "kind": "alpha"}


TEXT = {
    "features": {"text": {"column": "word", "tokenizer": "chars"}},
    "target": {"column": "said", "kind": "text", "tokenizer": "words", "references": "all"},
    "batch_size": 2,
}
SAID = [
    {"word": "ab", "said": "A B", "all": ["A B", "B"]},
    {"word": "b", "said": "B", "all": ["B"]},
]


@pytest.mark.parametrize("streaming", [False, True])
def test_references_come_in_evaluation_only(streaming):
    data = module(TEXT, Words({}, train=SAID, test=SAID, streaming=streaming))
    batch = next(iter(data.loader("test")))
    decoded = [[data.processor.decode_target(a) for a in answers] for answers in batch.references]
    assert sorted(decoded) == [["A B", "B"], ["B"]]
    assert next(iter(data.loader("train"))).references is None
    without = [{"word": "ab", "said": "A B"}]
    data = module(TEXT, Words({}, train=SAID, test=without, streaming=streaming))
    assert next(iter(data.loader("test"))).references is None


GOOD = [{"word": "ab", "kind": "x"}, {"word": "c", "kind": "y"}]
TAGS = {
    "features": {"tokens": {"kind": "tokens"}},
    "target": {"column": "tags", "kind": "tags"},
}
TAGGED = [{"tokens": ["a", "b"], "tags": ["X", "Y"]}]
BAD = [
    (SPEC, {"train": []}, "the source's split 'train' has no rows"),
    (SPEC, {"train": GOOD, "test": []}, "the source's split 'test' has no rows"),
    (SPEC, {"test": GOOD}, "the source has no split 'train'"),
    (SPEC, {"train": GOOD, "dev": GOOD}, "the source has a split 'dev': known: test, train"),
    (
        SPEC,
        {"train": [{"wrd": "a", "kind": "x"}]},
        "line 2: the column 'word' (data.features.text.column) is missing: did you mean 'wrd'?",
    ),
    (
        SPEC,
        {"train": GOOD, "test": [{"word": "a"}]},
        "test.csv line 2: the column 'kind' (data.target.column) is missing",
    ),
    (
        SPEC,
        {"train": GOOD, "test": [*GOOD, {"word": "a", "kind": "z"}]},
        "test.csv line 4: column 'kind': label 'z' does not occur in the training rows: known",
    ),
    (SPEC, {"train": [*GOOD, {"word": "", "kind": "x"}]}, "train.csv line 4: column 'word' is"),
    (SPEC, {"train": [{"word": 1, "kind": "x"}]}, "train.csv line 2: column 'word': expected te"),
    (SPEC, {"train": GOOD, "test": [{"word": None, "kind": "x"}]}, "test.csv line 2: column"),
    (
        TAGS,
        {"train": [*TAGGED, {"tokens": ["a"], "tags": []}]},
        "train.csv line 3: column 'tags' has 0 tags for 1 steps in column 'tokens'",
    ),
    ({**SPEC, "validation": 0.5}, {"train": GOOD[:1]}, "data.validation=0.5 leaves no training"),
]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("spec", "rows", "message"), BAD)
def test_bad_data_is_refused_before_training_in_one_line(spec, rows, message, streaming):
    if streaming and any(not part for part in rows.values()):
        message = "has no rows"
    with pytest.raises(DataError) as caught:
        DataModule(Words({}, streaming=streaming, **rows), spec, 0).prepare()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_splits_and_seeds_that_are_wrong():
    data = module(source=Words({"train": 5}))
    with pytest.raises(DataError, match="no split 'tset' is loaded: known: train"):
        data.loader("tset")
    with pytest.raises(DataError, match=r"no split 'validation' .it has train.; set data.valid"):
        DataModule(Words({"train": 5}), SPEC, 0).prepare(["validation"])
    with pytest.raises(DataError, match="no split 'tset': did you mean 'test'"):
        DataModule(Words(), SPEC, 0).prepare(["tset"])
    with pytest.raises(ConfigError, match="seed: expected a whole number of at least 0, got -1"):
        DataModule(Words(), SPEC, -1)


def test_the_row_is_named_when_validation_rows_are_held_out():
    rows = [{"word": "a", "kind": "x"}] * 30 + [{"word": 3, "kind": "x"}]
    rows = [{"word": str(row["word"]) if i < 30 else "", "kind": "x"} for i, row in enumerate(rows)]
    with pytest.raises(DataError, match=r"train\.csv line 32: column 'word' is empty"):
        module(source=Words({}, train=rows), validation=0.3)
