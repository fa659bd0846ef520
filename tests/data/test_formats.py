import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqlab.data.formats import FORMATS, format_of, read, split_format
from seqlab.errors import ConfigError, DataError


def rows(name, content, **options):
    data = content if isinstance(content, bytes) else content.encode()
    return list(read(io.BytesIO(data), "a.file", name, options))


def test_csv_with_quotes_delimiters_and_lines_in_cells():
    found = rows("csv", 'text,label\n"a, ""b""\nc",1\n\nd,2\n')
    assert found == [
        (2, {"text": 'a, "b"\nc', "label": "1"}),
        (5, {"text": "d", "label": "2"}),
    ]


def test_csv_options():
    assert rows("csv", "a;b\n", delimiter=";", header=["x", "y"]) == [(1, {"x": "a", "y": "b"})]
    assert rows("csv", "x,y\n'a,b',c\n", quote="'") == [(2, {"x": "a,b", "y": "c"})]
    assert rows("csv", b"\xef\xbb\xbfx\r\n1\r\n") == [(2, {"x": "1"})]


def test_tsv_takes_quotes_as_they_are():
    assert rows("tsv", 'x\ty\n"a\tb"\n') == [(2, {"x": '"a', "y": 'b"'})]


def test_a_long_cell_is_read():
    assert len(rows("csv", "x\n" + "a" * 200_000 + "\n")[0][1]["x"]) == 200_000


def test_tab_has_three_header_lines():
    text = "Category\tText\nd\tstring\nclass\t\n\nearn\tshares rose\nacq\tthey bought \n"
    assert rows("tab", text) == [
        (5, {"Category": "earn", "Text": "shares rose"}),
        (6, {"Category": "acq", "Text": "they bought "}),
    ]


def test_jsonl_and_json_take_numbers_lists_and_nulls():
    objects = [
        {"x": [1, 2.5], "y": None, "z": [], "w": [[1], [2.5]]},
        {"x": [3], "y": "a", "z": ["b"], "w": [[]]},
    ]
    lines = "\n\n".join(map(json.dumps, objects))
    assert rows("jsonl", lines) == [(1, objects[0]), (3, objects[1])]
    assert rows("json", json.dumps(objects)) == [(1, objects[0]), (2, objects[1])]


def test_conll_with_tabs_spaces_and_documents():
    text = "-DOCSTART- O\n\nEU B-ORG\nrejects O\n\n\nPeter B-PER\n"
    assert rows("conll", text) == [
        (3, {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]}),
        (7, {"tokens": ["Peter"], "tags": ["B-PER"]}),
    ]
    wide = "a b\tX\tO\n\u3000\tY\tO\n"
    assert rows("conll", wide, columns={"word": 0, "pos": 1}) == [
        (1, {"word": ["a b", "\u3000"], "pos": ["X", "Y"]})
    ]
    assert rows("conll", "a x O\nb O\n", ragged=True)[0][1]["tags"] == ["O", "O"]


def test_conllu_leaves_out_ranges_and_empty_nodes():
    def word(index, form, upos, xpos):
        return "\t".join([index, form, "_", upos, xpos, *["_"] * 5])

    text = "\n".join(
        [
            "# sent_id = doc-A-1", word("1-2", "na", "_", "_"), word("1", "em", "ADP", "IN"),
            word("2", "a", "DET", "DT"), word("2.1", "x", "X", "X"), "",
            "# newdoc id = B", "# sent_id = other-2", word("1", "fim", "NOUN", "NN"),
        ]
    )  # fmt: skip
    assert rows("conllu", text) == [
        (3, {"tokens": ["em", "a"], "tags": ["ADP", "DET"], "document": "doc-A"}),
        (9, {"tokens": ["fim"], "tags": ["NOUN"], "document": "B"}),
    ]
    assert rows("conllu", text, tags="xpos")[1][1]["tags"] == ["NN"]


def test_slash_tags_and_their_base():
    text = "\n\tThey're/ppss+ber 1/2/cd-tl --/-- A/fw-at-hl\n"
    tokens = ["They're", "1/2", "--", "A"]
    assert rows("slash_tags", text)[0] == (
        2, {"tokens": tokens, "tags": ["ppss+ber", "cd-tl", "--", "fw-at-hl"]},
    )  # fmt: skip
    assert rows("slash_tags", text, tags="base")[0][1]["tags"] == ["ppss", "cd", "--", "at"]


