"""Sources with one bug each. Do not use them; the conformance kit must find them."""

from __future__ import annotations

import random

import datasets
from seqlab.data.sources.base import Source


class _Numbers(Source):
    """Squares, right but for what a subclass breaks."""

    def rows(self):
        return {"x": list(range(12)), "y": [i * i for i in range(12)]}

    def load(self):
        test = {"x": [20, 21], "y": [400, 441]}
        return datasets.DatasetDict(
            train=datasets.Dataset.from_dict(self.rows()), test=datasets.Dataset.from_dict(test)
        )

    def describe(self):
        return {
            "name": "squares",
            "origin": "computed",
            "licence": "CC0",
            "digest": "sha256:0",
            "rows": {"train": 12, "test": 2},
        }


class Squares(_Numbers):
    """Squares, without a bug."""


class ShufflesUnseeded(_Numbers):
    """Another order at each loading."""

    def rows(self):
        order = random.SystemRandom().sample(range(12), 12)
        return {"x": order, "y": [i * i for i in order]}


class NamesSplitDev(_Numbers):
    """A split that nobody looks for."""

    def load(self):
        splits = super().load()
        return datasets.DatasetDict(train=splits["train"], dev=splits["test"])


class TypesDiffer(_Numbers):
    """Numbers in training, words in the test."""

    def load(self):
        splits = super().load()
        test = datasets.Dataset.from_dict({"x": [20, 21], "y": ["400", "441"]})
        return datasets.DatasetDict(train=splits["train"], test=test)


class CountsWrong(_Numbers):
    """Its identity states other numbers of rows."""

    def describe(self):
        return {**super().describe(), "rows": {"train": 10, "test": 2}}


class NoDigest(_Numbers):
    """Its identity has no digest."""

    def describe(self):
        identity = super().describe()
        del identity["digest"]
        return identity
