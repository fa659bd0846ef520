"""The page about forecasts says what happens."""

import doctest
from pathlib import Path

from seqlab import registry

PAGE = Path(__file__).parents[2] / "docs" / "forecasts.md"


def test_its_examples_run():
    failed, run = doctest.testfile(str(PAGE), module_relative=False)
    assert run > 5
    assert not failed


def test_it_names_what_is_registered():
    text = PAGE.read_text("utf-8")
    for name in ("mae", "rmse", "smape", "mase", "pinball", "coverage"):
        assert f"`{name}`" in text
        registry.get("metric", name)
