"""Formats of files: what they read, what they refuse, and how one is chosen."""

from __future__ import annotations

import json

import pytest
from format_rows import given_rows, rows
from seqlab.data.formats.base import Format
from seqlab.data.formats.choice import format_of, make_format
from seqlab.errors import ConfigError, DataError, OptionError
from seqlab.registry import register, unregister


def test_jsonl_and_json_take_numbers_lists_and_nulls():
    objects = [
        {"x": [1, 2.5], "y": None, "z": [], "w": [[1], [2.5]]},
        {"x": [3], "y": "a", "z": ["b"], "w": [[]]},
    ]
    lines = "\n\n".join(map(json.dumps, objects))
    assert rows("jsonl", lines) == [(1, objects[0]), (3, objects[1])]
    assert rows("json", json.dumps(objects)) == [(1, objects[0]), (2, objects[1])]
    assert rows("json", json.dumps(objects, indent=2)) == [(1, objects[0]), (2, objects[1])]
    # JSON Lines whose file is called .json
    assert rows("json", lines) == [(1, objects[0]), (2, objects[1])]


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


def test_conll_is_cut_at_spaces_and_tabs_only():
    assert rows("conll", "10\u00a0000 B-NUM\n\u3000 O \n")[0][1] == {
        "tokens": ["10\u00a0000", "\u3000"], "tags": ["B-NUM", "O"],
    }  # fmt: skip


CONLL = "# id\nAda B-PER\nmet O\n\n#2 B-X\n# c\nBob O\n"


def test_conll_comments():
    with pytest.raises(DataError, match=r"line 1: looks like a comment .*comment: '# '.*false"):
        rows("conll", CONLL)
    with pytest.raises(DataError, match=r"line 6: begins as a comment does .* inside a sentence"):
        rows("conll", CONLL, comment="# ")
    kept = rows("conll", CONLL.replace("# c", "# a c"), comment="# ")
    assert kept == [
        (2, {"tokens": ["Ada", "met"], "tags": ["B-PER", "O"]}),
        (5, {"tokens": ["#2", "Bob"], "tags": ["B-X", "O"]}),
    ]
    assert rows("conll", CONLL, comment=False)[0] == (
        1, {"tokens": ["#", "Ada", "met"], "tags": ["id", "B-PER", "O"]},
    )  # fmt: skip
    assert rows("conll", "#\tNN\nx\tO\n")[0][1]["tokens"] == ["#", "x"]
    wide = "# id 12 domain=en\nAda _ _ B-PER\n"
    assert rows("iob", wide, comment="#") == [(2, {"tokens": ["Ada"], "tags": ["B-PER"]})]
    for wrong in (True, "", 3):
        with pytest.raises((ConfigError, OptionError), match="comment"):
            rows("conll", CONLL, comment=wrong)


