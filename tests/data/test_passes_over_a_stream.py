"""A stream is read as few times as what is learnt from it allows."""

import pytest
from seqlab.data import row_views
from seqlab.data.module import DataModule
from seqlab.data.sources import tables
from seqlab.data.sources.files import FilesSource

SPEC = {
    "features": {"text": {"column": "text", "tokenizer": "words"}},
    "target": {"column": "label", "kind": "label"},
    "batch_size": 4,
}


@pytest.fixture
def rows_read(monkeypatch):
    read = []
    for module in (tables, row_views):
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
