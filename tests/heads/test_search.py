from __future__ import annotations

import itertools

import pytest
import torch
from search_helpers import BOS, EOS, SIZE, ToyModel, run
from seqlab.construct import construct
from seqlab.errors import OptionError


def check_scores(model, found):
    for row, tokens in enumerate(found.to_lists()):
        assert float(found.score[row]) == pytest.approx(model.log_p(row, tokens))
        assert BOS not in tokens
        assert EOS not in tokens


def plain_beam(model, row, limit, width, penalty):
    """The rules of the docstring for one row, with lists."""

    def value(score, length):
        return score / ((5 + length) / 6) ** penalty

    opened, closed = [(0.0, [], model.start[row])], []
    for length in range(limit + 1):
        found = []
        for score, tokens, hidden in opened:
            last = tokens[-1] if tokens else BOS
            after = torch.tanh(hidden @ model.recurrent + model.tokens[last])
            log_p = (after @ model.output).log_softmax(0).tolist()
            legal = [t for t in range(SIZE) if t != BOS and (length < limit or t == EOS)]
            found.extend((score + log_p[t], tokens, t, after) for t in legal)
        found.sort(key=lambda item: -item[0])
        for score, tokens, token, _ in found[:width]:
            if token == EOS:
                closed.append((value(score, length), tokens))
        rest = [item for item in found if item[2] != EOS][:width]
        opened = [(score, [*tokens, token], after) for score, tokens, token, after in rest]
        best = max((v for v, _ in closed), default=float("-inf"))
        if not opened or value(opened[0][0], limit) <= best:
            break
    return max(closed)[1]


LIMITS = [5, 0, 3, 5, 1, 4, 2]


@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("width", [1, 2, 3, 5, 9])
def test_beam_equals_the_same_rules_written_with_lists(width, penalty):
    for seed in range(4):
        model = ToyModel(len(LIMITS), seed)
        spec = {"name": "beam", "width": width, "length_penalty": penalty}
        found = run(spec, model, LIMITS)
        expected = [plain_beam(model, i, n, width, penalty) for i, n in enumerate(LIMITS)]
        assert found.to_lists() == expected
        check_scores(model, found)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 3.0])
def test_a_wide_beam_equals_the_best_of_all_answers(penalty):
    limits = [3, 2, 0, 3]
    answers = []
    for seed in range(3):
        model = ToyModel(4, seed, sharpness=1.0)
        spec = {"name": "beam", "width": 400, "length_penalty": penalty}
        found = run(spec, model, limits).to_lists()
        for row, limit in enumerate(limits):
            tokens = [t for t in range(SIZE) if t not in (BOS, EOS)]
            every = [list(a) for n in range(limit + 1) for a in itertools.product(tokens, repeat=n)]
            best = max(every, key=lambda a: model.log_p(row, a) / ((5 + len(a)) / 6) ** penalty)
            assert found[row] == best
            answers.append(len(best))
    assert len(set(answers)) > 1


def test_a_larger_length_penalty_prefers_longer_answers():
    model = ToyModel(20, 1, sharpness=1.0)
    short, long = (
        run({"name": "beam", "width": 8, "length_penalty": a}, model, [6] * 20).lengths.sum()
        for a in (0.0, 3.0)
    )
    assert short < long


def test_bad_answers_that_end_early_do_not_hide_a_good_one():
    sure = torch.full((1, SIZE), -6.0)
    right = [0, 2, 3, 0, 2]

    def step(tokens, state):
        place = int(state[0, 0])
        goal = [*right, EOS][min(place, 5)]
        log_p = sure.index_fill(1, torch.tensor([goal]), -0.01)
        log_p = log_p - log_p.logsumexp(1, keepdim=True)
        return log_p.expand(*tokens.shape, SIZE), state + 1

    for width in (1, 2, 3, 8):
        search = construct("search", {"name": "beam", "width": width})
        found = search.find(step, torch.zeros(1, 1), torch.tensor([9]), bos=BOS, eos=EOS)
        assert found.to_lists() == [right]


