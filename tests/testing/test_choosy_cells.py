"""Cells that refuse some sizes, as they may, are certified at those they take."""

from __future__ import annotations

import pytest
import torch
from seqlab import Cell, HiddenState
from seqlab.errors import OptionError
from seqlab.testing import Settings, check_cell
from torch import nn

ONLY = ("constructor", "wrapper_reverse", "wrapper_stacked", "head_tagging", "head_language_model")


class Halves(Cell):
    """A cell that wants its input in parts.

    Raises:
        OptionError: the input has no such parts.
    """

    parts = 2

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        if input_size % self.parts:
            raise OptionError(f"cell: {input_size} features are not {self.parts} parts")
        self.weight = nn.Parameter(torch.empty(hidden_size, input_size))

    def reset_parameters(self):
        nn.init.normal_(self.weight)

    def step(self, projected_t, state):
        hidden = torch.tanh(projected_t @ self.weight.T + 0.5 * state.hidden)
        return hidden, HiddenState(hidden)


class Thirds(Halves):
    """The same of three parts."""

    parts = 3


class AsWide(Halves):
    """The same, but the state is as wide as the input.

    Raises:
        OptionError: it is not.
    """

    def __init__(self, input_size, hidden_size):
        if input_size != hidden_size:
            raise OptionError(f"cell: {input_size} features, {hidden_size} units")
        super().__init__(input_size, hidden_size)


def left_out(cell):
    """The checks that say that the cell was not built; no other may have failed."""
    found = {r.name: r for r in check_cell(cell, settings=Settings(only=ONLY))}
    assert found["constructor"].outcome == "passed"
    assert not [str(r) for r in found.values() if not r.passed]
    return {name for name, result in found.items() if "not built as wide" in result.reason}


def test_what_they_refuse_is_left_out():
    assert left_out(Halves) == {"wrapper_reverse", "wrapper_stacked"}
    assert left_out(Thirds) == {"wrapper_reverse", "wrapper_stacked", "head_language_model"}
    assert left_out(AsWide) == set()


@pytest.mark.parametrize("size", [3, 61])
def test_a_size_asked_for_is_not_replaced(size):
    results = check_cell(Halves, settings=Settings(only=("constructor",)), input_size=size)
    assert [r.name for r in results if not r.passed] == ["constructor"]
