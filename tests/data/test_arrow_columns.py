import datasets
import numpy as np
import pyarrow as pa
import pytest
from seqlab.data import raw_columns
from seqlab.data.arrow import rows_of
from seqlab.data.row_views import MemoryView


def plain(rows):
    return [row.tolist() if isinstance(row, np.ndarray) else row for row in rows]


COLUMNS = [
    [[1.5, 2.0], [], [3.0]],
    [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]],
    [[[1.0, 2.0]], [[3.0]]],
    [[[1.0], [2.0]], None],
    [[1.0, None], [2.0]],
    [[1, 2], [3]],
    ["a", None],
    [["a"], []],
    [[[]], [[]]],
    [],
]


@pytest.mark.parametrize("values", COLUMNS)
def test_rows_are_what_arrow_says(values):
    column = pa.chunked_array([pa.array(values)])
    assert plain(rows_of(column)) == values
    assert plain(rows_of(column.slice(1))) == values[1:]


@pytest.mark.parametrize("values", COLUMNS[:2])
def test_fractions_come_as_arrays(values):
    assert all(isinstance(row, np.ndarray) for row in rows_of(pa.chunked_array([values, values])))


def test_a_view_of_chosen_rows_reads_them_and_only_them():
    series = [[[float(n), -float(n)]] * (n % 3 + 1) for n in range(20)]
    data = datasets.Dataset.from_dict({"x": series, "y": list(range(20))})
    chosen = np.array([7, 2, 19])
    view = MemoryView(data, lambda row: f"row {row}", chosen)
    ((columns, where),) = view.chunks(["x", "y"])
    assert plain(columns["x"]) == [series[n] for n in chosen]
    assert columns["y"] == [7, 2, 19]
    assert where(2) == "row 19"
    assert [row["x"] for row in view] == [series[n] for n in chosen]


def test_good_rows_are_never_located():
    def where(row):
        raise AssertionError(row)

    assert raw_columns.label_lists([["a"], "b c"], "x", where) == [["a"], ["b", "c"]]
    assert raw_columns.tag_lists([[1, 2]], "x", where) == [["1", "2"]]
