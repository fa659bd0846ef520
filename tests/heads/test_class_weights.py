"""Weights of classes: by hand, by name, and from the counts of the training rows."""

import json

import numpy as np
import pytest
import torch
from seqlab.cli import main
from seqlab.errors import OptionError
from seqlab.heads.class_weights import class_weights
from seqlab.types import TargetInfo, TargetStatistics
from sklearn.utils.class_weight import compute_class_weight

from small_runs import write_words

LABEL = TargetInfo("label", 3, ("1", "2", "3"), statistics=TargetStatistics((6, 3, 1), 10))


def test_balanced_is_scikit_learns():
    labels = np.repeat([0, 1, 2], LABEL.statistics.counts)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    torch.testing.assert_close(class_weights("balanced", LABEL), torch.tensor(expected).float())


def test_balanced_makes_yes_and_no_of_each_label_weigh_alike():
    target = TargetInfo("labels", 2, statistics=TargetStatistics((2, 5), 10))
    assert class_weights("balanced", target).tolist() == [4.0, 1.0]


def test_a_class_without_training_rows_has_a_finite_weight():
    target = TargetInfo("label", 2, statistics=TargetStatistics((4, 0), 4))
    assert torch.isfinite(class_weights("balanced", target)).all()


def test_names_may_be_numbers_in_yaml():
    assert class_weights({2: 5}, LABEL).tolist() == [1.0, 5.0, 1.0]


@pytest.mark.parametrize(
    ("value", "target", "message"),
    [
        ("balance", LABEL, "or 'balanced', got 'balance'"),
        ("balanced", TargetInfo("label", 3), "needs the counts of the training rows"),
        ({"4": 1.0}, LABEL, r"class_weights\.4: unknown key"),
        ([1.0, 2.0], LABEL, "expected 3 numbers, one a class, got 2"),
        (
            [1.0, 2.0, float("nan")],
            LABEL,
            r"\[2\]: expected a number of at least 0, got nan",
        ),
        (
            [1.0, 2.0, float("inf")],
            LABEL,
            r"\[2\]: expected a number of at least 0, got inf",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(value, target, message):
    with pytest.raises(OptionError, match=message):
        class_weights(value, target)


@pytest.mark.parametrize(
    "weights", ["{few: 4}", "balanced", "[1, 2]", "{few: 4, many: 0.5}"], ids=str
)
def test_a_run_takes_each_form(tmp_path, weights):
    source = write_words(tmp_path / "data")
    words = [f"source.{key}={value}" for key, value in source.items() if key != "name"]
    run = tmp_path / "run"
    code = main(
        [
            "train",
            "source=files",
            *words,
            "data=text_label",
            "data.features.text.column=word",
            "data.features.text.tokenizer.name=chars",
            "data.target.column=kind",
            "head=classification",
            f"head.class_weights={weights}",
            "cell.hidden_size=4",
            "trainer.max_steps=2",
            "samples=0",
            f"hydra.run.dir={run}",
        ]
    )
    assert code == 0
    assert "accuracy" in json.loads((run / "result.json").read_text())["test"]


def test_a_class_that_is_not_there_is_named(tmp_path, capsys):
    source = write_words(tmp_path / "data")
    words = [f"source.{key}={value}" for key, value in source.items() if key != "name"]
    data = ["data=text_label", "data.features.text.column=word", "data.target.column=kind"]
    choice = ["head=classification", "head.class_weights={mnay: 2}"]
    folder = f"hydra.run.dir={tmp_path / 'run'}"
    assert main(["train", "source=files", *words, *data, *choice, folder]) == 2
    assert "head.class_weights.mnay: unknown key, did you mean 'many'?" in capsys.readouterr().err
