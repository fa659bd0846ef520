"""Data modules: the order of batches, streams, splits and limits."""

import pytest
import torch
from seqlab.data.module import DataModule
from seqlab.errors import DataError
from words_source import SPEC, Words, module


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
