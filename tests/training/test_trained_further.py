"""A finished run that is trained further, and weights that are averaged on the way."""

from __future__ import annotations

import shutil

import pytest
import seqlab
import torch
from seqlab.errors import ConfigError, RunError
from seqlab.training.averaging import EMA, SWA
from seqlab.training.run import train

from killed_runs import assert_same, state_of
from small_runs import changed, words_spec


@pytest.mark.parametrize("average", [{}, {"callbacks__ema": {"decay": 0.9}}], ids=["plain", "ema"])
def test_a_finished_run_trained_further_is_the_longer_run(tmp_path, average):
    spec = changed(words_spec(tmp_path), **average)
    longer = changed(spec, trainer__max_epochs=4)
    train(longer, tmp_path / "whole")
    train(changed(spec, trainer__max_epochs=2), tmp_path / "parts")
    train(changed(longer, resume=True), tmp_path / "parts")
    assert_same(tmp_path / "parts", state_of(tmp_path / "whole"))
    both = [seqlab.load(tmp_path / run / "bundle").model.state_dict() for run in ("whole", "parts")]
    assert all(torch.equal(both[0][name], value) for name, value in both[1].items())


def test_so_is_one_that_ended_inside_an_epoch(tmp_path):
    spec = changed(words_spec(tmp_path), trainer__max_epochs=None)
    longer = changed(spec, trainer__max_steps=27)
    train(longer, tmp_path / "whole")
    train(changed(spec, trainer__max_steps=13), tmp_path / "parts")
    train(changed(longer, resume=True), tmp_path / "parts")
    whole, parts = state_of(tmp_path / "whole"), state_of(tmp_path / "parts")
    assert all(torch.equal(whole[0][name], value) for name, value in parts[0].items())
    # it was validated once more, where it had ended
    steps = [row.partition(",")[0] for row in parts[2]]
    assert set(steps) - {row.partition(",")[0] for row in whole[2]} == {"13"}


def test_what_cannot_be_trained_further_is_told(tmp_path):
    spec = changed(words_spec(tmp_path), trainer__max_epochs=2)
    train(spec, tmp_path / "run")
    result = (tmp_path / "run" / "result.json").read_bytes()
    cases = [
        ({}, r"already holds a finished run .*; train it further with a larger trainer\.max_epoc"),
        ({"trainer__max_epochs": 1}, "the run has done 2 already"),
        ({"optimizer__lr": 0.1, "trainer__max_epochs": 3}, r"optimizer\.lr is 0\.1 now"),
        (
            {"scheduler": {"name": "cosine"}, "trainer__max_epochs": 3},
            r"scheduler\.name is 'cosine' now",
        ),
    ]
    for changes, message in cases:
        with pytest.raises(RunError, match=message):
            train(changed(spec, resume=True, **changes), tmp_path / "run")
        assert (tmp_path / "run" / "result.json").read_bytes() == result


def without_manifest(bundle):
    (bundle / "manifest.json").unlink()


def with_notes(bundle):
    (bundle / "notes.txt").write_text("mine")


def of_something_else(bundle):
    shutil.rmtree(bundle)
    (bundle / "inside").mkdir(parents=True)
    (bundle / "inside" / "mine.txt").write_text("mine")


def a_file(bundle):
    shutil.rmtree(bundle)
    bundle.write_text("mine")


def damaged(bundle):
    (bundle / "manifest.json").write_text("{")


def tree(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    spec = changed(words_spec(folder), trainer__max_epochs=1)
    return spec, train(spec, folder / "run").folder


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            without_manifest,
            r"bundle is a folder of other things \(manifest\.json is not in it\), wh",
        ),
        (with_notes, r"bundle has notes\.txt beside the bundle, which would be lost; move it away"),
        (of_something_else, r"bundle is a folder of other things .* lost; move it away, or choose"),
        (a_file, "bundle is a file, which would be lost; move it away"),
        (damaged, r"manifest\.json: not JSON.*; move it away"),
    ],
)
def test_a_place_of_the_bundle_that_is_taken_is_told_before_the_data_are_read(
    finished, tmp_path, monkeypatch, spoil, message
):
    spec, folder = finished
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    spoil(run / "bundle")
    before = tree(run)
    monkeypatch.setattr("seqlab.training.run.Run", None)
    with pytest.raises(RunError, match=message):
        train(changed(spec, resume=True, trainer__max_epochs=3), run)
    assert tree(run) == before
    # nor by a new run
    for path in ("result.json", "checkpoints", "spec.json"):
        (run / path).rename(tmp_path / path)
    before = tree(run)
    with pytest.raises(RunError, match=message):
        train(spec, run)
    assert tree(run) == before


