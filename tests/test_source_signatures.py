"""Options read from source files: the same as those of the imported classes, and no import."""

from __future__ import annotations

import subprocess
import sys

import pytest
import seqlab
from seqlab import plugins, registry
from seqlab.config.resolve import GIVEN
from seqlab.construct import accepted_options
from seqlab.errors import OptionError
from seqlab.schema import check_value
from seqlab.source_signatures import options_of

BUILT_IN = [
    (kind, name)
    for kind in GIVEN
    for name, part in plugins.declared(kind).items()
    if part.distribution == plugins.BUILT_IN
]


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_options_are_those_of_the_imported_class(kind, name):
    read = options_of(plugins.declared(kind)[name].target)
    known = accepted_options(registry.get(kind, name))
    if read is None:
        pytest.skip("its options cannot be told without importing it")
    assert list(read) == list(known)


def test_bounds_are_read_under_a_file_s_own_names_and_behind_checked():
    hint = options_of("seqlab.cells.gated:GatedCell")["chrono"].hint
    with pytest.raises(OptionError, match="chrono: expected an int of at least 2 or null, got 1"):
        check_value(1, hint, "chrono")


def test_bounds_are_read_too():
    options = options_of("seqlab.cells.lstm:LSTMCell")
    from seqlab.schema import Fraction

    assert options["dropout"].hint == Fraction
    assert options["use_bias"].hint is bool


def test_a_plugin_s_base_is_found_where_seqlab_has_it_lazily():
    from seqlab.schema import Count

    declared = plugins.declared("cell")["mgu"]
    options = options_of(declared.target)
    assert list(options) == list(accepted_options(registry.get("cell", "mgu")))
    assert options["hidden_size"].hint == Count


def test_lists_mappings_and_names_of_other_files_are_read():
    options = options_of("seqlab.heads.forecast:ForecastHead")
    known = accepted_options(registry.get("head", "forecast"))
    for name in ("loss", "quantiles", "decoder", "metrics"):
        assert options[name].hint == known[name].annotation


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that cannot be imported: reading it must not try."""
    folder = tmp_path / "unimportable_parts"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)

    def write(text):
        (folder / "parts.py").write_text("raise RuntimeError('imported')\n" + text)
        return options_of("unimportable_parts.parts:Part")

    return write


def test_nothing_is_imported(package):
    read = package("class Part:\n def __init__(self, a, *, b: int = 3): pass\n")
    assert {name: option.hint for name, option in read.items()}["b"] is int


@pytest.mark.parametrize(
    "text",
    [
        "@dataclass\nclass Part:\n a: int = 1\n",
        "class Part(made_at_run_time()):\n pass\n",
        "class Part(Unknown):\n def __init__(self, **rest): pass\n",
        "class Part:\n def __init__(self, *rest): pass\n",
        "class Part:\n @wrapped\n def __init__(self, a): pass\n",
        "Part = made_at_run_time()\n",
        "not python at all",
    ],
)
def test_what_is_not_certain_is_not_said(package, text):
    assert package(text) is None


PROGRAM = """
import sys
from seqlab.cli import main
code = main(sys.argv[1:])
heavy = {"torch", "datasets", "pytorch_lightning", "torchmetrics", "pandas"} & set(sys.modules)
assert code == 2, code
assert not heavy, heavy
"""
MINE = ["train", "source=files", "data=text_label", "head=classification", "source.train=a.csv"]
MINE += ["data.features.text.column=text", "data.target.column=label"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "experiment=g2q"], "did you mean 'g2p'?"),
        (["train", "experiment=g2p", "optimizer.lr=-1"], "optimizer.lr: expected a number above 0"),
        (["train", "experiment=g2p", "cell.hiden_size=3"], "did you mean 'hidden_size'?"),
        (["train", "experiment=g2p", "cell.dropout=3"], "encoder.cell.dropout: expected a number"),
        (["train", "experiment=g2p", "cell.use_bias=3"], "encoder.cell.use_bias: expected true"),
        (["train", "experiment=g2p", "head.atention=dot"], "did you mean 'attention'?"),
        ([*MINE, "source.trian=x"], "did you mean 'train'?"),
        (MINE, "a.csv: no such file (source.train), did you mean 'b.csv'?"),
        ([*MINE, "data.batch_size=0"], "batch_size"),
        (["predict", "bundle=./nowhere"], "no bundle at ./nowhere: there is no such folder"),
        (["predict", "bundle=.", "input=none.csv"], "input: cannot read none.csv"),
        (["evaluate", "bundle=./nowhere"], "no bundle at ./nowhere: there is no such folder"),
        (["export", "bundle=./nowhere", "format=onnx"], "no bundle at ./nowhere"),
        (["convert", "input=none.pt", "output=x"], "none.pt"),
    ],
)
def test_mistakes_are_told_before_anything_heavy_is_imported(words, message, tmp_path):
    (tmp_path / "b.csv").write_text("text,label\na,b\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_cell_whose_class_does_not_name_the_options_of_every_cell_takes_them(monkeypatch):
    from seqlab.config import before_import

    closed = {"input_size": object(), "hidden_size": object()}
    monkeypatch.setattr(before_import, "options_of", lambda _: closed)
    given = {"where": "encoder.cell", "given": 1}
    # the table that is read without torch has all that the base class has
    options = dict.fromkeys(seqlab.Cell.options_for_all, 0.1)
    before_import.check_options_unread("cell", "gru", options, **given)
    with pytest.raises(OptionError, match="no option 'drop': did you mean 'dropout'"):
        before_import.check_options_unread("cell", "gru", {"drop": 0.1}, **given)
