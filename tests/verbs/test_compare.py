"""``seqlab compare`` as a whole: the answer, kills, several processes, runs that exist."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest
import yaml
from seqlab.cli import main

from forked import seqlab
from small_runs import write_words

#: What a comparison says of the machine, not of the contestants.
TIMES = ("seconds", "step_ms", "seconds_to_quality", "runs")
#: The process is killed when the third run has saved the state of its second epoch.
DIES = """
import os, signal
from seqlab.training.checkpoint_io import AtomicCheckpointIO
real, count = AtomicCheckpointIO.save_checkpoint, 0
def dying(self, checkpoint, path, *args, **options):
    global count
    real(self, checkpoint, path, *args, **options)
    count += "runs/gru/seed-1/" in str(path) and "resume" in str(path)
    if count == 2:
        os.kill(os.getpid(), signal.SIGKILL)
AtomicCheckpointIO.save_checkpoint = dying
"""


def words(folder, *more):
    source = write_words(folder / "words")
    files = [f"source.{split}={source[split]}" for split in ("train", "validation", "test")]
    return [
        "source=files", *files, "data=text_label", "data.features.text.column=word",
        "data.target.column=kind", "data.features.text.tokenizer=chars", "data.batch_size=8",
        "head=classification", "cell.hidden_size=5", "embedding.size=4", "trainer.max_epochs=3",
        "wrapper=none", "report=false", *more,
    ]  # fmt: skip


def answer(folder):
    return json.loads((folder / "compare.json").read_text("utf-8"))


def numbers(found):
    """All that a comparison says but what the machine's speed decides."""
    contestants = [
        {key: value for key, value in one.items() if key not in TIMES}
        for one in found["contestants"]
    ]
    return {**found, "contestants": contestants}


@pytest.fixture(scope="module", name="finished")
def _finished(tmp_path_factory):
    """A comparison of two cells with two seeds: its folder, and its words."""
    folder = tmp_path_factory.mktemp("finished")
    # without it the time since the last one says when a run can be resumed
    each_epoch = "callbacks.checkpoint.every_n_steps=6"
    given = words(folder, each_epoch, "cell=lstm,gru", "seeds=2")
    assert main(["compare", *given, f"hydra.run.dir={folder / 'c'}"]) == 0
    return folder / "c", given


def test_the_config_of_each_contestant_is_shown_and_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = ["compare", "experiment=mnist1d", "cell=lstm,gru", "--cfg", "job"]
    assert main([*given, "-p", "encoder.cell"]) == 0
    texts = capsys.readouterr().out.split("# contestant ")[1:]
    assert [text.partition("\n")[0] for text in texts] == [
        f"{number}: experiment=mnist1d cell={name}" for number, name in enumerate(("lstm", "gru"))
    ]
    cells = [yaml.safe_load(text.partition("\n")[2]) for text in texts]
    assert [cell["name"] for cell in cells] == ["lstm", "gru"]
    assert main([*given, "cell.hidden_size=-3"]) == 2
    assert "encoder.cell.hidden_size: expected an int" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["compare", "sweep", "crossvalidate"])
def test_a_finished_run_is_not_written_over(tmp_path, monkeypatch, capsys, verb):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text("{}")
    cells = ["cell=lstm,gru"] if verb != "crossvalidate" else []
    assert main([verb, "experiment=mnist1d", *cells, "hydra.run.dir=run"]) == 2
    assert "run folder run already holds a finished run" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["result.json"]


def test_the_answer_holds_what_is_promised(finished):
    folder, _ = finished
    found = answer(folder)
    assert (found["metric"], found["seeds"], found["rows"]) == ("accuracy", [0, 1], 11)
    lstm, gru = found["contestants"]
    for one in (lstm, gru):
        for seed, value in zip((0, 1), one["values"], strict=True):
            run = folder / "runs" / one["name"] / f"seed-{seed}"
            result = json.loads((run / "result.json").read_text("utf-8"))
            assert value == pytest.approx(result["test"]["accuracy"], abs=1e-6)
            assert result["seed"] == seed
            assert result["parameters"] == one["parameters"]
        assert one["mean"] == pytest.approx(sum(one["values"]) / 2)
        assert one["low"] <= one["mean"] <= one["high"]
        assert min(one["step_ms"], one["seconds"], one["memory_bytes"]) > 0
    assert abs(gru["parameters"] / lstm["parameters"] - 1) < 0.1
    (pair,) = found["pairs"]
    assert (pair["a"], pair["b"]) == ("lstm", "gru")
    assert pair["difference"] == pytest.approx(lstm["mean"] - gru["mean"])
    assert pair["low"] < pair["difference"] < pair["high"]
    assert 0 <= pair["probability_a_better"] <= 1
    assert pair["verdict"] in {"a", "b", "undecided"}
    assert "validation" in found["notes"][0]
    assert "lstm" in found["sentence"]


