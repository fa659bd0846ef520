"""Alternatives and marginals of tagging against the enumeration of all label sequences."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from heads_helpers import info_of, random_encoded
from seqlab.errors import OptionError
from seqlab.heads.tagging import TaggingHead
from seqlab.types import TargetInfo

NAMES = ("O", "B-x", "I-x")
MASK = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()


def lawful(labels):
    pairs = itertools.pairwise(("O", *labels))
    return all(after != "I-x" or before != "O" for before, after in pairs)


@torch.no_grad()
def every_sequence(head, scores, scheme):
    """Log probability of each label sequence of one row, by names."""
    found = {}
    single = scores.log_softmax(-1)
    for ids in itertools.product(range(3), repeat=len(scores)):
        names = tuple(NAMES[i] for i in ids)
        if scheme and not lawful(names):
            continue
        if head.crf is None:
            value = sum(single[t, i] for t, i in enumerate(ids))
        else:
            value = head.crf.start[ids[0]] + head.crf.end[ids[-1]]
            value = value + sum(scores[t, i] for t, i in enumerate(ids))
            value = value + sum(head.crf.transitions[pair] for pair in itertools.pairwise(ids))
        found[names] = float(value)
    if head.crf is not None:
        total = math.log(sum(map(math.exp, found.values())))
        found = {names: value - total for names, value in found.items()}
    return found


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("scheme", [None, "iob2"])
@pytest.mark.parametrize("k", [1, 4, 100])
def test_alternatives_and_marginals_equal_the_enumeration(asymmetric, crf, scheme, k):
    encoded = random_encoded(MASK, dtype=torch.float64)
    head = TaggingHead(info_of(encoded), TargetInfo("tags", 3, NAMES), crf=crf, scheme=scheme)
    asymmetric(head.double())
    answers = head.predict(encoded, k_best=k, marginals=True)
    for row, answer in enumerate(answers):
        scores = head.scores(encoded)[row][MASK[row]]
        if not len(scores):
            assert answer["alternatives"] == [{"tags": [], "ids": [], "score": 0.0}]
            assert answer["marginals"] == []
            continue
        expected = every_sequence(head, scores, scheme)
        best = sorted(expected, key=expected.get, reverse=True)[:k]
        assert [tuple(one["tags"]) for one in answer["alternatives"]] == best
        assert answer["alternatives"][0]["tags"] == answer["tags"]
        for one in answer["alternatives"]:
            assert one["score"] == pytest.approx(expected[tuple(one["tags"])], rel=1e-9)
        if crf or not scheme:  # softmax's own marginals know of no scheme
            for t, i in itertools.product(range(len(scores)), range(3)):
                share = sum(math.exp(p) for names, p in expected.items() if names[t] == NAMES[i])
                assert answer["marginals"][t][i] == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(
    "options", [{"k_best": 0}, {"k_best": "two"}, {"marginals": 1}, {"kbest": 2}]
)
def test_wrong_options_of_an_answer_are_refused(options):
    encoded = random_encoded(MASK)
    head = TaggingHead(info_of(encoded), TargetInfo("tags", 3, NAMES))
    with pytest.raises(OptionError, match=next(iter(options))):
        head.predict(encoded, **options)
