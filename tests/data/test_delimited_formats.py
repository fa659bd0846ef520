"""Formats with a record a line and cells between delimiters: CSV, TSV, tab."""

from __future__ import annotations

import io

import pytest
from format_rows import given_rows, rows
from hypothesis import given
from hypothesis import strategies as st
from seqlab.errors import ConfigError, DataError, OptionError


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


def test_csv_spaces_around_cells_are_no_part_of_them():
    text = 'text , label\n"a, b" , "good"\n c d , bad \n" e ",\n'
    with pytest.raises(DataError, match="line 2: not valid CSV"):
        rows("csv", text)
    assert rows("csv", text.replace('b" ,', 'b",')) == [
        (2, {"text": "a, b", "label": "good"}),
        (3, {"text": "c d", "label": "bad"}),
        (4, {"text": " e ", "label": ""}),
    ]
    assert rows("csv", "a , b\n c , d\n", strip=False) == [(2, {"a ": " c ", " b": " d"})]
    assert rows("tsv", 'word\t lang\n"a \t b \n') == [(2, {"word": '"a', "lang": "b"})]
    assert rows("csv", "1  2\n", delimiter=" ", header=["x", "y", "z"]) == [
        (1, {"x": "1", "y": "", "z": "2"})
    ]


def test_csv_columns_without_a_name_of_their_own_are_left_out():
    assert rows("csv", ",text,label,\n0,a b,good,\n") == [(2, {"text": "a b", "label": "good"})]
    assert rows("csv", "x,x,y\n1,2,3\n") == [(2, {"y": "3"})]


def test_csv_goes_on_behind_a_bad_record():
    content = b'x,y\n1\n2,\xff\n"a"b,3\n   \n\n4,5\n'
    found = given_rows("csv", content)
    assert [line for line, _ in found] == [2, 3, 4, 7]
    assert found[-1][1] == {"x": "4", "y": "5"}
    assert all(isinstance(row, DataError) for _, row in found[:-1])
    assert [line for line, _ in given_rows("jsonl", b'{"a": 1}\n{\n[]\n\xff\n{"a": 2}')] == [
        1, 2, 3, 4, 5,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"header": False}, "give their names, such as header: .text, label."),
        ({"header": "x"}, "header: expected a list of the columns' names, each once or true"),
        (
            {"header": ["x", "x"]},
            "header: expected a list of the columns' names, each once or true",
        ),
        ({"header": [1]}, "header: expected a list"),
        ({"header": []}, "header: expected a list of the columns' names"),
        ({"delimiter": ";;"}, "delimiter: expected one character"),
        ({"delimiter": ""}, "delimiter: expected one character"),
        ({"quote": ","}, "delimiter: ',' is the quote as well"),
        ({"strip": "x"}, "strip: expected true or false"),
    ],
)
def test_csv_options_with_a_wrong_value(options, message):
    with pytest.raises((ConfigError, OptionError), match=message):
        rows("csv", "x\n1\n", **options)
    assert rows("csv", "x\n1\n", header=True) == [(2, {"x": "1"})]


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


CELLS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_every_csv_that_python_writes_is_read_back(pairs):
    import csv

    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("x", "y"), *pairs])
    content = text.getvalue()
    found = [(row["x"], row["y"]) for _, row in rows("csv", content)]
    assert found == pairs