def test_the_words_of_a_contestant_train_the_same(finished, tmp_path):
    folder, _ = finished
    gru = answer(folder)["contestants"][1]
    run = tmp_path / "run"
    assert main(["train", *gru["overrides"], "seed=1", f"hydra.run.dir={run}"]) == 0
    theirs = folder / "runs" / "gru" / "seed-1"
    for name in ("test", "validation", "parameters", "steps"):
        own, other = (
            json.loads((place / "result.json").read_text())[name] for place in (run, theirs)
        )
        assert own == other
    assert yaml.safe_load((theirs / ".hydra" / "overrides.yaml").read_text())[-1] == "seed=1"
    assert (run / "bundle" / "model.safetensors").read_bytes() == (
        theirs / "bundle" / "model.safetensors"
    ).read_bytes()


def test_a_finished_comparison_answers_again_and_takes_more_seeds(finished, tmp_path, capsys):
    folder = shutil.copytree(finished[0], tmp_path / "c")
    before = answer(folder)
    assert main(["compare", f"resume={folder}"]) == 0
    assert numbers(answer(folder)) == numbers(before)
    assert main(["compare", f"runs={folder}"]) == 0
    assert numbers(answer(folder)) == numbers(before)
    capsys.readouterr()
    assert main(["compare", f"resume={folder}", "seeds=3"]) == 0
    after = answer(folder)
    assert after["seeds"] == [0, 1, 2]
    assert [one["values"][:2] for one in after["contestants"]] == [
        one["values"] for one in before["contestants"]
    ]
    assert "first one only" in capsys.readouterr().out
    assert after["looked_again"]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_comparison_ends_the_same(finished, tmp_path):
    folder, given = finished
    work = tmp_path / "work"
    work.mkdir()
    killed = seqlab(work, "compare", *given, "hydra.run.dir=c", before=DIES)
    assert killed.returncode == -signal.SIGKILL
    assert not (work / "c" / "compare.json").exists()
    outcome = seqlab(work, "compare", "resume=c")
    assert outcome.returncode == 0, outcome.stderr
    assert "resuming at step" in (work / "c/runs/gru/seed-1/train.log").read_text()
    assert numbers(answer(work / "c")) == numbers(answer(folder))


def test_the_same_command_goes_on_in_its_folder_and_another_is_refused(finished, tmp_path, capsys):
    folder, given = finished
    copy = shutil.copytree(folder, tmp_path / "c")
    shutil.rmtree(copy / "runs" / "gru" / "seed-1")
    (copy / "compare.json").unlink()
    assert main(["compare", *given, f"hydra.run.dir={copy}"]) == 0
    assert numbers(answer(copy)) == numbers(answer(folder))
    for other in (["cell=lstm,rnn"], ["cell=lstm,gru", "optimizer.lr=0.5"]):
        again = [*given[:-2], *other, "seeds=2", f"hydra.run.dir={copy}"]
        assert main(["compare", *again]) == 2
        assert "holds another comparison" in capsys.readouterr().err


def test_several_processes_give_the_same_numbers(finished, tmp_path):
    folder, given = finished
    assert main(["compare", *given, "jobs=2", f"hydra.run.dir={tmp_path / 'c'}"]) == 0
    assert numbers(answer(tmp_path / "c")) == numbers(answer(folder))


def test_a_sweep_ends_with_the_table_and_can_be_compared_later(tmp_path, capsys):
    given = words(tmp_path, "cell=lstm,gru", "seed=0,1", "-m", f"hydra.sweep.dir={tmp_path / 's'}")
    assert main(["train", *given]) == 0
    out = capsys.readouterr().out
    assert "test accuracy, 2 seeds, 11 rows" in out
    swept = answer(tmp_path / "s")
    assert [one["name"] for one in swept["contestants"]] == ["lstm", "gru"]
    assert main(["compare", f"runs={tmp_path / 's'}", f"hydra.run.dir={tmp_path / 'o'}"]) == 0
    assert answer(tmp_path / "o") == swept
    assert main(["compare", f"runs={tmp_path / 's'}", "metric=loss"]) == 0
    assert answer(tmp_path / "s")["mode"] == "min"


