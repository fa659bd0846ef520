from __future__ import annotations

import copy
import itertools

import pytest
import seqlab
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqlab.errors import OptionError
from seqlab.heads.metrics import ErrorRate, Outcome, SequenceAccuracy, SpanF1, edit_distance
from seqlab.types import TargetInfo

TARGET = TargetInfo("tokens", 9)


def tags(names):
    return TargetInfo("tags", len(names), tuple(names))


TOKENS = st.lists(st.integers(0, 3), max_size=9)


def levenshtein(a, b):
    """The whole table, as Wagner and Fischer (1974) fill it."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(last + (x != y), row[j] + 1, row[j - 1] + 1)
    return row[-1]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is slow
@given(TOKENS, TOKENS)
def test_edit_distance_equals_the_table(a, b):
    assert edit_distance(a, b) == levenshtein(a, b)


def test_edit_distance_of_long_sequences():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(5, (n,), generator=generator).tolist() for n in (150, 97))
    assert edit_distance(a, b) == levenshtein(a, b)


def test_token_error_rate_takes_the_nearest_reference_and_its_length():
    rate = ErrorRate(TARGET)
    rate.update(Outcome([[1, 2, 3], [4]], [[[9, 9], [1, 2, 3, 5]], [[4]]]))
    assert float(rate.compute()) == pytest.approx(1 / 5)
    # two references one edit away: the first counts, with its length 2
    rate = ErrorRate(TARGET)
    rate.update(Outcome([[1]], [[[1, 2], []]]))
    assert float(rate.compute()) == pytest.approx(1 / 2)


def test_sequence_error_rate_asks_for_equality_with_any_reference():
    answers, references = [[1, 2], [3], []], [[[1], [1, 2]], [[4], [5]], [[]]]
    wrong, right = ErrorRate(TARGET, level="sequence"), SequenceAccuracy(TARGET)
    for metric in (wrong, right):
        metric.update(Outcome(answers[:2], references[:2]))
        metric.update(Outcome(answers[2:], references[2:]))
    assert float(wrong.compute()) == pytest.approx(1 / 3)
    assert float(right.compute()) == pytest.approx(2 / 3)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_error_rates_of_nothing_and_of_empty_references():
    assert float(ErrorRate(TARGET).compute()) == 0
    rate = ErrorRate(TARGET)
    rate.update(Outcome([[1, 1]], [[[]]]))
    assert float(rate.compute()) == 2


def test_a_capped_row_counts_no_more_errors_than_its_reference_has_tokens():
    gold = [[[1, 2, 3]], [[1, 2]], [[]]]
    answers = [[1, 2, 4], [7] * 100, [5, 5]]
    plain, capped = ErrorRate(TARGET), ErrorRate(TARGET, capped=True)
    for metric in (plain, capped):
        metric.update(Outcome(answers, gold))
    assert float(plain.compute()) == pytest.approx((1 + 100 + 2) / 5)
    assert float(capped.compute()) == pytest.approx((1 + 2 + 1) / 5)


LABELS = ["O", *(f"{p}-{t}" for p, t in itertools.product("BIES", ("PER", "LOC")))]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=7),
        min_size=1,
        max_size=4,
    )
)
def test_span_scores_equal_seqeval_also_on_sequences_that_break_the_scheme(rows):
    lengths = torch.tensor([len(row) for row in rows])
    steps = int(lengths.max())
    filled = [row + [(3, 4)] * (steps - len(row)) for row in rows]
    ids = torch.tensor(filled, dtype=torch.long).view(len(rows), steps, 2)
    gold = [[LABELS[a] for a, _ in row] for row in rows]
    answers = [[LABELS[b] for _, b in row] for row in rows]
    for score, oracle in (
        ("f1", f1_score),
        ("precision", precision_score),
        ("recall", recall_score),
    ):
        metric = SpanF1(tags(LABELS), score=score)
        for row in range(len(rows)):  # one update a row: counts add up
            part = slice(row, row + 1)
            metric.update(Outcome(ids[part, :, 1], ids[part, :, 0], lengths=lengths[part]))
        expected = oracle(gold, answers, zero_division=0)
        assert float(metric.compute()) == pytest.approx(float(expected), abs=1e-6)


def test_span_counts_of_two_processes_add_up():
    names = ["O", "B-x", "I-x"]
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, (2, 6, 5), generator=generator)
    lengths = torch.tensor([5, 4, 3, 2, 1, 0])
    whole, one, two = (SpanF1(tags(names)) for _ in range(3))
    whole.update(Outcome(ids[0], ids[1], lengths=lengths))
    one.update(Outcome(ids[0, :2], ids[1, :2], lengths=lengths[:2]))
    two.update(Outcome(ids[0, 2:], ids[1, 2:], lengths=lengths[2:]))
    joined = copy.deepcopy(one)
    for name, reduce in one._reductions.items():
        setattr(joined, name, reduce(torch.stack([getattr(one, name), getattr(two, name)])))
    assert 0 < float(whole.compute()) < 1
    assert joined.compute() == whole.compute()


def test_metrics_are_registered():
    assert seqlab.get("metric", "error_rate") is ErrorRate
    assert seqlab.get("metric", "span_f1") is SpanF1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ErrorRate(TARGET, level="word"),
            "level: expected one of 'token', 'sequence', got 'word'",
        ),
        (
            lambda: SpanF1(tags(["NOUN"])),
            "span_f1 needs labels such as O, B-TYPE, I-TYPE, got NOUN",
        ),
        (
            lambda: SpanF1(tags(["O", "B-x"]), score="f2"),
            "score: expected one of 'f1', 'precision', 'recall', got 'f2'",
        ),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(OptionError, match=message):
        make()
