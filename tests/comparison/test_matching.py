"""Equal sizes and equal times."""

from __future__ import annotations

import pytest
from seqlab.comparison.contestants import Contestant, check_contestants, names_of
from seqlab.comparison.matching import match_parameters, match_seconds, nearest_size
from seqlab.comparison.models import Cost, DataSets, costs, parameter_count
from seqlab.errors import ConfigError, MachineError

from small_runs import changed, words_spec


def contestant(spec, cell, *words, **options):
    own = changed(spec, encoder__cell={"name": cell, **options})
    return Contestant(cell, (f"cell={cell}", *words), own)


@pytest.fixture(name="spec")
def _spec(tmp_path):
    return words_spec(tmp_path)


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (lambda n: n + 5, 3), (lambda n: n * n, 144), (lambda n: 4 * n * (n + 3), 70_001),
        (lambda n: None if n % 4 else n * n, 150), (lambda n: None if n < 3 else n, 1),
    ],
)  # fmt: skip
def test_the_nearest_size_is_found(count, wanted):
    sizes = [n for n in range(1, 400) if count(n) is not None]
    found = nearest_size(count, wanted)
    assert abs(count(found) - wanted) == min(abs(count(n) - wanted) for n in sizes)


def test_there_may_be_no_size():
    assert nearest_size(lambda _: None, 100) is None


def test_models_of_all_cells_come_near_the_first(spec):
    cells = ["lstm", "rnn", "gru", "min_gru", "lru"]
    found = match_parameters([contestant(spec, c, hidden_size=16) for c in cells], DataSets(), None)
    data = DataSets()
    counts = [parameter_count(one.spec, data.of(one).info) for one in found]
    assert found[0].spec["encoder"]["cell"]["hidden_size"] == 16
    assert all(abs(count / counts[0] - 1) < 0.05 for count in counts)
    assert all(f"encoder.cell.hidden_size={one.spec['encoder']['cell']['hidden_size']}"
               in one.overrides for one in found)  # fmt: skip


def test_a_number_of_parameters_may_be_given(spec):
    (found,) = match_parameters([contestant(spec, "gru", hidden_size=4)], DataSets(), 5000)
    assert parameter_count(found.spec, DataSets().of(found).info) == pytest.approx(5000, rel=0.05)


def test_contestants_that_differ_in_size_are_not_matched(spec):
    word = "encoder.cell.hidden_size"
    sizes = [contestant(spec, "gru", f"{word}={n}", hidden_size=n) for n in (4, 8)]
    with pytest.raises(ConfigError, match="give match=none"):
        match_parameters(sizes, DataSets(), None)


def test_equal_seconds_are_steps(spec):
    pair = [contestant(spec, cell, hidden_size=4) for cell in ("lstm", "gru")]
    given = [Cost(4.0, 1, 100), Cost(2.5, 1, None)]
    found, seconds = match_seconds(pair, given, None)
    assert seconds == 0.4
    assert [one.spec["trainer"]["max_steps"] for one in found] == [100, 160]
    assert all(one.spec["trainer"]["max_epochs"] is None for one in found)
    assert match_seconds(pair, given, 1.0)[0][0].spec["trainer"]["max_steps"] == 250
    with pytest.raises(MachineError, match="give more seconds"):
        match_seconds(pair, given, 0.003)
    with pytest.raises(ConfigError, match="give seconds=NUMBER"):
        match_seconds(pair[::-1], given[::-1], None)


def test_costs_are_measured(spec):
    small, large = costs([contestant(spec, "lstm", hidden_size=n) for n in (4, 64)], DataSets())
    assert small.step_ms > 0
    assert large.memory > 4 * small.memory
    assert small.steps == large.steps == 30


def test_names_are_what_differs():
    assert names_of([["a=1", "cell=lstm", "x.lr=0.1"], ["a=1", "cell=gru", "x.lr=0.2"]]) == [
        "lstm lr=0.1", "gru lr=0.2",
    ]  # fmt: skip


def test_two_of_one_name_are_refused(spec):
    with pytest.raises(ConfigError, match="two contestants are called 'gru'"):
        check_contestants([contestant(spec, "gru", hidden_size=n) for n in (4, 8)])
    with pytest.raises(ConfigError, match="one contestant"):
        check_contestants([contestant(spec, "gru", hidden_size=4)])
