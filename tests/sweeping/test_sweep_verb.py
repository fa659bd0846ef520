"""``seqlab sweep`` as a whole: trials are ordinary runs, the best is kept, a sweep goes on."""

from __future__ import annotations

import json
import shlex
import shutil

import pytest
import seqlab
import yaml
from seqlab.cli import main
from seqlab.config.sweep_app import trial_spec
from seqlab.errors import RunError
from seqlab.sweeping.result import _keep
from seqlab.training.run import train

from killed_runs import assert_same, state_of
from small_runs import write_words

SPACE = "sweep.space={optimizer.lr: {log: [0.001, 0.1]}, cell.hidden_size: {int: [3, 5]}}"


def words(folder, *more):
    source = write_words(folder / "words")
    files = [f"source.{split}={source[split]}" for split in ("train", "validation", "test")]
    return [
        "source=files", *files, "data=text_label", "data.features.text.column=word",
        "data.target.column=kind", "data.features.text.tokenizer=chars", "data.batch_size=8",
        "head=classification", "embedding.size=4", "trainer.max_epochs=3", "wrapper=none",
        "report=false", *more,
    ]  # fmt: skip


def answer(folder):
    return json.loads((folder / "sweep.json").read_text("utf-8"))


@pytest.fixture(scope="module", name="finished")
def _finished(tmp_path_factory):
    """A sweep of six trials, some of them given up: its folder, and its words."""
    folder = tmp_path_factory.mktemp("finished")
    given = words(
        folder, SPACE, "cell=lstm,gru", "sweep.trials=6", "sweep.startup=1",
        "callbacks.checkpoint.monitor=loss",
    )  # fmt: skip
    assert main(["sweep", *given, f"hydra.run.dir={folder / 's'}"]) == 0
    return folder / "s", given


def test_every_trial_is_an_ordinary_run(finished):
    folder, _ = finished
    found = answer(folder)
    assert (found["metric"], found["mode"]) == ("loss", "min")
    assert [entry["number"] for entry in found["trials"]] == list(range(6))
    assert sum(found["counts"].values()) == 6
    assert found["counts"]["pruned"] > 0
    for entry in found["trials"]:
        run = folder / "trials" / f"{entry['number']:04d}"
        spec = json.loads((run / "spec.json").read_text("utf-8"))
        assert spec["optimizer"]["lr"] == entry["values"]["optimizer.lr"]
        assert spec["encoder"]["cell"]["hidden_size"] == entry["values"]["cell.hidden_size"]
        assert spec["encoder"]["cell"]["name"] == entry["values"]["cell"]
        assert yaml.safe_load((run / ".hydra" / "overrides.yaml").read_text()) == entry["words"]
        if entry["state"] == "complete":
            result = json.loads((run / "result.json").read_text("utf-8"))
            assert result["validation"]["loss"] == pytest.approx(entry["value"], rel=1e-6)
            assert entry["test"] == result["test"]
            assert entry["value"] == pytest.approx(min(entry["validations"]))
        else:
            assert not (run / "result.json").exists()


def test_the_best_is_kept(finished):
    folder, _ = finished
    found = answer(folder)
    done = [entry for entry in found["trials"] if entry["state"] == "complete"]
    assert found["best"] == min(done, key=lambda entry: entry["value"])
    kept, own = (seqlab.load(p) for p in (folder / "bundle", f"{found['best']['folder']}/bundle"))
    assert kept.predict(["abc", "fade"]) == own.predict(["abc", "fade"])
    page = (folder / "report.html").read_text("utf-8")
    assert f"number {found['best']['number']} is best" in page
    assert page.count("<figure>") >= 5


def test_words_of_a_trial_train_the_same_run(finished, tmp_path):
    folder, _ = finished
    found = answer(folder)
    best, (name, *words) = found["best"], shlex.split(found["again"])
    assert name == "seqlab"
    assert words[-len(best["words"]) :] == best["words"]
    assert main([*words, f"hydra.run.dir={tmp_path / 'r'}"]) == 0
    result = json.loads((tmp_path / "r" / "result.json").read_text("utf-8"))
    assert result["validation"]["loss"] == pytest.approx(best["value"], rel=1e-6)
    assert result["test"] == best["test"]


def test_a_trial_that_was_given_up_goes_on_as_if_it_had_not_been(finished, tmp_path):
    folder, _ = finished
    entry = next(entry for entry in answer(folder)["trials"] if entry["state"] == "pruned")
    run = tmp_path / "pruned"
    shutil.copytree(entry["folder"], run)
    spec = trial_spec(entry["words"], None)
    train(spec, tmp_path / "whole")
    assert main(["train", f"resume={run}"]) == 0
    assert_same(run, state_of(tmp_path / "whole"))