def test_what_systems_leave_in_folders_does_not_matter(finished, tmp_path):
    spec, folder = finished
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / "bundle" / ".DS_Store").write_bytes(b"")
    train(changed(spec, resume=True, trainer__max_epochs=2), tmp_path / "run")
    assert seqlab.load(tmp_path / "run" / "bundle")


def test_what_is_kept_is_the_average_and_training_never_sees_it(tmp_path):
    spec = changed(words_spec(tmp_path), trainer__max_epochs=2)
    train(spec, tmp_path / "plain")
    train(changed(spec, callbacks__ema={"decay": 0.8, "warmup": False}), tmp_path / "averaged")
    plain, averaged = (
        torch.load(tmp_path / run / "checkpoints" / "resume.ckpt", weights_only=True)
        for run in ("plain", "averaged")
    )
    for name, value in plain["state_dict"].items():
        assert torch.equal(averaged["state_dict"][name], value)
    (state,) = (v for k, v in averaged["callbacks"].items() if k.startswith("EMA"))
    assert state["count"] == 20
    best = max((tmp_path / "averaged" / "checkpoints").glob("best-*.ckpt"))
    kept = seqlab.load(tmp_path / "averaged" / "bundle").model.state_dict()
    weights = torch.load(best, weights_only=True)["state_dict"]
    assert all(torch.equal(weights[f"model.{name}"], value) for name, value in kept.items())
    if best.name == "best-00000020.ckpt":
        loaded = seqlab.load(tmp_path / "averaged" / "bundle").model
        for mine, value in zip(loaded.parameters(), state["averages"], strict=True):
            assert torch.equal(mine, value)
    assert any(not torch.equal(kept[name], plain["state_dict"][f"model.{name}"]) for name in kept)


def test_without_validation_rows_the_run_ends_with_the_average(tmp_path):
    spec = changed(words_spec(tmp_path), trainer__max_epochs=2, callbacks__swa={"begin_epoch": 1})
    del spec["source"]["validation"]
    train(spec, tmp_path / "run")
    state = torch.load(tmp_path / "run" / "checkpoints" / "resume.ckpt", weights_only=True)
    (average,) = (v["averages"] for k, v in state["callbacks"].items() if k.startswith("SWA"))
    kept = list(seqlab.load(tmp_path / "run" / "bundle").model.parameters())
    assert all(torch.equal(one, two) for one, two in zip(average, kept, strict=True))


def test_the_rules_are_those_of_the_papers():
    torch.manual_seed(0)
    steps = [[torch.randn(3, 2), torch.randn(4)] for _ in range(5)]
    ema, swa, warm = EMA(decay=0.7, warmup=False), SWA(), EMA(decay=0.7)
    expected = [value.clone() for value in steps[0]]
    warmed = [value.clone() for value in steps[0]]
    for rule in (ema, swa, warm):
        rule.averages, rule.count = [value.clone() for value in steps[0]], 1
    for count, weights in enumerate(steps[1:], 1):
        d = min(0.7, (1 + count) / (10 + count))
        expected = [0.7 * old + 0.3 * new for old, new in zip(expected, weights, strict=True)]
        warmed = [d * old + (1 - d) * new for old, new in zip(warmed, weights, strict=True)]
        for rule in (ema, swa, warm):
            rule.add(weights)
            rule.count += 1
    means = [torch.stack(values).mean(0) for values in zip(*steps, strict=True)]
    for rule, values in ((ema, expected), (swa, means), (warm, warmed)):
        for mine, value in zip(rule.averages, values, strict=True):
            torch.testing.assert_close(mine, value)


def test_a_share_of_an_unknown_length_is_told(tmp_path):
    spec = changed(
        words_spec(tmp_path), trainer__max_epochs=None, trainer__max_steps=5, callbacks__swa={}
    )
    with pytest.raises(ConfigError, match=r"callbacks\.swa: the run has no number of epochs"):
        train(spec, tmp_path / "run")
