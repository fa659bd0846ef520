"""Several answers a row, and the rules for what may stand in an answer."""

from __future__ import annotations

import itertools

import pytest
import torch
from search_helpers import BOS, EOS, SIZE, ToyModel, run
from seqlab.construct import construct
from seqlab.errors import OptionError
from seqlab.heads.search_rules import NEVER, Rules

TOKENS = [t for t in range(SIZE) if t not in (BOS, EOS)]


def every_answer(limit):
    return [list(a) for n in range(limit + 1) for a in itertools.product(TOKENS, repeat=n)]


def obeys(tokens, limit, least, n):
    """The rules of the module's page, for an answer of a search that never got stuck."""
    grams = list(zip(*(tokens[i:] for i in range(n)), strict=False)) if n else []
    return min(least, limit) <= len(tokens) <= limit and len(grams) == len(set(grams))


def several(spec, model, limits, n):
    search = construct("search", spec)
    marks = {"bos": BOS, "eos": EOS}
    return search.find_several(model.step, model.state(), torch.tensor(limits), **marks, n=n)


def by_row(found):
    """For each row its answers, those with a score."""
    rows = [[] for _ in found[0].lengths]
    for one in found:
        for row, tokens, score in zip(rows, one.to_lists(), one.score.tolist(), strict=True):
            if score > NEVER:
                row.append((tokens, score))
    return rows


@pytest.mark.parametrize(
    ("penalty", "least", "n"), [(0.0, 0, 0), (1.0, 0, 0), (0.7, 2, 0), (0.0, 0, 1), (2.0, 2, 2)]
)
def test_a_wide_beam_finds_the_n_best_of_all_answers_that_obey_the_rules(penalty, least, n):
    limits = [3, 2, 0, 3, 1]
    spec = {"name": "beam", "width": 400, "length_penalty": penalty}
    spec |= {"min_length": least, "no_repeat_ngram": n}
    for seed in range(2):
        model = ToyModel(len(limits), seed, sharpness=1.0)
        found = by_row(several(spec, model, limits, 7))
        for row, limit in enumerate(limits):
            fit = [a for a in every_answer(limit) if obeys(a, limit, least, n)]
            fit.sort(key=lambda a, row=row: -model.log_p(row, a) / ((5 + len(a)) / 6) ** penalty)
            assert [tokens for tokens, _ in found[row]] == fit[:7]
            for tokens, score in found[row]:
                assert score == pytest.approx(model.log_p(row, tokens))


@pytest.mark.parametrize("width", [2, 3, 5])
def test_several_answers_of_a_row_alone_and_in_a_batch_are_the_same(width):
    spec = {"name": "beam", "width": width, "length_penalty": 0.5, "no_repeat_ngram": 2}
    limits = [5, 0, 3, 9, 1]
    model = ToyModel(len(limits), 6)
    whole = by_row(several(spec, model, limits, width))
    for row, limit in enumerate(limits):
        alone = ToyModel(len(limits), 6)
        alone.start = alone.start[row : row + 1]
        (found,) = by_row(several(spec, alone, [limit], width))
        assert [t for t, _ in found] == [t for t, _ in whole[row]]
        assert [s for _, s in found] == pytest.approx([s for _, s in whole[row]])
        assert len({tuple(t) for t, _ in found}) == len(found)


def test_the_best_of_several_is_the_answer():
    model, limits = ToyModel(6, 2), [6, 5, 4, 0, 2, 1]
    for width in (2, 4):
        spec = {"name": "beam", "width": width, "length_penalty": 1.0}
        (one,) = several(spec, model, limits, 1)
        assert one.to_lists() == run(spec, model, limits).to_lists()
        best = several(spec, model, limits, width)[0]
        # a search that goes on for the others may find a better first one, never a worse
        value = [s / ((5 + n) / 6) for s, n in zip(best.score, best.lengths, strict=True)]
        before = [s / ((5 + n) / 6) for s, n in zip(one.score, one.lengths, strict=True)]
        assert all(a >= b - 1e-12 for a, b in zip(value, before, strict=True))


@pytest.mark.parametrize("name", ["greedy", "sample", "beam"])
@pytest.mark.parametrize(("least", "n"), [(3, 0), (0, 1), (0, 2), (2, 3), (5, 1)])
def test_every_search_keeps_the_rules(name, least, n):
    limits = [8, 4, 0, 6, 1]
    spec = {"name": name, "min_length": least, "no_repeat_ngram": n}
    for seed in range(3):
        model = ToyModel(len(limits), seed, sharpness=0.5)
        torch.manual_seed(seed)
        found = run(spec, model, limits)
        for row, (tokens, limit) in enumerate(zip(found.to_lists(), limits, strict=True)):
            # with one token of each kind, nothing may follow all four of them
            least_here = min(least, len(TOKENS)) if n == 1 else least
            assert obeys(tokens, limit, least_here, n), tokens
            assert float(found.score[row]) == pytest.approx(model.log_p(row, tokens))


def test_rules_against_lists():
    torch.manual_seed(0)
    limits = torch.tensor([9, 4, 3])
    for length, least, n in itertools.product((0, 1, 4, 7), (0, 5), (0, 1, 2, 3)):
        tokens = torch.tensor(TOKENS)[torch.randint(2, (3, 2, length))]
        rules = Rules(limits, BOS, EOS, least, n)
        found = rules(torch.zeros(3, 2, SIZE), tokens).eq(0)
        for row, k in itertools.product(range(3), range(2)):
            before = tokens[row, k].tolist()
            grams = [tuple(before[i : i + n]) for i in range(length - n + 1)] if n else []
            allowed = {
                t
                for t in range(SIZE)
                if t != BOS
                and (t != EOS or length >= least)
                and (n == 0 or tuple([*before, t][-n:]) not in grams)
            }
            expected = {EOS} if length >= limits[row] else allowed or {EOS}
            assert {t for t in range(SIZE) if found[row, k, t]} == expected


def test_samples_are_independent_draws_in_order_of_score():
    rows = 300
    model = ToyModel(rows, 5)
    model.start = model.start[:1].expand(rows, -1)
    torch.manual_seed(1)
    found = several("sample", model, [3] * rows, 4)
    scores = torch.stack([one.score for one in found])
    assert (scores[:-1] >= scores[1:]).all()
    every = torch.cat([one.lengths for one in found])
    share = (every == 0).double().mean()
    # bos is ruled out, so what is left is drawn in proportion
    hidden = torch.tanh(model.start[0] @ model.recurrent + model.tokens[BOS])
    p = (hidden @ model.output).softmax(0)
    expected = float(p[EOS] / (1 - p[BOS]))
    assert float(share) == pytest.approx(expected, abs=4 * (0.25 / 1200) ** 0.5)
    for one in found[:2]:
        for row in (0, 7):
            tokens = one.to_lists()[row]
            assert float(one.score[row]) == pytest.approx(model.log_p(0, tokens))


def test_searches_that_have_not_so_many_answers():
    model = ToyModel(2)
    assert len(several("greedy", model, [3, 3], 1)) == 1
    with pytest.raises(OptionError, match="n_best: search 'greedy' finds one answer a row, not 2"):
        several("greedy", model, [3, 3], 2)
    with pytest.raises(OptionError, match="a beam of width 4 has no 5 answers"):
        several("beam", model, [3, 3], 5)
    with pytest.raises(OptionError, match="min_length: expected an int of at least 0"):
        construct("search", {"name": "beam", "min_length": -1})