def test_conll_goes_on_behind_a_bad_sentence():
    found = given_rows("conll", "a O\nb\n\nc X\n\nd\t\n\ne O\n")
    assert [line for line, _ in found] == [1, 4, 6, 8]
    assert [isinstance(row, DataError) for _, row in found] == [True, False, True, False]


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
    found = rows("conllu", text)
    assert [(line, row["tokens"], row["tags"], row["document"]) for line, row in found] == [
        (3, ["em", "a"], ["ADP", "DET"], "doc-A"),
        (9, ["fim"], ["NOUN"], "B"),
    ]
    assert found[0][1]["upos"] == ["ADP", "DET"]
    assert found[0][1]["xpos"] == ["IN", "DT"]
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
    ("csv", b"a\nok\n\xff\n", "a.file line 3: not UTF-8 text (byte 0xff at position 1); save"),
    ("tsv", "a\tb\n1\n", "a.file line 2: 1 cell, but the header has 2 columns (a, b)"),
    ("tab", "a\tb\nd\td\n\t\n1\n", "a.file line 4: 1 cell, but the header has 2 columns"),
    ("jsonl", '{"a": 1}\n[1]\n', "a.file line 2: expected an object with columns as keys, found"),
    ("jsonl", '{"a": 1\n', "a.file line 1: not JSON: "),
    ("jsonl", b'{"a": "\xe9"}\n', "a.file line 1: not UTF-8 text (byte 0xe9 at position 8)"),
    ("json", '{"a": 1}', "a.file: expected a list of objects, found an object"),
    ("json", '{"a": 1}', "if each line is an object give source.format=jsonl"),
    ("json", '{"a": [{}], "n": 1}', "found an object; if the list under 'a' is meant, save that"),
    ("jsonl", '{\n "a": 1\n}\n', "source.format=json reads objects over several lines, as one"),
    ("jsonl", '[\n{"a": 1}\n]\n', "source.format=json reads objects over several lines, as one"),
    ("json", '[{"a": 1}, 3]', "a.file row 2: expected an object with columns as keys, found a n"),
    ("json", '{"a": 1}\n{"a": 2}\n{"a"', "a.file line 3: not JSON: "),
    ("jsonl", "[" * 100_000, "a.file line 1: not JSON: "),
    ("conll", "Ada\tB-PER\t\nmet\tO\t\n", "a.file line 1: the column 'tags' is empty"),
    ("conll", "Ada\tO\n\tO\n", "a.file line 2: the column 'tokens' is empty"),
    ("conllu", "1\tab" + "\t" * 8 + "\n", "a.file line 1: the column 'tags' is empty"),
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
    with pytest.raises((ConfigError, OptionError), match=r"source\.format\.columns: expected"):
        rows("conll", "a O\n", columns={"tags": "x"})


@pytest.mark.parametrize(
    ("name", "options"),
    [("conllu", {"tags": "pos"}), ("slash_tags", {"tags": "x"}), ("text", {"by": "word"})],
)
def test_options_with_a_wrong_value(name, options):
    with pytest.raises((ConfigError, OptionError), match=r"source\.format"):
        rows(name, "x", **options)


def test_names_and_options_of_formats():
    with pytest.raises(ConfigError, match=r"source\.format: unknown format 'cvs': .* 'csv'"):
        make_format("cvs", "a.csv")
    with pytest.raises(OptionError, match=r"source\.format: .*'stres': did you mean 'stress'"):
        make_format({"name": "cmudict", "stres": True}, "a.csv")
    with pytest.raises(OptionError, match=r"source\.format: the key 'name' is missing"):
        make_format({"delimiter": ";"}, "a.csv")
    endings = {"CSV": "csv", "ndjson": "jsonl", "txt": "text", "dict": "cmudict", "iob": "iob"}
    assert {ending: format_of(f"a/b.{ending}") for ending in endings} == endings
    for path in ("a.xyz", "a", ".hidden"):
        with pytest.raises(ConfigError, match=f"cannot tell the format of {path} from its ending"):
            format_of(path)
    with pytest.raises(ConfigError, match=r"a\.csv\.gz is compressed; unpack it first"):
        format_of("a.csv.gz")


def test_a_format_of_a_plugin_is_chosen_by_name_and_by_ending():
    class Bars(Format):
        """Cells with bars between them."""

        suffixes = (".bars",)

        def read(self, stream, _file):
            for line, data in enumerate(stream, start=1):
                text, _, label = data.decode().strip().partition("|")
                yield line, {"text": text, "label": label}

    for name in ("pipes", "other"):
        register("format", name)(type(name, (Bars,), {"__doc__": "x"}))
    try:
        with pytest.raises(ConfigError, match=r"a\.bars may be other or pipes by its ending"):
            format_of("a.bars")
        assert format_of("a.pipes") == "pipes"
        unregister("format", "other")
        assert format_of("A.BARS") == "pipes"
        assert rows("pipes", "a b|x\n") == [(1, {"text": "a b", "label": "x"})]
    finally:
        for name in ("pipes", "other"):
            unregister("format", name)
