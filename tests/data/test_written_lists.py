import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqlab.data import raw_columns
from seqlab.data.written_lists import written_list
from seqlab.errors import DataError

WORDS = st.lists(st.text(st.characters(codec="utf-8"), max_size=5), max_size=5)


@given(WORDS)
def test_what_python_and_json_write_is_read_back(words):
    assert written_list(repr(words)) == words
    assert written_list(json.dumps(words)) == words
    assert written_list(json.dumps(words, ensure_ascii=False)) == words


def test_what_numpy_writes_is_read_back():
    words = [f"w{number}" for number in range(60)]
    assert written_list(str(np.array(words))) == words
    assert written_list(repr(tuple(words))) == words


@pytest.mark.parametrize(
    "text", ["", "a b", "[CLS] a [SEP]", "[", "(a b)", "{x}", "[laughs]", "[UNK]"]
)
def test_other_text_is_no_list(text):
    assert written_list(text) is None


@pytest.mark.parametrize(
    "text", ["['a', b]", "[a, b]", "['a'", "[['a'], 'b", '["a" "b" c]', "['a'b']"]
)
def test_what_looks_like_a_list_and_is_none_is_refused(text):
    with pytest.raises(DataError, match="x 0: column 'c': expected words with spaces between them"):
        raw_columns.token_lists([text], "c", lambda row: f"x {row}")


def test_cells_of_tokens_tags_and_labels():
    def where(row):
        return f"row {row}"

    cells = ["['Ada', 'met']", "Bob\u00a0Li ran", '["x"]', ["a", "b"]]
    expected = [["Ada", "met"], ["Bob\u00a0Li", "ran"], ["x"], ["a", "b"]]
    assert raw_columns.token_lists(cells, "c", where) == expected
    assert raw_columns.tag_lists(cells, "c", where) == expected
    assert raw_columns.label_lists(cells, "c", where) == expected
    assert raw_columns.tag_lists(["[1, 2]", "3 4"], "c", where) == [["1", "2"], ["3", "4"]]
    with pytest.raises(DataError, match="row 0: column 'c': expected a list of strings"):
        raw_columns.token_lists(["[1, 2]"], "c", where)