def test_a_sweep_goes_on(finished, tmp_path, capsys):
    folder, _ = finished
    copy = tmp_path / "s"
    shutil.copytree(folder, copy)
    begun = answer(folder)
    assert main(["sweep", f"resume={copy}"]) == 0
    assert "trial 0 " not in capsys.readouterr().out.partition("on the test rows")[0]
    assert main(["sweep", f"resume={copy}", "sweep.trials=7"]) == 0
    assert "trial 6  " in capsys.readouterr().out
    found = answer(copy)
    assert len(found["trials"]) == 7
    assert [e["values"] for e in found["trials"][:6]] == [e["values"] for e in begun["trials"]]


def test_a_trial_that_fails_is_not_the_end(tmp_path, capsys):
    given = words(tmp_path, "trainer.limit_train_batches=0.01,1.0", "sweep.sampler=grid")
    assert main(["sweep", *given, f"hydra.run.dir={tmp_path / 's'}"]) == 0
    found = answer(tmp_path / "s")
    assert [entry["state"] for entry in found["trials"]] == ["failed", "complete"]
    assert "0.01 of 6 batches is less than one" in found["trials"][0]["error"]
    assert found["best"]["values"] == {"trainer.limit_train_batches": "1.0"}
    assert "trial 0  failed: trainer.limit_train_batches" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["sweep.space={optimizer.lt: [1, 2]}"], "(optimizer.lt=1): optimizer: optimizer 'adamw' "),
        (["sweep.space={optimizer.lr: {lgo: [1e-4, 1e-1]}}"],
         "sweep.space: optimizer.lr: 'lgo' is no way to vary it, did you mean 'log'?"),
        (["sweep.space={encoder.dropout: {unifrom: [0.0, 0.5]}}"],
         "sweep.space: encoder.dropout: 'unifrom' is no way to vary it, did you mean 'uniform'?"),
        (["cell=lstm,grx"], "sweep.space (cell=grx): cell=grx: there is no such cell"),
        ([], "sweep.space: nothing varies"),
        (["cell=lstm,gru", "-m"], "leave out -m"),
        (["sweep.trials=0", "cell=lstm,gru"], "sweep.trials: expected an int of at least 1"),
        (["sweep.sampler=tpf", "cell=lstm,gru"], "did you mean 'tpe'?"),
        (["sweep.tirals=3", "cell=lstm,gru"], "sweep.tirals: unknown key"),
        (["sweep.sampler=grid", SPACE], "grid: optimizer.lr has no end of values"),
        (["cell=lstm,gru", "trainer=ddp"], "cannot run jobs on several devices"),
        (["cell=lstm,gru", "data.validation=null", "~source.validation"], "no validation rows"),
        (["resume=nowhere"], "there is no sweep at nowhere"),
        (["resume=nowhere", "sweep.sampler=grid"], "sweep.sampler cannot be given beside it"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_the_first_trial(tmp_path, capsys, given, said):
    resumed = "resume=nowhere" in given
    shared = [] if resumed else [*words(tmp_path), f"hydra.run.dir={tmp_path / 's'}"]
    assert main(["sweep", *shared, *given]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert said in errors[0]
    assert not (tmp_path / "s").exists()


def test_files_beside_the_bundle_are_kept_and_told_before_the_next_trial(
    finished, tmp_path, capsys
):
    folder = shutil.copytree(finished[0], tmp_path / "s")
    (folder / "bundle" / "notes.txt").write_text("mine")
    before = answer(folder)
    assert main(["sweep", f"resume={folder}", "sweep.trials=7"]) == 2
    assert "bundle has notes.txt beside the bundle, which would be lost" in capsys.readouterr().err
    assert (folder / "bundle" / "notes.txt").read_text() == "mine"
    assert answer(folder) == before
    assert not (folder / "trials" / "0006").exists()
    with pytest.raises(RunError, match="beside the bundle"):
        _keep(finished[0] / "bundle", folder / "bundle")


def test_a_resumed_sweep_keeps_its_space(finished, capsys):
    folder, given = finished
    assert main(["sweep", f"resume={folder}", "cell=gru"]) == 2
    assert "cell cannot be given beside it" in capsys.readouterr().err
    assert main(["sweep", *given, f"hydra.run.dir={folder}"]) == 2
    assert "holds a sweep already" in capsys.readouterr().err
