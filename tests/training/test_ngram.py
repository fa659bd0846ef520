"""The counted language model beside which trained ones stand."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from seqlab.data.processor import fit_processor
from seqlab.training.ngram import NGrams, ngram_baseline

BOS, EOS = 2, 3
LETTERS = (4, 5, 6)


def texts(count=30, seed=0):
    draw = random.Random(seed)  # noqa: S311 - test data
    return [[BOS, *draw.choices(LETTERS, k=draw.randint(0, 6)), EOS] for _ in range(count)]


@pytest.mark.parametrize("history", [(), (4,), (4, 5), (5, 4, 4), (6, 6, 6, 6, 6), (9,)])
def test_the_probabilities_after_any_history_sum_to_one(history):
    model = NGrams(texts(), size=5, longest=4)
    for order in range(4):
        ends = [1, EOS, *LETTERS]
        logs = [model.log_p([BOS, *history, end])[-1][order] for end in ends]
        assert math.fsum(map(math.exp, logs)) == pytest.approx(1.0)


def test_a_bigram_by_hand():
    """c(ab) = 2, c(a.) = 3, two kinds after a; D = n_1 / (n_1 + 2 n_2) of each order."""
    a, b = 4, 5
    rows = [[BOS, a, b, EOS], [BOS, a, b, EOS], [BOS, a, EOS]]
    model = NGrams(rows, size=4, longest=2)
    bigrams = {(BOS, a): 3, (a, b): 2, (b, EOS): 2, (a, EOS): 1}
    n_1, n_2 = (sum(count == r for count in bigrams.values()) for r in (1, 2))
    discount = n_1 / (n_1 + 2 * n_2)
    kinds_before = {a: 1, b: 1, EOS: 2}
    counts = Counter(kinds_before.values())
    lower = counts[1] / (counts[1] + 2 * counts[2])
    p_b = (1 - lower + lower * 3 * (1 / 4)) / 4
    expected = (2 - discount + discount * 2 * p_b) / 3
    assert math.exp(model.log_p([BOS, a, b])[-1][1]) == pytest.approx(expected)


def test_the_first_order_counts_what_is_there():
    rows = texts()
    counts = Counter(index for row in rows for index in row[1:])
    model = NGrams(rows, size=5, longest=1)
    total = sum(counts.values())
    for index, count in counts.items():
        (log,) = model.log_p([BOS, index])[-1]
        assert math.exp(log) == pytest.approx(count / total, abs=0.05)


def test_many_texts_of_a_language_give_its_probabilities():
    """a is followed by b or c, 3 to 1, and the text ends: the entropy per token is known."""
    draw = random.Random(3)  # noqa: S311 - test data
    rows = [[BOS, 4, draw.choices((5, 6), (3, 1))[0], EOS] for _ in range(4000)]
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / 3
    means = NGrams(rows[:3000], size=5).mean(rows[3000:])
    assert means[1:] == pytest.approx([entropy] * 5, abs=0.01)


def test_the_order_is_chosen_on_validation():
    data = {"features": {"text": {"tokenizer": "chars"}}, "target": {"kind": "inputs"}}
    draw = random.Random(1)  # noqa: S311 - test data
    rows = [{"text": "".join(draw.choices(["ab", "cd"], k=5))} for _ in range(60)]
    processor = fit_processor(data, rows)
    found = ngram_baseline(processor, rows[:40], rows[40:50], rows[50:])
    assert found["name"].endswith("-gram, Kneser-Ney")
    assert found["perplexity"] == pytest.approx(2 ** found["bits_per_character"])
    model = NGrams([r.tolist() for r in (processor.encode(row).target for row in rows[:40])], 6)
    means = model.mean(processor.encode(row).target.tolist() for row in rows[40:50])
    assert found["name"].startswith(f"{1 + means.index(min(means))}-")
    assert ngram_baseline(processor, rows, [], rows)["name"].startswith("3-gram")
