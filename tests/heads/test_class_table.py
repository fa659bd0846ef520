from __future__ import annotations

import pytest
import torch
from seqlab.heads.metrics import Outcome
from seqlab.heads.metrics.class_table import ClassTable, ClassTables
from seqlab.heads.metrics.classes import Accuracy
from seqlab.heads.metrics.numbers import MAE
from seqlab.types import TargetInfo
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torchmetrics.classification import MulticlassAccuracy


def expect(table, gold, given):
    columns = precision_recall_fscore_support(gold, given, average=None, zero_division=0)
    entries = table.content()["classes"]
    for entry, precision, recall, f1, support in zip(entries, *columns, strict=True):
        assert entry["precision"] == pytest.approx(precision, abs=1e-4)
        assert entry["recall"] == pytest.approx(recall, abs=1e-4)
        assert entry["f1"] == pytest.approx(f1, abs=1e-4)
        assert entry["support"] == support


def test_tags_equal_scikit_learn_over_batches_without_padding():
    names = ("a", "b", "c")
    table = ClassTable(TargetInfo("tags", 3, names))
    gold, given = torch.randint(3, (2, 4, 6)), torch.randint(3, (2, 4, 6))
    lengths = torch.tensor([6, 2, 0, 4])
    real = (torch.arange(6) < lengths.unsqueeze(1)).expand(2, -1, -1)
    for batch in range(2):
        table.update(Outcome(given[batch], gold[batch], lengths=lengths))
    expect(table, gold[real].numpy(), given[real].numpy())
    counts = confusion_matrix(gold[real].numpy(), given[real].numpy(), labels=range(3))
    assert table.content()["confusion"] == {"names": list(names), "counts": counts.tolist()}


def test_several_labels_a_row_equal_scikit_learn():
    table = ClassTable(TargetInfo("labels", 3))
    gold, given = torch.randint(2, (2, 9, 3))
    table.update(Outcome(given, gold))
    expect(table, gold.numpy(), given.numpy())
    assert "confusion" not in table.content()
    assert [line.split()[0] for line in table.text().splitlines()] == ["class", "0", "1", "2"]


def test_a_class_that_is_never_right_nor_given_has_zeros():
    table = ClassTable(TargetInfo("label", 3, ("x", "y", "never")))
    table.update(Outcome(torch.tensor([0, 1]), torch.tensor([0, 0])))
    entry = table.content()["classes"][2]
    assert entry == {"class": "never", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    matrix = [line.split() for line in table.text().splitlines()[-3:]]
    assert matrix == [["x", "1", "1", "0"], ["y", "0", "0", "0"], ["never", "0", "0", "0"]]
    target = TargetInfo("values", 1)
    assert not ClassTables(target, {"mae": MAE(target)}).tables()


def test_a_head_that_tells_its_metrics_in_its_own_way_has_none():
    target = TargetInfo("label", 3)
    assert ClassTables(target, {"accuracy": Accuracy(target)}).tables()
    assert not ClassTables(target, {"accuracy": MulticlassAccuracy(3)}).tables()
    assert not ClassTables(target, {}).tables()