def test_cmudict_collects_pronunciations():
    text = ";;; comment\na AH0\na(2) EY1\nto T UW1\nto(2) T IH0\nto(3) T UW0\nx.(y) EH1 # odd\n"
    assert rows("cmudict", text) == [
        (2, {"word": "a", "phonemes": "AH", "references": ["AH", "EY"]}),
        (4, {"word": "to", "phonemes": "T UW", "references": ["T UW", "T IH"]}),
        (7, {"word": "x.(y)", "phonemes": "EH", "references": ["EH"]}),
    ]
    assert rows("cmudict", text, stress=True)[1][1]["references"] == ["T UW1", "T IH0", "T UW0"]


def test_ts_turns_channels_into_steps():
    text = "#about\n@problemName x\n@timestamps false\n@data\n1,2,3:4,5,6:b\n7:8:a\n"
    assert rows("ts", text) == [
        (5, {"series": [[1, 4], [2, 5], [3, 6]], "label": "b"}),
        (6, {"series": [[7, 8]], "label": "a"}),
    ]


def test_text_by_line_and_paragraph():
    text = "one\n  two\n\n\nthree\r\n"
    assert rows("text", text) == [
        (1, {"text": "one"}), (2, {"text": "  two"}), (5, {"text": "three"}),
    ]  # fmt: skip
    assert rows("text", text, by="paragraph") == [(1, {"text": "one two"}), (5, {"text": "three"})]


