"""What the training rows say of a target, and that it travels with the processor."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqlab.data.processor import Processor, fit_processor
from seqlab.data.processor_files import PROCESSOR_FILE
from seqlab.data.statistics import line_above
from seqlab.errors import BundleError

SERIES = {"series": {"column": "series", "kind": "numeric"}}


def fitted(kind, values, steps=None, **target):
    rows = [
        {"series": [float(i)] * (steps[i] if steps else 2), "target": value}
        for i, value in enumerate(values)
    ]
    spec = {"features": SERIES, "target": {"column": "target", "kind": kind, **target}}
    return fit_processor(spec, rows)


def test_labels_are_counted():
    found = fitted("label", ["b", "a", "b", "b"]).info.target.statistics
    assert (found.counts, found.total) == ((1, 3), 4)


def test_rows_with_each_of_several_labels_are_counted():
    found = fitted("labels", [["a", "b"], ["b"], []]).info.target.statistics
    assert (found.counts, found.total) == ((1, 2), 3)


def test_tags_are_counted_by_step():
    found = fitted("tags", [["x", "y"], ["x", "x"]]).info.target.statistics
    assert (found.counts, found.total) == ((3, 1), 4)


def test_values_have_mean_and_deviation():
    found = fitted("values", [[1.0, 5.0], [3.0, 5.0]]).info.target.statistics
    assert found.mean == (2.0, 5.0)
    assert found.std == (1.0, 1.0)  # a value that never varies keeps its scale


def test_lengths_have_a_line_above_all_rows():
    found = fitted(
        "text", ["abcde", "abc", "abcdefg"], steps=[1, 2, 5], tokenizer={"name": "chars"}
    ).info.target.statistics
    slope, extra = found.length
    assert (slope, extra) == pytest.approx((0.5, 4.5))


@given(st.dictionaries(st.integers(1, 60), st.integers(0, 90), min_size=1), st.data())
def test_no_point_lies_above_the_line(points, data):
    middle = data.draw(st.floats(min(points), max(points)))
    slope, extra = line_above(points, middle)
    assert slope >= 0
    assert all(slope * x + extra >= y - 1e-9 for x, y in points.items())
    # no line through two of the points that covers all, nor a level one, is lower there
    height = slope * middle + extra
    for x, y in points.items():
        for other, top in points.items():
            rise = (top - y) / (other - x) if other > x else 0.0
            start = y - rise * x
            if rise >= 0 and all(rise * a + start >= b - 1e-9 for a, b in points.items()):
                assert height <= rise * middle + start + 1e-6


def test_one_odd_row_moves_the_line_little():
    usual = {n: n + 1 for n in range(1, 21)}
    odd = line_above({**usual, 1: 9}, 8.0)
    assert odd[0] * 8 + odd[1] < 15
    assert odd[0] * 20 + odd[1] == pytest.approx(21)


def test_they_are_saved_and_loaded(tmp_path):
    for kind, values in (("label", ["a", "b"]), ("values", [1.5, 2.25]), ("text", ["ab", "c"])):
        processor = fitted(kind, values)
        processor.save(tmp_path)
        assert Processor.load(tmp_path).info == processor.info


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"counts": [1]}, "target.counts: expected a list of 2 numbers"),
        ({"counts": [1, 0.5]}, r"target.counts\[1\]: expected an int, got 0.5"),
        ({"length": ["a", 1]}, r"target.length\[0\]: expected a number, got 'a'"),
        ({"total": -1}, "target.total: expected an int of at least 0, got -1"),
        ({"more": 1}, "target.more: unknown key"),
        ([], "target: expected a mapping"),
    ],
)
def test_damaged_statistics_are_refused(tmp_path, target, message):
    fitted("label", ["a", "b"]).save(tmp_path)
    path = tmp_path / PROCESSOR_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "target": target}))
    with pytest.raises(BundleError, match=message):
        Processor.load(tmp_path)


def test_a_processor_of_before_has_none(tmp_path):
    fitted("label", ["a", "b"]).save(tmp_path)
    path = tmp_path / PROCESSOR_FILE
    content = json.loads(path.read_text())
    del content["target"]
    path.write_text(json.dumps(content))
    assert Processor.load(tmp_path).info.target.statistics.counts == ()
