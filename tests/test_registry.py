from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import seqlab
from seqlab import plugins, registry
from seqlab.construct import construct
from seqlab.errors import DuplicateNameError, OptionError, PluginError, UnknownNameError


@pytest.fixture
def temporary():
    made = []

    def register(kind, name, part):
        seqlab.register(kind, name)(part)
        made.append((kind, name))

    yield register
    for kind, name in made:
        registry.unregister(kind, name)


def part(name="Part"):
    return type(name, (), {"__module__": __name__})


def test_built_ins_come_through_entry_points():
    assert {"gru", "lstm", "rnn"} <= set(seqlab.available("cell"))
    assert seqlab.get("cell", "gru").__name__ == "GRUCell"
    assert registry.owner_of("cell", "gru") == ("seqlab", seqlab.__version__)
    assert registry.name_of("cell", seqlab.get("cell", "gru")) == "gru"


def test_register_returns_its_argument_and_lists_it(temporary):
    cls = part()
    temporary("cell", "mine", cls)
    assert seqlab.get("cell", "mine") is cls
    assert "mine" in seqlab.available("cell")
    temporary("cell", "mine", cls)  # the same part again is no conflict


def test_a_second_owner_is_an_error_that_names_both(temporary):
    temporary("cell", "mine", part("First"))
    with pytest.raises(DuplicateNameError, match=r"First.*Second"):
        seqlab.register("cell", "mine")(part("Second"))
    with pytest.raises(DuplicateNameError, match=r"'lstm' is declared by seqlab .*Other"):
        seqlab.register("cell", "lstm")(part("Other"))


def test_unknown_names_and_kinds_propose_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown cell 'ltsm': did you mean 'lstm'\?"):
        seqlab.get("cell", "ltsm")
    with pytest.raises(UnknownNameError, match=r"unknown kind 'cells': did you mean 'cell'\?"):
        seqlab.available("cells")
    with pytest.raises(OptionError, match="letters, digits"):
        seqlab.register("cell", "a.b")
    with pytest.raises(OptionError, match="must be a class or function"):
        seqlab.register("cell", "thing")(3)


def test_import_is_light():
    code = (
        "import sys, seqlab; seqlab.available('cell');"
        "heavy = {'torch', 'pytorch_lightning', 'hydra', 'omegaconf', 'datasets'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_authors_build_on_is_in_seqlab_itself():
    bases = {
        "Attention", "Cell", "Engine", "Feature", "Format", "GatedCell", "Head", "HiddenState",
        "Layer", "LinearRecurrentCell", "MakeLayer", "Merge", "Pooling", "Search", "Source",
        "Target", "TaskMetric", "Tokenizer", "Wrapper",
    }  # fmt: skip
    mistakes = {
        name
        for name, value in vars(seqlab.errors).items()
        if isinstance(value, type) and issubclass(value, seqlab.errors.SeqlabError)
    }
    assert bases | mistakes <= set(seqlab.__all__)
    for name in seqlab.__all__:
        assert getattr(seqlab, name) is not None


def test_plugins_and_templates_take_from_seqlab_what_it_has():
    root = Path(__file__).parents[1]
    files = [*(root / "seqlab" / "templates").rglob("*.tmpl"), *(root / "plugins").rglob("*.py")]
    deep = re.compile(r"^ *from seqlab\.(?!errors\b)[\w.]+ import (.+)$", re.MULTILINE)
    found = [
        f"{file.name}: {name}"
        for file in files
        if file.parent.name != "tests"
        for names in deep.findall(file.read_text("utf-8"))
        for name in names.split(", ")
        if name in seqlab.__all__
    ]
    assert found == []


# -- plugins on disk -------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on sys.path into which tests put distributions."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name, points, code="", requires=(), version="1.0"):
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        needs = "".join(f"Requires-Dist: {r}\n" for r in requires)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        )
        lines = "".join(
            f"[seqlab.{kind}]\n{part} = {module}:{target}\n" for kind, part, target in points
        )
        (info / "entry_points.txt").write_text(lines)
        plugins.refresh()

    yield install
    monkeypatch.undo()
    plugins.refresh()


