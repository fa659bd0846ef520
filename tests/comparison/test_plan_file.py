"""Plans of two kinds under one name."""

import pytest
from seqlab.comparison.plan_file import COMPARISON
from seqlab.files import write_json


@pytest.mark.parametrize(
    ("content", "own"),
    [({"format": 1, "entries": []}, True), ({"format": 1, "space": []}, False), ([], True)],
)
def test_a_plan_of_a_sweep_is_no_comparison(content, own, tmp_path):
    assert not COMPARISON.is_own(tmp_path, "entries")
    write_json(tmp_path / COMPARISON.name, content)
    assert COMPARISON.is_in(tmp_path)
    assert COMPARISON.is_own(tmp_path, "entries") is own


def test_a_damaged_plan_is_read_so_that_its_error_is_told(tmp_path):
    (tmp_path / COMPARISON.name).write_text('{"entries": [', "utf-8")
    assert COMPARISON.is_own(tmp_path, "entries")
