import doctest
import importlib
import pkgutil

import pytest
import seqlab.data

MODULES = [module.name for module in pkgutil.walk_packages(seqlab.data.__path__, "seqlab.data.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples_at_all():
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in found) >= 10