@pytest.mark.slow
def test_a_sweep_of_single_seeds_says_that_it_tells_nothing(tmp_path, capsys):
    given = words(tmp_path, "cell=lstm,gru", "-m", f"hydra.sweep.dir={tmp_path / 's'}")
    assert main(["train", *given]) == 0
    assert "single seeds" in capsys.readouterr().out
    assert not (tmp_path / "s" / "compare.json").exists()


def test_contestants_may_be_any_words(tmp_path):
    given = words(
        tmp_path, "seeds=[4,7]", "match=none", "trainer.max_epochs=1",
        "contestants={plain: 'cell=gru', pooled: ['cell=gru', 'head.pooling=mean'], "
        "wide: 'cell=rnn cell.hidden_size=9'}",
    )  # fmt: skip
    assert main(["compare", *given, f"hydra.run.dir={tmp_path / 'c'}"]) == 0
    found = answer(tmp_path / "c")
    assert [one["name"] for one in found["contestants"]] == ["plain", "pooled", "wide"]
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [
        ("plain", "pooled"), ("plain", "wide"), ("pooled", "wide"),
    ]  # fmt: skip
    assert found["seeds"] == [4, 7]
    assert "encoder.cell.hidden_size=9" in found["contestants"][2]["overrides"]


@pytest.mark.slow
def test_equal_time_is_a_number_of_steps(tmp_path):
    given = words(tmp_path, "cell=lstm,gru", "seeds=2", "match=seconds", "seconds=0.05")
    assert main(["compare", *given, f"hydra.run.dir={tmp_path / 'c'}"]) == 0
    found = answer(tmp_path / "c")
    assert found["matched_seconds"] == 0.05
    for one in found["contestants"]:
        assert set(one["steps"]) == {max(1, int(50 / one["step_ms"]))}


@pytest.mark.slow
def test_a_budget_leaves_out_seeds_but_two(tmp_path, capsys):
    given = words(tmp_path, "cell=lstm,gru", "seeds=4", "budget=0.01")
    assert main(["compare", *given, f"hydra.run.dir={tmp_path / 'c'}"]) == 0
    assert answer(tmp_path / "c")["seeds"] == [0, 1]
    assert "no room for seed 2" in capsys.readouterr().out
    assert main(["compare", f"resume={tmp_path / 'c'}"]) == 0
    assert answer(tmp_path / "c")["seeds"] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["cell=lstm"], "one contestant"),
        (["cell=lstm,gru", "seeds=1"], "seeds: expected an int of at least 2"),
        (["cell=lstm,gru", "seed=1,2"], "seeds=5 or seeds="),
        (["cell.hidden_size=3,4"], "give match=none"),
        (["cell=lstm,gru", "metric=acuracy"], "did you mean 'accuracy'"),
        (["cell=lstm,gru", "mtach=none"], "did you mean 'match'"),
        (["contestants={a: 'cell=gru', b: 3}"], "contestants.b: expected words"),
        (["contestants={a: 'cell=gru', b: 'cell=lstm,rnn'}"], "contestants.b"),
        (["cell=lstm,gru", "trainer.devices=2"], "several devices"),
        (["cell=lstm,gru", "cell.nonsense=3"], "nonsense"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, given, reason):
    assert main(["compare", *words(tmp_path, *given), f"hydra.run.dir={tmp_path / 'c'}"]) == 2
    error = capsys.readouterr().err
    assert reason in error.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["resume=nowhere"], "no comparison at nowhere"),
        (["resume=nowhere", "cell=gru"], "cell cannot be given beside it"),
        (["runs=nowhere"], "no finished run"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, monkeypatch, capsys, given, reason):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *given]) == 2
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_other_test_rows_are_not_compared(finished, tmp_path, capsys):
    folder, given = finished
    runs = shutil.copytree(folder / "runs", tmp_path / "runs")
    for result in runs.glob("gru/*/bundle/config.json"):
        config = json.loads(result.read_text())
        assert config["source"]["test"]
    other = tmp_path / "more.csv"
    other.write_text("word,kind\nabc,many\nbcd,few\n", "utf-8")
    test = next(word for word in given if word.startswith("source.test="))
    changed = [word for word in given if word not in (test, "cell=lstm,gru", "seeds=2")]
    again = [*changed, f"source.test={other}", "cell=rnn", f"hydra.run.dir={runs / 'rnn' / '0'}"]
    assert main(["train", *again]) == 0
    assert main(["compare", f"runs={runs}"]) == 2
    assert "only runs on the same test rows" in capsys.readouterr().err