def test_parquet_rows(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": [[1, 2], [3]], "y": ["a", "b"]}), path)
    assert rows("parquet", path.read_bytes()) == [
        (1, {"x": [1, 2], "y": "a"}), (2, {"x": [3], "y": "b"}),
    ]  # fmt: skip


BAD = [
    ("csv", "a,b\n1,2\n3\n", "a.file line 3: 1 cell, but the header has 2 columns (a, b)"),
    ("csv", 'a,b\n"x\ny",2\n3,4,5\n', "a.file line 4: 3 cells, but the header has 2 columns"),
    ("csv", 'a,b\n"1,2\n', "a.file line 2: not valid CSV: "),
    ("csv", "a,a\n1,2\n", "a.file line 1: the column 'a' is there twice in the header"),
    ("csv", "a,\n1,2\n", "a.file line 1: a column has no name in the header"),
    ("csv", b"a\nok\n\xff\n", "a.file line 3: not UTF-8 text (byte 0xff at position 1); save"),
    ("tsv", "a\tb\n1\n", "a.file line 2: 1 cell, but the header has 2 columns (a, b)"),
    ("tab", "a\tb\nd\td\n\t\n1\n", "a.file line 4: 1 cell, but the header has 2 columns"),
    ("jsonl", '{"a": 1}\n{"a": "b"}\n', "a.file line 2: column 'a' holds text, the rows before"),
    ("jsonl", '{"a": 1}\n{"a": true}\n', "line 2: column 'a' holds true or false, the rows"),
    ("jsonl", '{"a": [1]}\n{"a": ["b"]}\n', "a.file line 2: column 'a' holds a list of text, the"),
    ("jsonl", '{"a": ["b", 1]}\n', "a.file line 1: column 'a' holds a list of mixed types"),
    ("jsonl", '{"a": [[1], ["b"]]}\n', "a.file line 1: column 'a' holds a list of mixed types"),
    ("jsonl", '{"a": [[1]]}\n{"a": [1]}\n', "line 2: column 'a' holds a list of numbers, the rows"),
    ("jsonl", '{"a": 1, "b": 2}\n{"a": 1}\n', "a.file line 2: column 'b' is missing; the first"),
    ("jsonl", '{"a": 1}\n{"a": 1, "c": 2}\n', "a.file line 2: column 'c' is in no row before"),
    ("jsonl", '{"a": 1}\n[1]\n', "a.file line 2: expected an object with columns as keys, found"),
    ("jsonl", '{"a": 1\n', "a.file line 1: not JSON: "),
    ("jsonl", b'{"a": "\xe9"}\n', "a.file line 1: not UTF-8 text (byte 0xe9 at position 8)"),
    ("json", '{"a": 1}', "a.file: expected a list of objects, found an object"),
    ("json", '[{"a": 1}, {"a": "b"}]', "a.file row 2: column 'a' holds text, the rows before"),
    ("json", "[", "a.file: not JSON: "),
    ("conll", "a O\nb\n", "a.file line 2: 1 columns, the lines before have 2"),
    ("conll", "a\nb\n", "a.file line 1: 1 column, but tokens, tags need one each"),
    ("iob", "a O\nb NN\n", "a.file line 2: 'NN' is no IOB tag (O, B-TYPE, I-TYPE)"),
    ("conllu", "1\tab\n", "a.file line 1: 2 columns, CoNLL-U has 10 with tabs between them"),
    ("slash_tags", "a/b\nc d/e\n", "a.file line 2: 'c' is not written word/tag"),
    ("cmudict", "a AH0\nb\n", "a.file line 2: 'b' has no pronunciation"),
    ("ts", "@data\n1,x:a\n", "a.file line 2: not a number (could not convert"),
    ("ts", "@data\n1,?:a\n", "a.file line 2: not a number"),
    ("ts", "@data\n1,2:3:a\n", "a.file line 2: channels of different lengths, [1, 2]"),
    ("ts", "@data\n1:2:a\n1:a\n", "a.file line 3: 1 channels, the lines before have 2"),
    ("ts", "@data\n12\n", "a.file line 2: expected channels and a class with ':' between them"),
    ("ts", "@timestamps true\n@data\n", "a.file line 1: series with time stamps or without"),
    ("ts", "1,2:a\n", "a.file: no line '@data', so this is not a ts file"),
    ("text", b"ok\n\xc3(\n", "a.file line 2: not UTF-8 text (byte 0xc3"),
    ("parquet", b"not parquet at all", "a.file: not a readable Parquet file: "),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD)
def test_bad_files_are_refused_in_one_line_with_file_and_line(name, content, message):
    with pytest.raises(DataError) as caught:
        rows(name, content)
    assert message in str(caught.value)
    assert str(caught.value).startswith("a.file")
    assert "\n" not in str(caught.value)


def test_conll_columns_that_are_not_there():
    with pytest.raises(DataError, match=r"line 1: 2 columns, none at position 2 .'pos'"):
        rows("conll", "a O\n", columns={"tokens": 0, "pos": 2})
    with pytest.raises(ConfigError, match=r"columns\.tags: expected a position, got 'x'"):
        rows("conll", "a O\n", columns={"tags": "x"})


@pytest.mark.parametrize(
    ("name", "options"),
    [("conllu", {"tags": "pos"}), ("slash_tags", {"tags": "x"}), ("text", {"by": "word"})],
)
def test_options_with_a_wrong_value(name, options):
    with pytest.raises(ConfigError, match=r"source\.format"):
        rows(name, "x", **options)


def test_names_and_options_of_formats():
    assert split_format("csv") == ("csv", {})
    assert split_format({"name": "cmudict", "stress": True}) == ("cmudict", {"stress": True})
    with pytest.raises(ConfigError, match="unknown format 'cvs': did you mean 'csv'"):
        split_format("cvs")
    with pytest.raises(ConfigError, match="'cmudict' has no option 'stres': did you mean 'stress'"):
        split_format({"name": "cmudict", "stres": True})
    with pytest.raises(ConfigError, match="expected a name or a mapping with 'name'"):
        split_format({"delimiter": ";"})
    assert {format_of(f"a/b.{ending}") for ending in ("CSV", "tsv", "jsonl", "txt")} <= set(FORMATS)
    with pytest.raises(ConfigError, match=r"cannot tell the format of a\.xyz from its ending"):
        format_of("a.xyz")


CELLS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_every_csv_that_python_writes_is_read_back(pairs):
    import csv

    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("x", "y"), *pairs])
    content = text.getvalue()
    found = [(row["x"], row["y"]) for _, row in rows("csv", content)]
    assert found == pairs