def test_a_plugin_is_listed_without_being_imported(site):
    site("shy", [("cell", "shy", "Cell")], code="raise SystemExit('never import me')")
    assert "shy" in seqlab.available("cell")
    assert "shy" not in sys.modules
    with pytest.raises(PluginError, match=r"shy 1.0 .*cannot be imported: SystemExit: never"):
        seqlab.get("cell", "shy")
    assert seqlab.get("cell", "lstm").__name__ == "LSTMCell"


def test_a_missing_dependency_is_the_reason(site):
    site("needy", [("cell", "needy", "Cell")], code="import not_there_at_all")
    with pytest.raises(PluginError, match="ModuleNotFoundError: No module named 'not_there"):
        seqlab.get("cell", "needy")


def test_not_a_class(site):
    site("thing", [("cell", "thing", "Cell")], code="Cell = 3")
    with pytest.raises(PluginError, match="is 3, not a class"):
        seqlab.get("cell", "thing")


def test_the_required_version_range_is_checked(site):
    site("older", [("cell", "older", "Cell")], requires=["seqlab<0.0.1"])
    site("newer", [("cell", "newer", "Cell")], code="class Cell: pass", requires=["seqlab>=0.1"])
    assert "older" not in seqlab.available("cell")
    with pytest.raises(PluginError, match=r"it requires seqlab<0.0.1, and this is seqlab"):
        seqlab.get("cell", "older")
    assert seqlab.get("cell", "newer").__name__ == "Cell"


def test_two_plugins_with_one_name_are_both_named(site):
    site("first", [("cell", "twice", "Cell")], code="class Cell: pass")
    site("second", [("cell", "twice", "Cell")], code="class Cell: pass")
    with pytest.raises(PluginError, match="both first and second declare a cell named 'twice'"):
        seqlab.get("cell", "twice")


def test_a_built_in_cannot_be_replaced(site):
    site("greedy", [("cell", "lstm", "Cell")], code="class Cell: pass")
    assert seqlab.get("cell", "lstm").__name__ == "LSTMCell"
    assert "built-in" in plugins.declared("cell")["lstm@greedy"].problem


def test_a_part_that_is_made_in_another_way_than_its_kind_is_told_of(site):
    site("apart", [("merge", "apart", "Merge")], code="class Merge:\n  def __init__(self): pass")
    with pytest.raises(PluginError, match=r"^wrapper: merge 'apart' cannot be made: .*2 values"):
        construct("merge", "apart", 3, 3, where="wrapper")


def test_plugins_can_be_switched_off(site, monkeypatch):
    monkeypatch.setenv(plugins.DISABLE_VARIABLE, "other, Loud_One")
    site("loud-one", [("cell", "loud", "Cell")], code="class Cell: pass")
    assert "loud" not in seqlab.available("cell")
    assert "lstm" in seqlab.available("cell")


def test_a_name_is_found_without_importing_other_plugins(monkeypatch):
    real = plugins.declared
    other = plugins.Declaration("cell", "other", "seqlab-other", "1", "no_such_module:Other")
    again = plugins.Declaration(
        "cell", "again", "seqlab", "1", "seqlab.compat.keras.layouts:GRUCell"
    )
    broken = plugins.Declaration("cell", "broken", "tests", "1", f"{__name__}:missing")
    mine = {"other": other, "broken": broken}
    monkeypatch.setattr(plugins, "declared", lambda kind: {**mine, **real(kind)})
    with pytest.raises(UnknownNameError, match="is not a registered cell"):
        registry.name_of("cell", part())
    assert registry.spoken("cell", part()()) == part().__name__
    gru = seqlab.get("cell", "gru")
    lean = {name: d for name, d in real("cell").items() if name != "gru"}
    monkeypatch.setattr(plugins, "declared", lambda _: {**mine, **lean, "again": again})
    assert registry.name_of("cell", gru) == "again"
