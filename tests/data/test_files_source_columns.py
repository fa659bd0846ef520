"""Which columns and rows of files are read, and what is said of those that do not fit."""

import json

import pytest
from seqlab.data.formats.base import Format
from seqlab.data.sources.files import FilesSource
from seqlab.errors import ConfigError, DataError
from seqlab.registry import register, unregister
from written_files import make

USED = {"text": "data.features.text.column", "label": "data.target.column", "all": None}


def used(path, streaming, **options):
    """The rows that a run sees which reads the columns text and label."""
    source = FilesSource(train=path, streaming=streaming, **options)
    source.use_columns(USED)
    return list(source.load()["train"])


ROWS = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
UNUSED = [
    ("mixed.jsonl", [{**ROWS[0], "id": 1}, {**ROWS[1], "id": "b2"}]),
    ("spans.jsonl", [{**ROWS[0], "spans": [[0, 3, "ORG"]]}, {**ROWS[1], "spans": []}]),
    ("huge.jsonl", [{**ROWS[0], "id": 10**30}, {**ROWS[1], "id": 1}]),
    ("missing.jsonl", [{**ROWS[0], "id": 1}, ROWS[1]]),
    ("more.jsonl", [ROWS[0], {**ROWS[1], "id": 1}]),
    ("surrogate.jsonl", [ROWS[0], {**ROWS[1], "id": "\ud83d"}]),
    ("object.json", [ROWS[0], {**ROWS[1], "id": {"a": [1, {"b": "c"}]}}]),
]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("name", "rows"), UNUSED, ids=[name for name, _ in UNUSED])
def test_a_column_that_nobody_uses_stops_nothing(tmp_path, streaming, name, rows):
    lines = [json.dumps(row) for row in rows]
    content = f"[{','.join(lines)}]" if name.endswith("json") else "\n".join(lines)
    path = make(tmp_path, content.encode(), name)
    assert used(path, streaming) == ROWS
    with pytest.raises(DataError, match=rf"{name} (line|row) [12]: column '(id|spans)' "):
        list(FilesSource(train=path, streaming=streaming).load()["train"])


@pytest.mark.parametrize("streaming", [False, True])
def test_csv_columns_that_nobody_uses_stop_nothing(tmp_path, streaming):
    path = make(tmp_path, b",text,id,id, label\n0,a,1,2, x\n1, b,3,4,y\n")
    assert used(path, streaming) == ROWS
    path = make(tmp_path, b",text,label,label\n0,a,1,2\n")
    with pytest.raises(DataError, match=r"column 'label' .*is missing.*the header has it twice"):
        used(path, streaming)
    path = make(tmp_path, b"a,x\nb,y\n")
    with pytest.raises(DataError, match=r"line 2: the column 'text' \(data.features.*header: \["):
        used(path, streaming)
    assert used(path, streaming, format={"name": "csv", "header": ["text", "label"]}) == ROWS
    table = make(tmp_path, b"text,label\na,x\n", "table.txt")
    with pytest.raises(DataError, match=r"known: text; its ending .* give source.format=csv, tsv"):
        used(table, streaming)
    with pytest.raises(DataError, match=r"known: text; give another as data.target.column=COLUMN$"):
        used(table, streaming, format="text")
    # a header that has one of the columns is one
    path = make(tmp_path, b"text,stars\na,5\n")
    other = r"known: stars, text; give another as data\.target\.column=COLUMN$"
    with pytest.raises(DataError, match=other):
        used(path, streaming)


def test_a_column_that_may_be_absent_is_read_where_it_is(tmp_path):
    path = make(tmp_path, b"text,label,all,more\na,x,1,2\n")
    assert used(path, streaming=True) == [{"text": "a", "label": "x", "all": "1"}]


WRONG = [
    ({"text": 1, "label": "y"}, "column 'text' holds a number, the rows before hold text"),
    ({"text": "a \ud83d b", "label": "y"}, "column 'text' holds text that is not valid Unicode"),
    ({"text": "b", "label": 10**30}, "column 'label' holds a number, the rows before hold text"),
    ({"text": "b"}, "column 'label' is missing; the first row has text, label"),
    ({"text": ["b"], "label": "y"}, "column 'text' holds a list of text, the rows before"),
    ({"text": ["b", 1], "label": "y"}, "column 'text' holds a list of mixed types"),
    (7, "expected an object with columns as keys, found a number"),
]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("row", "message"), WRONG)
def test_a_row_that_does_not_fit_is_named(tmp_path, streaming, row, message):
    lines = [json.dumps(each) for each in (ROWS[0], row, ROWS[1])]
    path = make(tmp_path, "\n".join(lines).encode(), "a.jsonl")
    with pytest.raises(DataError) as caught:
        used(path, streaming)
    assert str(caught.value).startswith(f"{path} line 2: {message}")
    assert "\n" not in str(caught.value)
    assert used(path, streaming, on_error="skip") == ROWS


def test_whole_numbers_have_64_bits(tmp_path):
    path = make(tmp_path, b'{"n": 1}\n{"n": [2]}\n{"n": 9223372036854775808}\n', "a.jsonl")
    with pytest.raises(DataError, match="line 2: column 'n' holds a list of numbers"):
        FilesSource(train=path).load()
    path = make(tmp_path, b'{"n": 1}\n{"n": 9223372036854775808}\n', "a.jsonl")
    with pytest.raises(DataError, match="line 2: column 'n' holds a whole number of more than 64"):
        FilesSource(train=path).load()


@pytest.mark.parametrize("streaming", [False, True])
def test_bad_rows_are_skipped_counted_and_named(tmp_path, streaming, caplog):
    lines = [json.dumps({"text": f"t{n}", "label": "x"}) for n in range(9000)]
    lines[7] = "{"
    lines[5000] = json.dumps({"text": 5, "label": "x"})
    path = make(tmp_path, "\n".join(lines).encode(), "a.jsonl")
    source = FilesSource(
        path=path, split={"by": "tail", "test": 0.1}, streaming=streaming, on_error="skip"
    )
    source.use_columns(USED)
    data = source.load()
    assert [len(list(data[split])) for split in ("train", "test")] == [8098, 900]
    assert next(iter(data["test"]))["text"] == "t8100"
    assert source.locate("test", 0) == f"{path} line 8101"
    skipped = source.describe()["skipped"]
    assert skipped["count"] == 2
    assert skipped["rows"][0].startswith(f"{path} line 8: not JSON")
    assert skipped["rows"][1].startswith(f"{path} line 5001: column 'text' holds a number")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "left out 2 bad rows" in said[0]
    json.dumps(source.describe())


def test_a_file_of_bad_rows_alone_has_no_rows(tmp_path):
    path = make(tmp_path, b"{\n[\n", "a.jsonl")
    with pytest.raises(DataError, match=r"no rows in it \(2 bad rows: .*line 1: not JSON.*line 2"):
        FilesSource(train=path, on_error="skip").load()
    with pytest.raises(ConfigError, match=r"on_error: .* got 'skp', did you mean 'skip'"):
        FilesSource(train=path, on_error="skp")


def test_whatever_a_plugin_s_format_raises_names_the_file(tmp_path):
    class Broken(Format):
        """Raises."""

        def read(self, _stream, _file):
            yield 1, {"text": "a"}
            raise RuntimeError("lost\nthe thread")

    register("format", "broken")(Broken)
    try:
        path = make(tmp_path, b"x", "a.broken")
        with pytest.raises(DataError, match=r"a\.broken: not readable in its format: lost$"):
            FilesSource(train=path).load()
    finally:
        unregister("format", "broken")
