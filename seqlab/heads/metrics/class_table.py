"""Precision, recall, F1 and support of each class, and which classes are taken for which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from seqlab.heads.metrics.base import Outcome, TaskMetric
from seqlab.target_names import CLASS_TABLE, SOLE, metric_name
from seqlab.types import TargetInfo, lengths_to_mask

#: The most classes whose confusion matrix is printed.
_SHOWN = 20


class ClassTable(TaskMetric):
    """Counts of right and given classes.

    For one class a row or a step the counts are the confusion matrix, right class by given class;
    for several labels a row each class has its own yes and no.

    Args:
        target: of kind ``label``, ``labels`` or ``tags``.

    >>> table = ClassTable(TargetInfo("label", 2, ("no", "yes")))
    >>> table.update(Outcome(torch.tensor([1, 1, 0]), torch.tensor([1, 0, 0])))
    >>> table.compute().tolist()
    [[1, 1], [0, 1]]
    >>> table.content()["classes"][1]
    {'class': 'yes', 'precision': 0.5, 'recall': 1.0, 'f1': 0.6667, 'support': 1}
    """

    needs = ("label", "labels", "tags")
    matrix: Tensor
    right: Tensor
    given: Tensor
    support: Tensor

    def __init__(self, target: TargetInfo) -> None:
        super().__init__(target)
        self.names = [str(name) for name in target.names or range(target.size)]
        self.one = target.kind != "labels"
        zeros = torch.zeros(target.size, dtype=torch.long)
        for name in ("right", "given", "support"):
            self.add_state(name, zeros.clone(), dist_reduce_fx="sum")
        if self.one:
            self.add_state("matrix", torch.diag(zeros), dist_reduce_fx="sum")

    def update(self, outcome: Outcome) -> None:
        """Count one batch; padding of tags is left out."""
        given, gold = outcome.answer, outcome.gold
        if outcome.lengths is not None:
            real = lengths_to_mask(outcome.lengths, gold.shape[1])
            given, gold = given[real], gold[real]
        if self.one:
            size = len(self.names)
            pairs = torch.bincount(gold * size + given, minlength=size * size)
            self.matrix += pairs.view(size, size)
        else:
            self.right += (given * gold).sum(0)
            self.given += given.sum(0)
            self.support += gold.sum(0)

    def compute(self) -> Tensor:
        """``[C, C]``, right class by given class; ``[C, 3]`` (right, given, support) for labels."""
        return self.matrix if self.one else torch.stack(self._counts(), 1)

    def content(self) -> dict[str, Any]:
        """JSON-able ``classes``, one entry each, and ``confusion``: names, and counts by rows."""
        rows = zip(self.names, *(count.tolist() for count in self._counts()), strict=True)
        content: dict[str, Any] = {"classes": [_entry(*row) for row in rows]}
        if self.one:
            content["confusion"] = {"names": self.names, "counts": self.matrix.tolist()}
        return content

    def text(self) -> str:
        """The tables, to be printed."""
        content = self.content()
        head = ["class", "precision", "recall", "f1", "support"]
        rows = [[_cell(entry[key]) for key in head] for entry in content["classes"]]
        text = _columns([head, *rows])
        if self.one and len(self.names) <= _SHOWN:
            counts = [
                [name, *map(str, row)]
                for name, row in zip(self.names, content["confusion"]["counts"], strict=True)
            ]
            text += "\n\n" + _columns([["right \\ given", *self.names], *counts])
        return text

    def _counts(self) -> tuple[Tensor, Tensor, Tensor]:
        if not self.one:
            return self.right, self.given, self.support
        return self.matrix.diagonal(), self.matrix.sum(0), self.matrix.sum(1)


class ClassTables(nn.ModuleList):
    """The tables of all targets that have classes, by the targets' names.

    A head counts in them beside its own metrics. One that tells its metrics of a batch in another
    way than by an ``Outcome`` has no tables: it could not tell them.

    Args:
        target: what is predicted.
        metrics: the head's own.
        most: targets of more classes have none; None: all have one.

    >>> parts = {"upos": TargetInfo("tags", 2), "topic": TargetInfo("label", 2)}
    >>> own = {"upos_table": ClassTable(parts["upos"])}
    >>> ClassTables(TargetInfo("joint", 2, parts=parts), own).metrics().keys()
    dict_keys(['upos_class table', 'topic_class table'])
    """

    def __init__(
        self, target: TargetInfo, metrics: Mapping[str, Metric], most: int | None = None
    ) -> None:
        told = metrics and all(isinstance(metric, TaskMetric) for metric in metrics.values())
        counted = {
            name: info
            for name, info in target.named.items()
            if told and info.kind in ClassTable.needs and (most is None or info.size <= most)
        }
        super().__init__(ClassTable(info) for info in counted.values())
        self.names = tuple(counted)

    def tables(self) -> dict[str, ClassTable]:
        """Each table by its target's name."""
        tables = (table for table in self if isinstance(table, ClassTable))
        return dict(zip(self.names, tables, strict=True))

    def metrics(self) -> dict[str, ClassTable]:
        """The tables by the names under which heads are given them to measure."""
        return {metric_name(name, CLASS_TABLE): table for name, table in self.tables().items()}

    def content(self) -> dict[str, Any]:
        """That of the sole target's table, or of several by their names as ``targets``."""
        found = {name: table.content() for name, table in self.tables().items()}
        several = {"targets": found} if found else {}
        return found.get(SOLE, several)

    def text(self) -> str:
        """The tables, to be printed."""
        tables = self.tables().items()
        return "\n\n".join(f"{name}\n{t.text()}" if name else t.text() for name, t in tables)


def _entry(name: str, right: int, given: int, support: int) -> dict[str, Any]:
    """One class; 0 where it would divide by nothing, as the metrics have it."""
    return {
        "class": name,
        "precision": round(right / max(given, 1), 4),
        "recall": round(right / max(support, 1), 4),
        "f1": round(2 * right / max(given + support, 1), 4),
        "support": support,
    }


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _columns(rows: list[list[str]]) -> str:
    """Cells below each other: names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    )
