"""A stream is read as few times as what is learnt from it allows."""

import json
import threading

import pytest
from seqlab import progress
from seqlab.data import row_views, stream_view
from seqlab.data.module import DataModule
from seqlab.data.passes import learn_together
from seqlab.data.sources import tables
from seqlab.data.sources.files import FilesSource
from seqlab.errors import DataError

SPEC = {
    "features": {"text": {"column": "text", "tokenizer": "words"}},
    "target": {"column": "label", "kind": "label"},
    "batch_size": 4,
}


@pytest.fixture
def rows_read(monkeypatch):
    read = []
    for module in (tables, row_views, stream_view):
        monkeypatch.setattr(module, "CHUNK", 1)  # a look at the first row is no pass
    original = tables.Table._rows

    def counted(self, part):
        for row in original(self, part):
            read.append(part.name)
            yield row

    monkeypatch.setattr(tables.Table, "_rows", counted)
    return read


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "".join(f"w{i} v,{'ab'[i % 2]}\n" for i in range(100)))
    return str(path)


def prepared(spec, **files):
    data = DataModule(FilesSource(streaming=True, **files), spec, seed=0)
    data.prepare()
    return data


def test_one_pass_gives_vocabulary_classes_their_counts_and_the_length(file, rows_read):
    data = prepared(SPEC, train=file)
    assert data.sizes == {"train": 100}
    assert data.info.target.statistics.counts == (50, 50)
    assert len(rows_read) < 110


def test_rows_held_out_by_class_take_one_pass_more(file, rows_read):
    data = prepared({**SPEC, "validation": 0.2}, train=file)
    assert data.sizes == {"train": 80, "validation": 20}
    assert data.info.target.statistics.counts == (40, 40)
    assert len(rows_read) < 220


def test_the_pass_that_counts_validation_rows_checks_them(file, rows_read):
    data = prepared(SPEC, train=file, validation=file)
    assert data.sizes == {"train": 100, "validation": 100}
    assert len(rows_read) < 220


def test_kept_classes_are_those_of_the_rows(file):
    data = prepared({**SPEC, "validation": 0.2, "limit_train": 30}, train=file)
    for split, size in (("train", 30), ("validation", 20)):
        view = data.rows(split)
        assert view.classes("label") == [row["label"] for row in view]
        assert len(view) == size
        chunks = list(view.chunks(["label"]))
        places = [where(i) for values, where in chunks for i in range(len(values["label"]))]
        assert places[3] == view.where(3)


ANSWERS = {
    "features": {"text": {"column": "text", "tokenizer": "words"}},
    "target": {"column": "label", "kind": "text", "tokenizer": "words"},
    "batch_size": 4,
}


def test_both_vocabularies_take_one_pass_and_the_lengths_another(file, rows_read):
    data = prepared(ANSWERS, train=file)
    assert len(rows_read) < 220
    plain = DataModule(FilesSource(train=file), ANSWERS, seed=0)
    plain.prepare()
    assert data.info == plain.info
    assert data.processor.target.tokenizer.content() == plain.processor.target.tokenizer.content()


def test_tokenizers_that_train_in_their_own_threads_go_over_the_texts_alone(file, rows_read):
    spec = {**ANSWERS, "features": {"text": {"column": "text", "tokenizer": "bpe"}}}
    spec["target"] = {**spec["target"], "tokenizer": "bpe"}
    prepared(spec, train=file)
    assert len(rows_read) < 550


@pytest.mark.parametrize("bad", ["text", "label"])
def test_a_value_that_one_of_them_refuses_ends_the_others(tmp_path, bad):
    path = tmp_path / "rows.jsonl"
    rows = [json.dumps({"text": "a", "label": "b"})] * 5000
    rows[4500] = json.dumps({"text": "a", "label": "b", bad: None})
    path.write_text("\n".join(rows))
    before = threading.active_count()
    with pytest.raises(DataError, match=rf"line 4501: column '{bad}'"):
        prepared(ANSWERS, train=str(path))
    assert threading.active_count() == before


def test_a_file_that_cannot_be_read_ends_all_of_them(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "a,b\n" * 9000 + "a,b,c\n")
    with pytest.raises(DataError, match="line 9002: 3 cells"):
        prepared(ANSWERS, train=str(path))


def test_who_stops_early_and_begins_again_sees_all_rows_again():
    seen = {"first": [], "second": []}

    def read(columns):
        for number in range(9):
            yield {name: [number] for name in columns}, str

    def twice(column):
        next(iter(column()))
        seen["first"] += [number for values, _ in column() for number in values]

    def once(column):
        seen["second"] += [number for values, _ in column() for number in values]

    learn_together([("a", twice), ("b", once)], read)
    assert seen == {"first": list(range(9)), "second": list(range(9))}


@pytest.mark.parametrize("options", [{}, {"split": {"test": 0.1}}])
@pytest.mark.parametrize("streaming", [False, True])
def test_reading_counts_rows_as_it_goes(file, options, streaming):
    source = FilesSource(path=file, streaming=streaming, **options)
    with progress.stage("reading") as stage:
        source.load()
    assert stage.done == (0 if streaming and not options else 100)
