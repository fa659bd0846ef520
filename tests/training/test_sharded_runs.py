"""FSDP: two processes with a share of the weights each train as one that has all."""

from __future__ import annotations

import json
import time

import pytest
import seqlab
import torch
from seqlab.errors import ConfigError
from seqlab.training.run import train

from killed_runs import assert_same, state_of
from ranks import Ranks
from small_runs import changed, words_spec


@pytest.fixture(name="home", scope="module")
def _home(tmp_path_factory):
    return tmp_path_factory.mktemp("shares")


@pytest.fixture(name="spec", scope="module")
def _spec(home):
    """Noise, a penalty and constraints; three validation batches, so that shares are unequal."""
    return changed(
        words_spec(home),
        trainer__max_epochs=2,
        trainer__num_sanity_val_steps=1,
        callbacks__checkpoint__every_n_steps=3,
        encoder__cell={
            "name": "gru", "hidden_size": 7, "recurrent_dropout": 0.2,
            "recurrent_constraint": {"name": "max_norm", "max_value": 0.8},
            "kernel_constraint": {"name": "unit_norm"}, "bias_constraint": "non_neg",
            "kernel_regularizer": {"name": "l2", "l2": 0.01},
        },
    )  # fmt: skip


@pytest.fixture(name="whole", scope="module")
def _whole(spec, home):
    """The folder of an unbroken run of two processes."""
    Ranks(of_two(spec), home / "two").end()
    return home / "two"


def of_two(spec):
    return changed(spec, trainer__devices=2, trainer__strategy="fsdp")


@pytest.mark.slow
def test_two_processes_are_one_with_batches_of_both(spec, home, whole):
    one = train(changed(spec, trainer__accumulate_grad_batches=2), home / "one").values
    two = json.loads((whole / "result.json").read_text())
    assert two["steps"] == one["steps"] == 10
    assert two["parameters"] == one["parameters"]
    for split in ("validation", "test"):
        assert two[split] == pytest.approx(one[split], rel=1e-5)
    mine, theirs = (
        torch.load(folder / "checkpoints" / "resume.ckpt", weights_only=True)
        for folder in (whole, home / "one")
    )
    assert mine["state_dict"].keys() == theirs["state_dict"].keys()
    for name, value in mine["state_dict"].items():
        torch.testing.assert_close(value, theirs["state_dict"][name], rtol=1e-4, atol=1e-6)
    # whole moments, though in another order
    moments, others = (
        sorted(
            tuple(one["exp_avg"].shape) for one in state["optimizer_states"][0]["state"].values()
        )
        for state in (mine, theirs)
    )
    assert moments == others
    loaded = seqlab.load(whole / "bundle")
    rows = [{"word": word} for word in ("abc", "f", "deedaf")]
    alone = seqlab.load(home / "one" / "bundle").predict(rows)
    assert [a["label"] for a in loaded.predict(rows)] == [a["label"] for a in alone]


@pytest.mark.slow
def test_a_killed_run_ends_as_the_unbroken_one(spec, whole, tmp_path):
    killed = Ranks(of_two(spec), tmp_path / "killed")
    checkpoint = tmp_path / "killed" / "checkpoints" / "resume.ckpt"
    end = time.monotonic() + 240
    while not checkpoint.exists():
        assert time.monotonic() < end
        assert killed.run, killed.errors.read_text()
        time.sleep(0.001)
    killed.kill()
    assert not (tmp_path / "killed" / "result.json").exists()
    again = Ranks(changed(of_two(spec), resume=str(tmp_path / "killed")), tmp_path / "again")
    again.end()
    assert "resuming at step" in again.said.read_text()
    assert_same(tmp_path / "killed", state_of(whole))


@pytest.mark.slow
def test_parts_of_a_bundle_may_be_frozen(spec, whole, home, tmp_path):
    start = {"bundle": str(whole / "bundle"), "freeze": ["encoder.layer"], "decay": 0.5}
    # without constraints, which round what they have fitted before
    spec = changed(spec, start=start, seed=4, encoder__cell={"name": "gru", "hidden_size": 7})
    Ranks(of_two(spec), tmp_path / "two").end()
    train(changed(spec, trainer__accumulate_grad_batches=2), tmp_path / "one")
    begun, one, two = (
        seqlab.load(folder / "bundle").model.state_dict()
        for folder in (whole, tmp_path / "one", tmp_path / "two")
    )
    for name, value in two.items():
        torch.testing.assert_close(value, one[name], rtol=1e-4, atol=1e-6)
        assert torch.equal(value, begun[name]) is name.startswith("encoder.layer"), name


def test_what_cannot_be_done_with_shares_is_one_line(spec, tmp_path):
    cases = [
        ({"callbacks__ema": {}}, r"^trainer\.strategy=fsdp: .*callback 'ema' needs them whole"),
        ({"callbacks__microscope": {}}, r"^trainer\.strategy=fsdp: .*callback 'microscope' needs"),
        (
            {
                "head": {"name": "language_model", "cutoffs": [5]},
                "data__target": {"kind": "inputs"},
                "encoder__wrappers": [],
            },
            r"^trainer\.strategy=fsdp: .*adaptive softmax .*leave out head\.cutoffs",
        ),
        ({"trainer__precision": "64-true"}, r"^trainer: .*does not support .*64-true"),
        ({"trainer__strategy": "fsdp_cpu_offload"}, r"^trainer\.strategy=fsdp_cpu_offload: .*ddp"),
    ]
    for changes, message in cases:
        with pytest.raises(ConfigError, match=message):
            train(changed(of_two(spec), **changes), tmp_path / "run")
        assert not (tmp_path / "run").exists()
