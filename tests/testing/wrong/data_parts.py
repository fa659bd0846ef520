"""Tokenizers, features and targets with one bug each. Do not use them; the kit must find them."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from seqlab.data.features.numeric import NumericFeature
from seqlab.data.ragged import Ragged
from seqlab.data.targets.named import LabelTarget
from seqlab.data.targets.values import ValuesTarget
from seqlab.data.tokenizers.counted import WordsTokenizer


class TakesMarks(WordsTokenizer):
    """A literal end mark ends the answer."""

    def build(self, content):
        super().build(content)
        self._ids.update({mark: index for index, mark in enumerate(self.marks)})


class ForgetsLimits(WordsTokenizer):
    """One id too many."""

    def encode(self, texts):
        ids = super().encode(texts)
        return Ragged(
            np.where(ids.values == 1, self.size, ids.values).astype(np.int32), ids.offsets
        )


class ReadsMarksOut(WordsTokenizer):
    """Marks are words."""

    def decode(self, ids):
        return " ".join(self.entry(index) for index in ids)


class LearnsInAnyOrder(WordsTokenizer):
    """Another order each time."""

    def build(self, content):
        first = len(self.marks)
        entries = list(content["vocab"])
        rest = random.SystemRandom().sample(entries[first:], len(entries) - first)
        super().build({"vocab": {e: i for i, e in enumerate([*entries[:first], *rest])}})


class KeepsALambda(WordsTokenizer):
    """Cannot be sent to another process."""

    def learn(self, texts):
        super().learn(texts)
        self.upper = lambda text: text.upper()


class LoadsAnything(WordsTokenizer):
    """Whatever the file says."""

    def restore(self, content):
        if "model" not in content or content["model"] == 7:
            self.learn(lambda: [["a"]])
        else:
            super().restore(content)


class ScalesByTheBatch(NumericFeature):
    """Statistics of the rows at hand."""

    def encode(self, values, where):
        ragged = super().encode(values, where)
        return Ragged(ragged.values - ragged.values.mean(), ragged.offsets)


class DoublePrecision(NumericFeature):
    """Numbers that the model does not take."""

    def encode(self, values, where):
        ragged = super().encode(values, where)
        return Ragged(ragged.values.astype(np.float64), ragged.offsets)


class StandsBesideASeries(NumericFeature):
    """Says in one place alone that it is one value of the whole row."""

    @property
    def info(self):
        return replace(super().info, role="row")


class ForgetsItsMean(NumericFeature):
    """Nothing is kept."""

    def restore(self, state):
        super().restore(state)
        self.mean = self.mean * 0


class GuessesUnknownLabels(LabelTarget):
    """A label that training never saw is the first one."""

    def id_of(self, name, where, row):
        del where, row
        return self._ids.get(name, 0)

    def encode(self, values, where):
        return super().encode([str(value) for value in values], where)


class OffByOne(LabelTarget):
    """The next class."""

    def decode(self, prediction):
        return self.names[(int(prediction) + 1) % len(self.names)]


class SaysSteps(ValuesTarget):
    """One row, said to be a sequence."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.layout = "steps"
