"""The checks of a search for the tokens of an answer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab.heads.search import Answers, Search
from seqlab.testing.case import Case
from seqlab.testing.compare import close, require
from seqlab.testing.contract import class_table
from seqlab.testing.pickling import round_trips
from seqlab.testing.result import Numbers
from seqlab.testing.sample import normal, seeded


class _Position(NamedTuple):
    """The state of the toy language of ``SearchCase``: which row it is of."""

    row: Tensor


@dataclass(frozen=True)
class SearchCase(Case):
    """A search class with its options, on a random Markov chain for each row."""

    kind = "search"
    size = 5
    bos, eos = 1, 2

    def table(self, rows: int) -> Tensor:
        """Log probabilities ``[rows, last token, next token]``."""
        return (1.5 * normal(rows, self.size, self.size, seed=65)).log_softmax(-1)

    def find(self, limits: list[int], row_ids: list[int] | None = None) -> Answers:
        """One answer a row."""
        ids = list(range(len(limits))) if row_ids is None else row_ids
        table = self.table(8)

        def step(tokens_BK: Tensor, state: Any) -> tuple[Tensor, Any]:
            rows = state.row.view(tokens_BK.shape)
            return table[rows, tokens_BK], state

        search: Search = self.part(**self.options)
        limit = torch.tensor(limits)
        return search.find(step, _Position(torch.tensor(ids)), limit, bos=self.bos, eos=self.eos)


SEARCH_CHECKS = class_table(Search)
_LIMITS = [4, 0, 1, 6]


@SEARCH_CHECKS.check(gate=True)
def answers_are_well_formed(case: SearchCase) -> Numbers:
    """Answers keep to each row's limit and hold neither begin nor end marks.

    Catches: limits of the longest row applied to all, marks left in answers.
    """
    for seed in range(4):
        with seeded(seed):
            answers = case.find(_LIMITS)
        lists = answers.to_lists()
        lengths = [len(tokens) for tokens in lists]
        require(len(lists) == len(_LIMITS), f"{len(lists)} answers for {len(_LIMITS)} rows")
        within = all(n <= limit for n, limit in zip(lengths, _LIMITS, strict=True))
        require(within, f"answers of {lengths} tokens, and the limits are {_LIMITS}")
        marks = [t for tokens in lists for t in tokens if t in (case.bos, case.eos)]
        require(not marks, f"answers hold {len(marks)} begin or end marks: {lists}")
    return {"longest": max(lengths)}


@SEARCH_CHECKS.check(needs=("answers_are_well_formed",))
def scores_are_log_probabilities(case: SearchCase) -> Numbers:
    """The score of an answer is the log probability of its tokens and of the end mark.

    Catches: scores of the best step alone, of another hypothesis, or without the end mark.
    """
    answers, table, expected = case.find(_LIMITS), case.table(8), []
    for row, tokens in enumerate(answers.to_lists()):
        path = [case.bos, *tokens, case.eos]
        expected.append(sum(float(table[row, a, b]) for a, b in pairwise(path)))
    return {"difference": close(answers.score, torch.tensor(expected), "scores", tolerance=1e-6)}


@SEARCH_CHECKS.check(needs=("answers_are_well_formed",))
def decoding_is_repeatable(case: SearchCase) -> Numbers:
    """Under one seed the answers are the same; without randomness, a row alone gives its own.

    Catches: random numbers that torch's seed does not rule, rows that mix.
    """
    found = []
    for seed in (1, 1, 2):
        with seeded(seed):
            found.append(case.find(_LIMITS).to_lists())
    require(found[0] == found[1], f"two searches under one seed give {found[0]} and {found[1]}")
    if found[0] == found[2]:
        for row, limit in enumerate(_LIMITS):
            alone = case.find([limit], [row]).to_lists()[0]
            require(
                alone == found[0][row],
                f"row {row} alone gives {alone}, in the batch {found[0][row]}",
            )
    return {"random": float(found[0] != found[2])}


@SEARCH_CHECKS.check(needs=("answers_are_well_formed",))
def survives_pickling(case: SearchCase) -> None:
    """Pickled, copied and saved by torch, it gives the same.

    Catches: types and functions made at run time.
    """
    search: Search = case.part(**case.options)
    for way, twin in round_trips(case.part, search):
        require(vars(twin) == vars(search), f"after {way} it has {vars(twin)}")
