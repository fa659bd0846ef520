"""BLEU and chrF against sacrebleu."""

from __future__ import annotations

import copy
import random

import pytest
import sacrebleu
from seqlab.construct import construct
from seqlab.heads.metrics import Outcome
from seqlab.types import TargetInfo, Writer

TEXT = (
    '<unk> the cat sat on a mat , it\'s 3.5 km away ; "yes" no . well-known (y) End 12- «da» ß '
    "x%y &amp; one. .two 7,000 Straße"
)
WORDS = TEXT.split()
TARGET = TargetInfo("tokens", len(WORDS), bos=1, eos=2)


def decode(ids):
    return " ".join(WORDS[i] for i in ids)


def rows(seed, alike):
    """Answers, and two references of each, of which one may be like the answer."""
    draw = random.Random(seed)  # noqa: S311 - test data

    def sentence():
        return draw.choices(range(1, len(WORDS)), k=draw.randint(0, 12))

    answers = [sentence() for _ in range(20)]
    gold = [[sentence(), sentence()] for _ in answers]
    if alike:
        gold = [[[*a[:1], *a], [*a[1:], 3]] if a else g for a, g in zip(answers, gold, strict=True)]
    return answers, gold


def ours(spec, answers, gold):
    metric = construct("metric", spec, TARGET)
    metric.decode = Writer(decode)
    for part in (slice(0, 7), slice(7, None)):
        metric.update(Outcome(answers[part], gold[part]))
    return float(metric.compute())


def theirs(answers, gold):
    return [decode(a) for a in answers], [list(map(decode, one)) for one in zip(*gold, strict=True)]


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("tokenize", ["13a", "char", "none"])
def test_bleu_is_that_of_sacrebleu(tokenize, lowercase, alike):
    for seed in range(3):
        answers, gold = rows(seed, alike)
        spec = {"name": "bleu", "tokenize": tokenize, "lowercase": lowercase}
        options = {"tokenize": tokenize, "lowercase": lowercase, "smooth_method": "none"}
        expected = sacrebleu.corpus_bleu(*theirs(answers, gold), **options).score
        assert 100 * ours(spec, answers, gold) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"n_word": 2}, {"n_char": 3, "beta": 1.0}, {"lowercase": True}]
)
def test_chrf_is_that_of_sacrebleu(options, alike):
    names = {"n_char": "char_order", "n_word": "word_order", "beta": "beta"}
    given = {names.get(key, key): value for key, value in options.items()}
    if "beta" in given:
        given["beta"] = int(given["beta"])
    for seed in range(3):
        answers, gold = rows(seed, alike)
        expected = sacrebleu.CHRF(**given).corpus_score(*theirs(answers, gold)).score
        found = ours({"name": "chrf", **options}, answers, gold)
        assert 100 * found == pytest.approx(expected, rel=1e-5)


def test_an_unknown_word_of_a_reference_equals_nothing():
    answers = [[0, 3, 4, 5, 6]]
    for name in ("bleu", "chrf"):
        assert ours(name, answers, [[[0, 3, 4, 5, 6]]]) < 1
        assert ours(name, [[3, 4, 5, 6]], [[[3, 4, 5, 6]]]) == pytest.approx(1)


def test_copies_of_a_metric_share_what_writes_texts():
    metric = construct("metric", "chrf", TARGET)
    metric.decode = Writer(decode)
    twin = copy.deepcopy(metric)
    assert twin.decode is metric.decode
    twin.update(Outcome([[3]], [[[3]]]))
    assert float(twin.compute()) == 1
    metric.update(Outcome([[3]], [[[4]]]))
    assert float(metric.compute()) < 1