def test_greedy_takes_the_most_probable_token_each_time():
    model = ToyModel(len(LIMITS), 3)
    found = run("greedy", model, LIMITS)
    check_scores(model, found)
    for row, tokens in enumerate(found.to_lists()):
        hidden, expected, last = model.start[row], [], BOS
        while len(expected) < LIMITS[row]:
            hidden = torch.tanh(hidden @ model.recurrent + model.tokens[last])
            scores = hidden @ model.output
            scores[BOS] = float("-inf")
            last = int(scores.argmax())
            if last == EOS:
                break
            expected.append(last)
        assert tokens == expected
    narrow = run({"name": "beam", "width": 1}, model, LIMITS)
    assert narrow.to_lists() == found.to_lists()
    torch.testing.assert_close(narrow.score, found.score)


def test_a_search_stops_when_all_rows_are_closed():
    model = ToyModel(3)

    def eager(tokens, state):
        never = torch.full((*tokens.shape, SIZE), -900.0)
        return never.index_fill(2, torch.tensor([EOS]), 0.0), model.step(tokens, state)[1]

    for spec in ("greedy", "sample", {"name": "beam", "width": 3}):
        model.calls = 0
        search = construct("search", spec)
        torch.manual_seed(0)
        found = search.find(eager, model.state(), torch.tensor([50] * 3), bos=BOS, eos=EOS)
        assert found.lengths.tolist() == [0, 0, 0]
        assert model.calls == 1


def test_rows_do_not_see_each_other():
    model = ToyModel(5, 2)
    for spec in ("greedy", {"name": "beam", "width": 3, "length_penalty": 0.5}):
        whole = run(spec, model, [4] * 5)
        for row in range(5):
            alone = ToyModel(5, 2)
            alone.start = alone.start[row : row + 1]
            found = run(spec, alone, [4])
            assert found.to_lists()[0] == whole.to_lists()[row]


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"temperature": 3.0, "top_k": 2}])
def test_samples_follow_the_tempered_probabilities(options):
    rows = 4000
    model = ToyModel(rows, 5)
    model.start = model.start[:1].expand(rows, -1)
    torch.manual_seed(1)
    found = run({"name": "sample", **options}, model, [1] * rows)
    check_scores(model, found._replace(tokens=found.tokens[:20], lengths=found.lengths[:20]))
    first = torch.where(found.lengths == 0, EOS, found.tokens[:, 0])
    share = torch.bincount(first, minlength=SIZE) / rows
    log_p, _ = model.step(torch.full((rows, 1), BOS), model.state())
    scores = log_p[0, 0].index_fill(0, torch.tensor([BOS]), float("-inf"))
    scores = scores / options.get("temperature", 1.0)
    if "top_k" in options:
        scores = scores.masked_fill(scores < scores.topk(2).values[-1], float("-inf"))
    torch.testing.assert_close(share.double(), scores.softmax(0), atol=0.03, rtol=0)


def test_sampling_among_one_is_greedy():
    model = ToyModel(len(LIMITS), 3)
    narrow = run({"name": "sample", "top_k": 1}, model, LIMITS)
    assert narrow.to_lists() == run("greedy", model, LIMITS).to_lists()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "beam", "width": 0}, "width: expected an int of at least 1, got 0"),
        ({"name": "beam", "length_penalty": -1}, "length_penalty: expected a number of at least 0"),
        ({"name": "sample", "temperature": 0}, "temperature: expected a number above 0, got 0"),
        ({"name": "sample", "top_k": 1.5}, "top_k: expected an int of at least 1 or null, got 1.5"),
        ({"name": "beam", "widht": 3}, "search 'beam' has no option 'widht': did you mean"),
    ],
)
def test_wrong_options(spec, message):
    with pytest.raises(OptionError, match=message):
        construct("search", spec)
