from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml
from seqlab import registry
from seqlab.cli import main
from seqlab.training.run import train
from seqlab.verbs import evaluate
from seqlab.verbs.new_plugin import FORMS, FUNCTIONS, HELP, contents

from small_runs import changed, words_spec

KINDS = sorted(FORMS)
PARTS_OF_A_RUN = ("train", "val", "test")


@pytest.fixture
def new_plugin(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main(["new-plugin", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_every_kind_that_can_be_registered_has_a_form():
    assert set(FORMS) == set(registry.KINDS)
    assert all(re.search(rf"\b{kind}\b", HELP) for kind in registry.KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_filled_in_and_well_formed(kind):
    files = contents(kind, f"my_{kind}")
    package = f"seqlab_my_{kind}"
    assert {"pyproject.toml", "README.md", "LICENSE", ".github/workflows/test.yml"} <= set(files)
    for path, text in files.items():
        assert not re.search(r"@[a-z]+@", text), path
        assert text.endswith("\n")
        if path.endswith(".py"):
            ast.parse(text)
        if path.endswith((".yaml", ".yml")):
            assert isinstance(yaml.safe_load(text), dict)
    config = next(path for path in files if path.startswith(f"{package}/conf/"))
    assert f"my_{kind}" in files[config]
    named = f"my_{kind}" if kind in FUNCTIONS else f"My{kind.capitalize()}"
    assert f'my_{kind} = "{package}:{named}"' in files["pyproject.toml"]
    assert re.search(rf"^(class|def) {named}\b", files[f"{package}/__init__.py"], re.MULTILINE)
    assert f'"{kind}=my_{kind}"' in files[f"tests/test_my_{kind}.py"]


def test_the_head_of_a_new_plugin_trains_and_is_evaluated(tmp_path):
    """Its metrics are torchmetrics' own, which are told of a batch in another way than seqlab's."""
    module = types.ModuleType("seqlab_written")
    exec(contents("head", "written")["seqlab_written/__init__.py"], vars(module))  # noqa: S102
    registry.register("head", "written")(module.WrittenHead)
    try:
        spec = changed(words_spec(tmp_path), trainer__max_epochs=1)
        spec["head"] = {"name": "written"}
        trained = train(spec, tmp_path / "run").values
        words = {"bundle": str(tmp_path / "run" / "bundle"), "split": "test"}
        measured = evaluate.run(words, tmp_path / "again")
    finally:
        registry.unregister("head", "written")
    assert set(trained["test"]) == {"accuracy", "loss"}
    assert measured["test"] == pytest.approx(trained["test"], rel=1e-6)


def test_the_cell_of_a_new_plugin_is_short():
    module = ast.parse(contents("cell", "my_cell")["seqlab_my_cell/__init__.py"])
    cell = next(node for node in module.body if isinstance(node, ast.ClassDef))
    docstring = cell.body[0]
    assert cell.end_lineno - cell.lineno - (docstring.end_lineno - docstring.lineno) <= 13


def test_it_writes_where_it_is_told_and_says_what_to_do_next(new_plugin, tmp_path):
    code, out, err = new_plugin("cell", "leaky_net", "output=deep/er")
    assert (code, err) == (0, "")
    assert "seqlab train experiment=mnist1d cell=leaky_net" in out
    assert (tmp_path / "deep/er/seqlab_leaky_net/conf/cell/leaky_net.yaml").is_file()
    assert new_plugin("cell", "leaky_net")[0] == 0
    assert (tmp_path / "seqlab-leaky-net/pyproject.toml").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "new-plugin needs a kind and a name, such as `new-plugin cell my_cell`, got nothing"),
        (["cell"], "new-plugin needs a kind and a name"),
        (["cell", "a", "b"], "new-plugin needs a kind and a name"),
        (["cel", "mine"], "'cel' is no kind to start from: did you mean 'cell'?"),
        (["cell", "lstm"], "the cell 'lstm' is there already, from seqlab; choose another name"),
        (["cell", "mgu"], "the cell 'mgu' is there already, from seqlab-mgu"),
        (["source", "memory"], "a package seqlab_memory is installed already"),
        (["cell", "MyCell"], "'MyCell' cannot be a name: expected a Python name of a to z, digi"),
        (["cell", "HTMLNet"], "'HTMLNet' cannot be a name: expected a Python name of a to z, dig"),
        (["cell", "my-cell"], "'my-cell' cannot be a name: "),
        (["cell", "../evil"], "'../evil' cannot be a name: "),
        (["cell", "lambda"], "'lambda' cannot be a name: "),
        (["cell", "3d"], "'3d' cannot be a name: "),
        (["cell", "mine", "folder=x"], "folder: unknown key, known: output"),
        (["cell", "mine", "output="], "output: expected one folder"),
        (["cell", "mine", "output=there"], "there exists already; choose another folder with"),
        (["cell", "mine", "output=file/x"], "cannot write file/x"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_leave_nothing(new_plugin, tmp_path, words, message):
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("")
    code, out, err = new_plugin(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "there"]


def test_a_wrong_name_gets_a_right_one(new_plugin):
    for wrong, right in (("MyCell", "my_cell"), ("my-cell", "my_cell"), ("2fast", "fast")):
        assert new_plugin("cell", wrong)[2].endswith(f"digits and '_', such as '{right}'\n")


def test_a_full_disk_leaves_nothing(new_plugin, tmp_path, monkeypatch):
    write = Path.write_text

    def full(path, text, **options):
        if path.name == "LICENSE":
            raise OSError(28, "No space left on device")
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    code, _, err = new_plugin("cell", "leaky_net")
    assert (code, err) == (
        2,
        "error: cannot write seqlab-leaky-net: No space left on device; free some room there\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """One distribution of every kind, written by the command and installed by pip."""
    folder = tmp_path_factory.mktemp("plugins")
    environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "OMP_NUM_THREADS": "1"}

    def run(*command, code=0):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    for kind in KINDS:
        assert main(["new-plugin", kind, f"fresh_{kind}", f"output={folder / kind}"]) == 0
    quick = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    places = [str(folder / kind) for kind in KINDS]
    run("pip", "install", "--quiet", *quick, "--target", str(folder / "site"), *places)
    run.folder = folder
    return run


def test_all_are_listed_with_their_equation(installed):
    listed = json.loads(installed("seqlab", "list", "format=json"))
    for kind in KINDS:
        part = next(part for part in listed[kind] if part["name"] == f"fresh_{kind}")
        assert part["distribution"] == f"seqlab-fresh-{kind}"
        assert part["problem"] is None
        assert part["summary"]
        assert part["equation"] or kind in ("source", "format", "callback", "logger", "modifier")


def test_the_configs_of_all_are_found_and_fit_and_a_cell_trains(installed):
    words = [FORMS[kind].train.format(name=f"fresh_{kind}").split()[1:] for kind in KINDS]
    small = ("source.rows=100", "cell.hidden_size=4", "trainer.max_epochs=1", "samples=0")
    cell = [*words[KINDS.index("cell")], *small, "report=false", "hydra.run.dir=out"]
    (installed.folder / "compose_all.py").write_text(
        "from seqlab.cli import main\n"
        f"for words in {words!r}:\n"
        "    assert main([*words, '--cfg', 'job']) == 0\n"
        "    print('NEXT')\n"
        f"assert main({cell!r}) == 0\n"
    )
    texts = installed("compose_all").split("NEXT\n")
    for kind, composed in zip(KINDS, texts, strict=False):
        assert f"fresh_{kind}" in composed
    assert len(texts) == len(KINDS) + 1
    assert "bundle" in texts[-1]


def test_a_merge_passes_its_tests_and_gets_a_certificate_that_is_shown(installed, tmp_path):
    out = installed("pytest", "-q", "-p", "no:cacheprovider", "merge")
    assert " passed" in out.splitlines()[-1]
    site = tmp_path / "certificate.json"
    installed("seqlab", "certify", "merge=fresh_merge", f"output={site}")
    entry = json.loads(site.read_text("utf-8"))["parts"][0]
    assert (entry["name"], entry["passed"]) == ("fresh_merge", True)


@pytest.mark.slow
def test_the_examples_in_docstrings_run(installed):
    packages = [f"seqlab_fresh_{kind}" for kind in KINDS]
    out = installed(
        "pytest", "-q", "-p", "no:cacheprovider", "--doctest-modules", "--pyargs", *packages
    )
    assert " passed" in out.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_trains_passes_its_tests_and_is_certified(installed, kind):
    words = FORMS[kind].train.format(name=f"fresh_{kind}").split()[1:]
    if kind == "format":  # trains on a file of the user's
        rows = (f"{word} film|{word}\n" for word in ["good", "bad"] * 20)
        (installed.folder / "FILE.fresh_format").write_text("".join(rows))
    short = ("trainer.max_epochs=1", *(f"trainer.limit_{x}_batches=2" for x in PARTS_OF_A_RUN))
    installed("seqlab", *words, *short, "samples=0", f"hydra.run.dir={kind}-run")
    out = installed("pytest", "-q", "-p", "no:cacheprovider", kind)
    assert " passed" in out.splitlines()[-1]
    certificate = installed("seqlab", "certify", f"{kind}=fresh_{kind}")
    assert f"{kind} fresh_{kind}: certified; " in certificate
