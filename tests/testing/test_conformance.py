"""The conformance kit over everything registered: built-in parts and installed plugins."""

from __future__ import annotations

import pytest
from seqlab import registry
from seqlab.testing import Settings, check_cell, check_source, parametrize_with_checks
from seqlab.testing.kit import kinds

# the built-in sources need files: they are checked below and in tests/data, others by the tests of
# their own distribution
REGISTERED = [
    (kind, name) for kind in kinds() for name in registry.available(kind) if kind != "source"
]
# all cells of the collection take minutes; this one declares most of what a cell can
ZOO = "seqlab-zoo"
SAMPLE = {"scrn"}
IN_LONG_TESTS = [
    name for kind, name in REGISTERED
    if kind == "cell" and name not in SAMPLE and registry.owner_of(kind, name)[0] == ZOO
]  # fmt: skip
PARTS = [
    f"{kind}={name}" for kind, name in REGISTERED if kind != "cell" or name not in IN_LONG_TESTS
]
# a cell that uses its input as it is must be as wide
SIZES = {
    "intersection_rnn": {"input_size": 5, "hidden_size": 5},
    "gru_d": {"input_size": 6, "hidden_size": 6},
}
ZOO_CELLS = [(f"cell={name}", SIZES.get(name, {})) for name in IN_LONG_TESTS]


def long_where(picked, decorator):
    """The decorator, with the checks that are picked by their name as long tests."""
    name, checks = decorator.args
    long = (pytest.mark.slow,)
    return pytest.mark.parametrize(
        name, [c._replace(marks=(*c.marks, *long)) if picked(c.id) else c for c in checks]
    )


def upon_another_cell(name):
    """Whether a check puts a head upon a cell that is none of three."""
    cell, _, check = name.partition("-")
    if check == "head_language_model":  # a search among words, the dearest of them
        return cell != "cell=lstm"
    return check.startswith("head_") and cell not in {"cell=lstm", "cell=gru", "cell=scrn"}


def dear(name):
    """Whether a check trains, or puts a head upon a cell with other options."""
    trains = name.endswith("learns_by_heart")
    return trains or (name.startswith("cell=") and "-head_" in name)


@long_where(upon_another_cell, parametrize_with_checks(PARTS, slow=False))
def test_a_registered_part_conforms(check):
    check()


@pytest.mark.slow
@parametrize_with_checks(PARTS, slow=True)
def test_a_registered_part_conforms_in_the_slow_checks(check):
    check()


@pytest.mark.slow
@parametrize_with_checks(ZOO_CELLS, slow=False)
def test_a_cell_of_the_zoo_conforms(check):
    check()


@pytest.mark.slow
@parametrize_with_checks(ZOO_CELLS, slow=True)
def test_a_cell_of_the_zoo_conforms_in_the_slow_checks(check):
    check()


OPTIONS = [
    ("cell=gru", {"reset_after": False}),
    ("cell=lstm", {"layer_norm": True, "use_bias": False}),
    ("cell=lstm", {"input_size": 4, "hidden_size": 8}),
    ("wrapper=bidirectional", {"merge_mode": "sum"}),
    ("wrapper=bidirectional", {"merge_mode": "gate", "backward_cell": {"name": "lstm"}}),
    ("wrapper=stacked", {"num_layers": 3, "residual": True, "dropout": 0.2}),
    ("wrapper=residual", {"project": True}),
    ("head=tagging", {"crf": True, "dropout": 0.3}),
    ("head=classification", {"pooling": ["last", "attention"], "hidden_size": 7}),
    ("head=encoder_decoder", {"attention": "additive", "input_feeding": True}),
    ("head=encoder_decoder", {"attention": "multi_head", "coverage": 1.0}),
    ("head=ctc", {"upsampling": 3, "hidden_size": 6, "search": {"name": "beam", "width": 3}}),
    ("head=regression", {"loss": "quantile", "hidden_size": 6}),
    ("head=regression", {"loss": "gaussian", "quantiles": [0.05, 0.95]}),
    ("head=forecast", {"mode": "recurrent", "teacher_forcing": 0.5, "dropout": 0.2}),
    ("head=forecast", {"mode": "recurrent", "loss": "gaussian"}),
    ("attention=dot", {"scaled": True}),
    ("search=beam", {"width": 3, "length_penalty": 0.7}),
]


@long_where(dear, parametrize_with_checks(OPTIONS, slow=False))
def test_a_part_conforms_with_other_options(check):
    check()


def test_one_bundle_round_trip_runs_in_a_fresh_process():
    (result,) = check_cell("gru", settings=Settings(only=("bundle_round_trip",)))
    assert result.outcome == "passed", result
    assert result.numbers["rows"] == 5


def test_a_users_files_are_a_conforming_source(tmp_path):
    path = tmp_path / "films.csv"
    path.write_text("text,label\n" + "".join(f"film {i},{i % 3}\n" for i in range(30)))
    results = check_source("files", path=str(path), split={"test": 0.2, "seed": 1})
    assert [str(result) for result in results if result.outcome != "passed"] == []
