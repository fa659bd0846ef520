from __future__ import annotations

import itertools

import pytest
import torch
from seqlab.heads.crf import LinearChainCRF, viterbi
from seqlab.heads.schemes import scheme_constraints

NAMES = ["O", "B-x", "I-x", "B-y"]


def make(size=4, *, scheme=None, seed=3):
    crf = LinearChainCRF(size, scheme_constraints(scheme, NAMES) if scheme else None)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return crf.double()


@torch.no_grad()
def scores_of_all(crf, emissions, scheme):
    """Every label sequence of one row with its score; those the scheme forbids left out."""
    steps, size = emissions.shape
    allowed = scheme_constraints(scheme, NAMES) if scheme else None
    found = {}
    for labels in itertools.product(range(size), repeat=steps):
        pairs = list(itertools.pairwise(labels))
        if allowed is not None and not (
            allowed.start[labels[0]]
            and allowed.end[labels[-1]]
            and all(allowed.transitions[pair] for pair in pairs)
        ):
            continue
        score = crf.start[labels[0]] + crf.end[labels[-1]]
        score = score + sum(emissions[t, label] for t, label in enumerate(labels))
        found[labels] = float(score + sum(crf.transitions[pair] for pair in pairs))
    return found


def emissions_for(lengths, size=4, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(lengths), max(lengths), size, generator=generator, dtype=torch.float64)


@torch.no_grad()
@pytest.mark.parametrize("scheme", [None, "iob2"])
@pytest.mark.parametrize("lengths", [[4, 1, 3, 2], [5, 0], [1, 1, 1]])
def test_likelihood_viterbi_and_marginals_equal_brute_force(scheme, lengths):
    crf, emissions = make(scheme=scheme), emissions_for(lengths)
    sizes = torch.tensor(lengths)
    best = crf.decode(emissions, sizes)
    marginals = crf.marginals(emissions, sizes)
    for row, n in enumerate(lengths):
        if n == 0:
            assert best[row].eq(0).all()
            assert marginals[row].eq(0).all()
            continue
        scores = scores_of_all(crf, emissions[row, :n], scheme)
        assert tuple(best[row, :n].tolist()) == max(scores, key=scores.get)
        assert best[row, n:].eq(0).all()
        values = torch.tensor(list(scores.values()), dtype=torch.float64)
        probability = values.softmax(0)
        expected = torch.zeros(n, 4, dtype=torch.float64)
        for labels, p in zip(scores, probability, strict=True):
            for t, label in enumerate(labels):
                expected[t, label] += p
        torch.testing.assert_close(marginals[row, :n], expected)
        assert marginals[row, n:].eq(0).all()
        for labels, p in zip(scores, probability, strict=True):
            tags = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
            tags[row, :n] = torch.tensor(labels)
            found = crf.log_likelihood(emissions, tags, sizes)[row].exp()
            torch.testing.assert_close(found, p)


def test_an_empty_row_is_certain_and_an_empty_batch_works():
    crf = make()
    found = crf.log_likelihood(
        emissions_for([2, 0]), torch.zeros(2, 2, dtype=torch.long), torch.tensor([2, 0])
    )
    assert found[1] == 0
    assert found[0] < 0
    nothing = torch.zeros(3, 0, 4, dtype=torch.float64)
    lengths = torch.zeros(3, dtype=torch.long)
    assert crf.log_likelihood(nothing, lengths.new_zeros(3, 0), lengths).tolist() == [0, 0, 0]
    assert crf.decode(nothing, lengths).shape == (3, 0)
    assert crf.marginals(nothing, lengths).shape == (3, 0, 4)


@torch.no_grad()
def test_probabilities_of_lawful_sequences_sum_to_one():
    crf, emissions = make(scheme="iob2"), emissions_for([3])
    lawful = scores_of_all(crf, emissions[0], "iob2")
    total = sum(
        float(crf.log_likelihood(emissions, torch.tensor([tags]), torch.tensor([3])).exp())
        for tags in lawful
    )
    assert total == pytest.approx(1)


def test_a_row_that_breaks_the_scheme_is_scored_without_it():
    constrained, free = make(scheme="iob2"), make()
    emissions, lengths = emissions_for([3, 3]), torch.tensor([3, 3])
    tags = torch.tensor([[2, 2, 0], [1, 2, 0]])  # I-x I-x O; B-x I-x O
    with_scheme = constrained.log_likelihood(emissions, tags, lengths)
    without = free.log_likelihood(emissions, tags, lengths)
    torch.testing.assert_close(with_scheme[0], without[0])
    assert with_scheme[1] > without[1] + 0.01


@pytest.mark.parametrize("scheme", [None, "iob2"])
def test_gradients(scheme):
    crf, lengths = make(scheme=scheme), torch.tensor([3, 0, 2])
    tags = torch.tensor([[1, 2, 3], [0, 0, 0], [2, 2, 0]])
    emissions = emissions_for([3, 0, 2]).requires_grad_()
    parameters = tuple(crf.parameters())

    def run(emissions, *_):
        return crf.log_likelihood(emissions, tags, lengths)

    assert torch.autograd.gradcheck(run, (emissions, *parameters))
    # what the marginals are: the gradient of log Z, so of -log p plus the gold's indicator
    crf.log_likelihood(emissions, tags, lengths)[0].backward()
    gold = torch.nn.functional.one_hot(tags[0], 4)
    expected = gold - crf.marginals(emissions.detach(), lengths)[0]
    torch.testing.assert_close(emissions.grad[0], expected)


def test_labels_and_scores_beyond_the_length_do_not_matter():
    crf, emissions, lengths = make(), emissions_for([4, 2]), torch.tensor([4, 2])
    tags = torch.randint(4, (2, 4))
    before = crf.log_likelihood(emissions, tags, lengths), crf.decode(emissions, lengths)
    emissions[1, 2:], tags[1, 2:] = 1e6, -(10**9)
    after = crf.log_likelihood(emissions, tags, lengths), crf.decode(emissions, lengths)
    torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_half_precision_scores_are_summed_in_float32():
    crf = LinearChainCRF(3)
    emissions = torch.randn(2, 40, 3).bfloat16()
    lengths, tags = torch.tensor([40, 7]), torch.randint(3, (2, 40))
    found = crf.log_likelihood(emissions, tags, lengths)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, crf.log_likelihood(emissions.float(), tags, lengths))


def test_viterbi_prefers_the_lowest_label_among_equals():
    zeros = torch.zeros(1, 3, 4)
    path = viterbi(zeros, torch.tensor([3]), torch.zeros(4), torch.zeros(4, 4), torch.zeros(4))
    assert path.tolist() == [[0, 0, 0]]
