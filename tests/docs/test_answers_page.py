"""The page about answers that are sequences: its example runs."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "answers.md"


def test_the_example_of_the_page_says_what_stands_there():
    failed, run = doctest.testfile(str(PAGE), module_relative=False)
    assert run > 10
    assert failed == 0
