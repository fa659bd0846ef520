"""``seqlab crossvalidate`` as a whole: the runs, the table, going on, mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from seqlab.cli import main
from seqlab.comparison import crossvalidation
from seqlab.comparison.contestants import Contestant
from seqlab.comparison.crossvalidation import Folds
from seqlab.comparison.runs import EndedRun
from seqlab.config import crossvalidation_app

from small_runs import write_words

ROWS = 46


def words(folder, *more):
    path = write_words(folder / "words")["train"]
    return [
        "source=files", f"source.path={path}", "data=text_label", "data.features.text.column=word",
        "data.target.column=kind", "data.features.text.tokenizer=chars", "data.batch_size=8",
        "head=classification", "cell.hidden_size=5", "embedding.size=4", "trainer.max_epochs=2",
        "wrapper=none", *more,
    ]  # fmt: skip


def answer(folder):
    return json.loads((folder / "crossvalidation.json").read_text("utf-8"))


def numbers(found):
    """All that an answer says but how long it took, and where the runs lie."""
    folds = [{k: v for k, v in fold.items() if k not in ("seconds", "run")}
             for fold in found["folds"]]  # fmt: skip
    return {**found, "folds": folds}


@pytest.fixture(scope="module", name="finished")
def _finished(tmp_path_factory):
    """Three folds: their folder, and the words."""
    folder = tmp_path_factory.mktemp("folds")
    given = words(folder, "folds=3", "stratify=kind")
    assert main(["crossvalidate", *given, f"hydra.run.dir={folder / 'c'}"]) == 0
    return folder / "c", given


def test_the_answer_is_of_the_runs_in_its_folder(finished):
    folder, _ = finished
    found = answer(folder)
    assert (found["metric"], found["split"]["folds"]) == ("accuracy", 3)
    assert found["split"]["stratify"] == "kind"
    for number, fold in enumerate(found["folds"]):
        result = json.loads((folder / "runs" / f"fold-{number}" / "result.json").read_text())
        assert (fold["fold"], fold["test"]) == (number, result["test"])
        assert sum(fold["rows"].values()) == ROWS
    assert sum(fold["rows"]["test"] for fold in found["folds"]) == ROWS
    assert set(found["metrics"]) == {"accuracy", "macro_f1", "loss"}
    for name, own in found["metrics"].items():
        values = [fold["test"][name] for fold in found["folds"]]
        between = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
        assert own["mean"] == pytest.approx(np.mean(values))
        assert own["deviation"] == pytest.approx(np.std(values, ddof=1))
        assert (own["low"], own["high"]) == pytest.approx(tuple(between))
    losses = {fold["test"]["loss"] for fold in found["folds"]}
    assert len(losses) == 3  # three models, three tests


def test_the_words_of_a_fold_train_the_same(finished, tmp_path):
    folder, _ = finished
    fold = answer(folder)["folds"][2]
    run = tmp_path / "run"
    assert main(["train", *fold["overrides"], f"hydra.run.dir={run}"]) == 0
    weights = "bundle/model.safetensors"
    theirs = folder / "runs" / "fold-2" / weights
    assert (run / weights).read_bytes() == theirs.read_bytes()


def test_a_stopped_one_goes_on_and_another_is_refused(finished, tmp_path, capsys):
    folder, given = finished
    before = numbers(answer(folder))
    copy = shutil.copytree(folder, tmp_path / "c")
    shutil.rmtree(copy / "runs" / "fold-1")
    (copy / "crossvalidation.json").unlink()
    kept = (copy / "runs" / "fold-0" / "result.json").stat().st_mtime_ns
    capsys.readouterr()
    assert main(["crossvalidate", f"resume={copy}"]) == 0
    out = capsys.readouterr().out
    assert numbers(answer(copy)) == before
    assert (copy / "runs" / "fold-0" / "result.json").stat().st_mtime_ns == kept
    assert f"  mean                        {before['metrics']['accuracy']['mean']:.4f}" in out
    assert "Bengio & Grandvalet 2004" in out
    assert main(["crossvalidate", *given, "cell=gru", f"hydra.run.dir={copy}"]) == 2
    assert "holds another cross-validation" in capsys.readouterr().err
    assert numbers(answer(copy)) == before


def test_equal_folds_and_a_metric_that_a_fold_has_no_value_of(capsys):
    tests = ({"accuracy": 0.5, "f1": 0.1}, {"accuracy": 0.5, "f1": None})
    rest = {"rows": {"test": 2}, "validation": {}, "seconds": 1.0}
    monitor = {"name": "f1", "mode": "max"}
    split = {"by": "folds", "folds": 2, "fold": 0, "seed": 0}
    found = crossvalidation.answer(
        Folds((Contestant("fold 0", (), {"source": {"split": split}}),) * 2),
        [EndedRun("fold", 0, Path(), {"test": t, "monitor": monitor, **rest}) for t in tests],
    )
    equal, unknown = found["metrics"]["accuracy"], found["metrics"]["f1"]
    assert equal == {"mean": 0.5, "deviation": 0.0, "low": 0.5, "high": 0.5}
    assert set(unknown.values()) == {None}
    crossvalidation.show(found)
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("  mean")).split() == [
        "mean", "0.5000", "-",
    ]  # fmt: skip
    assert not any("95 % interval" in line for line in lines)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["folds=1"], "folds: expected an int of at least 2, got 1"),
        (["folds=47"], "47 folds of 46 rows leave some empty; give at most 46"),
        (["folds=3", "group=kind"], "3 folds of 2 values of 'kind' leave some empty"),
        (["stratify=kind", "group=kind"], "stratify and group do not go together"),
        (["stratify=knid"], "did you mean 'kind'"),
        (["source.split={by: tail, test: 0.1}"], "add source.split=null"),
        (["source.split=simple"], "is one of the splits that the source comes with"),
        (["source.test=t.csv"], "source.test=t.csv is held out already"),
        (["source.path=null", "source.train=t.csv"], "give source.path=t.csv instead"),
        (["cell=lstm,gru"], "cell has several values"),
        (["-m"], "leave out -m"),
        (["trainer.devices=2"], "several devices"),
        (["resume=nowhere"], "beside it (only jobs)"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tmp_path, capsys, given, reason):
    place = tmp_path / "c"
    assert main(["crossvalidate", *words(tmp_path, *given), f"hydra.run.dir={place}"]) == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]
    assert not place.exists()


def test_many_folds_of_few_rows_are_refused_after_one_check_of_the_config(
    tmp_path, capsys, monkeypatch
):
    checked, resolve = [], crossvalidation_app.resolve

    def counted(*given):
        checked.append(given)
        return resolve(*given)

    monkeypatch.setattr(crossvalidation_app, "resolve", counted)
    assert main(["crossvalidate", *words(tmp_path, "folds=500")]) == 2
    assert "500 folds of 46 rows" in capsys.readouterr().err.splitlines()[-1]
    assert len(checked) == 1


def test_a_split_that_is_taken_back_gives_way_to_folds(tmp_path):
    own = tmp_path / "conf" / "source"
    own.mkdir(parents=True)
    path = write_words(tmp_path / "words")["train"]
    (own / "mine.yaml").write_text(
        f"defaults: [files, _self_]\npath: {path}\nsplit: {{by: tail, test: 0.1}}\n", "utf-8"
    )
    given = [
        w
        for w in words(tmp_path, "source=mine")
        if not w.startswith(("source.path", "source=files"))
    ]
    where = [f"--config-dir={tmp_path / 'conf'}", f"hydra.run.dir={tmp_path / 'c'}"]
    assert main(["crossvalidate", *given, *where]) == 2
    assert main(["crossvalidate", *given, *where, "source.split=null", "folds=2"]) == 0
    assert [fold["rows"] for fold in answer(tmp_path / "c")["folds"]] == [
        {"train": 23, "test": 23}
    ] * 2


def test_nothing_to_go_on_with(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["crossvalidate", "resume=nowhere"]) == 2
    assert "there is no cross-validation at nowhere" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
