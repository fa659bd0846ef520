"""Each of several processes reads its own part of a stream's training rows."""

import json
from itertools import chain
from types import SimpleNamespace

import pytest
from seqlab.data.module import DataModule
from seqlab.data.shards import Shards, share_of
from seqlab.data.sources import tables
from seqlab.data.sources.files import FilesSource
from seqlab.errors import ConfigError, DataError
from seqlab.training.loaders import RunData

SPEC = {
    "features": {"text": {"column": "text", "tokenizer": "words"}},
    "target": {"column": "label", "kind": "label"},
    "batch_size": 4,
    "shuffle_buffer": 6,
    "shards": True,
}
SIZES = (9, 0, 30, 1, 13, 8)


@pytest.fixture(name="files")
def _files(tmp_path):
    """61 rows in six files, one of them empty."""
    paths, number = [], 0
    for place, size in enumerate(SIZES):
        path = tmp_path / f"{place}.jsonl"
        rows = [{"text": "w " * (n % 5 + 1) + f"n{n}", "label": "ab"[n % 2]}
                for n in range(number, number + size)]  # fmt: skip
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths.append(str(path))
        number += size
    return paths


@pytest.fixture
def opened(monkeypatch):
    """The files that were opened, in order."""
    found = []
    original = tables.Table._rows

    def noted(self, part, *, beginning=False):
        found.append(part.name)
        return original(self, part, beginning=beginning)

    monkeypatch.setattr(tables.Table, "_rows", noted)
    return found


def prepared(files, source=None, **changes):
    source = {"train": files, "streaming": True, **(source or {})}
    data = DataModule(FilesSource(**source), {**SPEC, **changes}, seed=3)
    data.prepare()
    return data


def numbers(loader):
    return [n for batch in loader for n in batch.rows.tolist()]


@pytest.mark.parametrize("world", [2, 3, 7])
@pytest.mark.parametrize(
    "changes", [{}, {"bucket": False}, {"limit_train": 50}, {"validation": 0.2}]
)
def test_processes_have_rows_of_their_own_and_as_many_batches(files, world, changes):
    data = prepared(files, **changes)
    size = data.sizes["train"]
    steps = data.steps("train", world_size=world)
    assert steps == -(-(size // world) // 4)
    found = []
    for rank in range(world):
        loader = data.loader("train", epoch=1, rank=rank, world_size=world)
        batches = list(loader)
        assert len(batches) == len(loader) == steps
        first, last = share_of(size, rank, world)
        mine = numbers(batches)
        assert set(mine) <= set(range(first, last))
        # all, but for a batch that others do not have
        whole = last - first <= 4 * steps
        assert len(mine) == last - first if whole else len(mine) >= last - first - 4
        found += mine
        for batch in batches[:2]:
            texts = [data.rows("train")[n]["text"] for n in batch.rows.tolist()]
            assert [len(t.split()) for t in texts] == batch.lengths.tolist()
    assert len(set(found)) == len(found) >= size - 4 * world
    if size % world == 0:
        assert sorted(found) == list(range(size))


def test_all_rows_are_read_where_they_go_round(files):
    data = prepared(files, limit_train=60)
    found = [numbers(data.loader("train", rank=r, world_size=3)) for r in range(3)]
    assert sorted(chain(*found)) == list(range(60))


def test_only_files_with_own_rows_are_opened(files, opened):
    data = prepared(files)
    assert set(opened) == set(files)
    for rank, own in enumerate([[0, 2], [2, 3, 4, 5]]):
        opened.clear()
        list(data.loader("train", rank=rank, world_size=2))
        assert opened == [files[place] for place in own if SIZES[place]]
    opened.clear()
    list(prepared(files, shards=False).loader("train", rank=0, world_size=2))
    assert opened[-len(files) :] == files


def test_rows_of_one_file_are_divided(files):
    data = prepared(files[2:3])
    found = [numbers(data.loader("train", rank=r, world_size=2)) for r in range(2)]
    assert [sorted(rows) for rows in found] == [list(range(15)), list(range(15, 30))]


def test_files_divided_by_a_rule(files):
    split = {"validation": 0.2, "seed": 1}
    source = {"train": None, "path": files, "split": split}
    data, memory = prepared(files, source), prepared(files, {**source, "streaming": False})
    assert list(data.rows("train")) == list(memory.rows("train"))
    for rank in range(2):
        for batch in data.loader("train", rank=rank, world_size=2):
            for number, length in zip(batch.rows.tolist(), batch.lengths.tolist(), strict=True):
                assert len(memory.rows("train")[number]["text"].split()) == length


def test_a_resumed_process_reads_what_is_left(files):
    def read(data, start, rank, epoch=2):
        loader = data.loader("train", epoch=epoch, start_batch=start, rank=rank, world_size=2)
        return [(batch.rows.tolist(), batch.lengths.tolist()) for batch in loader]

    data, again = prepared(files), prepared(files)
    for rank in range(2):
        whole = read(data, 0, rank)
        for start in (1, 5, len(whole)):
            assert read(again, start, rank) == whole[start:]
        assert read(data, 0, rank, epoch=3) != whole


def test_one_process_reads_as_without_shards(files):
    apart, together = prepared(files), prepared(files, shards=False)
    assert apart.info == together.info
    assert numbers(apart.loader("train", epoch=1)) == numbers(together.loader("train", epoch=1))


def test_a_worker_reads_the_same(files):
    alone, helped = prepared(files), prepared(files, num_workers=1)
    assert numbers(alone.loader("train", rank=1, world_size=2)) == numbers(
        helped.loader("train", rank=1, world_size=2)
    )


def test_rows_that_transforms_make_are_divided(files):
    kept = {"name": "filter", "column": "text", "min_length": 5}
    data = prepared(files, transforms=[kept])
    found = [numbers(data.loader("train", rank=r, world_size=2)) for r in range(2)]
    assert not set(found[0]) & set(found[1])


def test_files_are_held_against_those_before(tmp_path):
    for name, value in (("a", 1), ("b", "one")):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": "x", "label": value}) + "\n")
    paths = [str(tmp_path / f"{name}.jsonl") for name in "ab"]
    with pytest.raises(DataError, match=r"b.jsonl line 1: column 'label' holds text, the rows"):
        prepared(paths)
    data = prepared([paths[1], paths[0], paths[1]], {"on_error": "skip"}, batch_size=1)
    assert data.sizes["train"] == 2
    assert [numbers(data.loader("train", rank=r, world_size=2)) for r in range(2)] == [[0], [1]]


def test_a_shard_of_unknown_size_is_read_to_be_known(files):
    stream = FilesSource(train=files, streaming=True).load()["train"]
    rows = Shards(stream, apart=True)
    assert rows.count == len(files)
    assert [place for place, _ in rows.between(38, 42)] == [38, 39, 40, 41]
    assert [row["text"].split()[-1] for _, row in rows.between(0, None)] == [
        f"n{n}" for n in range(sum(SIZES))
    ]


def test_rows_in_memory_are_refused(files):
    trainer = SimpleNamespace(world_size=2)
    with pytest.raises(ConfigError, match=r"^data.shards: .* add source.streaming=true"):
        RunData(prepared(files, {"streaming": False}), trainer)
    with pytest.raises(DataError, match="no batch for each of 62 processes"):
        RunData(prepared(files), SimpleNamespace(world_size=62))
