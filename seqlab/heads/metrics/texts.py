"""Metrics of texts as translation has them: BLEU (by torchmetrics) and chrF.

chrF is written here: that of torchmetrics 1.9 leaves out rows that share nothing with a reference.
So is what torchmetrics leaves to chance in BLEU, which of two references as near in length counts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics.text import BLEUScore

from seqlab.heads.metrics.base import Outcome, TaskMetric
from seqlab.schema import Count, Flag, Positive, Whole, checked
from seqlab.types import TargetInfo, Writer

#: What ``<unk>`` of a reference is replaced by, so that no unknown word of an answer equals it.
_OTHER = "\ufffd"


_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
#: The rules of mteval-v13a.pl (NIST 2009): marks, points and commas but between digits, hyphens
#: after digits.
_13A = tuple(
    (re.compile(pattern), cut)
    for pattern, cut in (
        (r"([{-~[-` -&(-+:-@/])", r" \1 "),
        (r"([^0-9])([.,])", r"\1 \2 "),
        (r"([.,])([^0-9])", r" \1 \2"),
        (r"([0-9])(-)", r"\1 \2 "),
    )
)


class TextMetric(TaskMetric):
    """A metric that compares texts with all their references.

    Answers and references are written as text by the target's tokenizer. An unknown word of a
    reference equals nothing. A head that stands alone, without the data's tokenizer, is measured on
    the ids as words.

    Args:
        target: of kind ``tokens``.

    Attributes:
        decode: ids to text; given by who has the tokenizer.
    """

    needs = ("tokens",)
    higher_is_better = True
    decode: Writer | None = None

    def __init__(self, target: TargetInfo) -> None:
        super().__init__(target)
        self._size = target.size

    def texts(self, outcome: Outcome) -> tuple[list[str], list[list[str]]]:
        """The answers, and the references of each."""
        sources = outcome.tokens or [[] for _ in outcome.answer]
        rows = list(zip(outcome.answer, outcome.gold, sources, strict=True))
        answers = [self._text(answer, source, "<unk>") for answer, _, source in rows]
        references = [
            [self._text(ids, source, _OTHER) for ids in accepted] for _, accepted, source in rows
        ]
        return answers, references

    def _text(self, ids: Sequence[int], source: Sequence[str], unknown: str) -> str:
        """As text: with copied words as the source has them, and ``unknown`` for the others."""
        if self.decode is None:
            return " ".join(map(str, ids))
        # the decoder writes <unk> for an id beyond the vocabulary, here id 1
        known = [index if index < self._size else 1 for index in ids]
        words = [
            source[index - self._size - 1] if index > self._size else unknown
            for index in ids
            if index >= self._size or index == 1
        ]
        parts = self.decode(known).split("<unk>")
        if len(parts) != len(words) + 1:
            return unknown.join(parts)
        return "".join(chain.from_iterable(zip(parts, [*words, ""], strict=True)))


class BLEU(TextMetric):
    """How many n-grams of the answers stand in a reference, too short answers punished.

        BLEU = min(1, e^(1 - r / c)) * (p_1 p_2 ... p_n)^(1/n)

    with ``p_k`` the share of k-grams found over all rows, c the length of all answers and r that of
    the references nearest in length, of two as near the shorter (Papineni et al. 2002), on texts
    cut as sacrebleu cuts them (Post 2018). The numbers are those of sacrebleu, as a fraction.

    Args:
        target: of kind ``tokens``.
        tokenize: how a text is cut: ``13a``, as the NIST's mteval does, at marks, too; ``char``,
            into characters; ``none``, at spaces.
        n_gram: the longest n-gram.
        smooth: add 1 to found and all n-grams above the first (Lin and Och 2004).
        lowercase: case does not count.

    >>> bleu = BLEU(TargetInfo("tokens", 9), n_gram=2)
    >>> bleu.update(Outcome([[2, 3, 4]], [[[2, 3, 5], [2, 3, 4, 5]]]))
    >>> round(float(bleu.compute()), 4)
    1.0
    """

    @checked
    def __init__(
        self,
        target: TargetInfo,
        *,
        tokenize: Literal["13a", "char", "none"] = "13a",
        n_gram: Count = 4,
        smooth: Flag = False,
        lowercase: Flag = False,
    ) -> None:
        super().__init__(target)
        self.tokenize, self.lowercase = tokenize, lowercase
        self.metric = BLEUScore(n_gram, smooth)

    def update(self, outcome: Outcome) -> None:
        """Count one batch."""
        answers, references = self.texts(outcome)
        if answers:
            # torchmetrics takes the first of two that are as near
            cut = [sorted(map(self._cut, row), key=_count) for row in references]
            self.metric.update(list(map(self._cut, answers)), cut)

    def compute(self) -> Tensor:
        """The score over all updates; NaN before the first."""
        if not self.metric.update_called:
            return torch.tensor(float("nan"))
        value: Tensor = self.metric.compute()
        return value

    def reset(self) -> None:
        """Start anew."""
        super().reset()
        self.metric.reset()

    def _cut(self, text: str) -> str:
        """A text with its tokens between single spaces."""
        text = text.lower() if self.lowercase else text
        if self.tokenize == "char":
            text = " ".join(text)
        if self.tokenize == "13a":
            for written, mark in _ENTITIES:
                text = text.replace(written, mark)
            text = f" {text} "
            for pattern, cut in _13A:
                text = pattern.sub(cut, text)
        return " ".join(text.split())


def _count(text: str) -> int:
    return len(text.split())


class ChrF(TextMetric):
    """The F-score of character n-grams (Popovic 2015), recall counting ``beta`` times as much.

        chrF = (1 + beta^2) P R / (beta^2 P + R)

    P and R are the means, over n = 1 ... n_char, of the shares of all n-grams of answers that stand
    in their references, and the other way round; spaces are left out. Orders that no row is long
    enough for do not count. Of several references a row counts the one it is nearest to. With
    ``n_word`` 2 word n-grams count beside those of characters: chrF++ (Popovic 2017). The numbers
    are those of sacrebleu (Post 2018), as a fraction.

    Args:
        target: of kind ``tokens``.
        n_char: the longest character n-gram.
        n_word: the longest word n-gram; 0 for none.
        beta: the weight of recall.
        lowercase: case does not count.

    >>> chrf = ChrF(TargetInfo("tokens", 9))
    >>> chrf.decode = Writer(lambda ids: "".join("  abcdefg"[i] for i in ids))
    >>> chrf.update(Outcome([[2, 3, 4]], [[[2, 3, 5], [2, 3, 4, 5]]]))
    >>> round(float(chrf.compute()), 4)
    0.6886
    """

    counts: Tensor

    @checked
    def __init__(
        self,
        target: TargetInfo,
        *,
        n_char: Count = 6,
        n_word: Whole = 0,
        beta: Positive = 2.0,
        lowercase: Flag = False,
    ) -> None:
        super().__init__(target)
        self.n_char, self.n_word, self.beta, self.lowercase = n_char, n_word, beta, lowercase
        zeros = torch.zeros(n_char + n_word, 3, dtype=torch.long)
        self.add_state("counts", zeros, dist_reduce_fx="sum")

    def update(self, outcome: Outcome) -> None:
        """Count one batch."""
        for answer, accepted in zip(*self.texts(outcome), strict=True):
            grams = self._grams(answer)
            found = [_overlap(grams, self._grams(reference)) for reference in accepted]
            # of equal ones the first
            best = max(found, key=lambda counts: _f_score(counts, self.beta))
            self.counts += torch.tensor(best, device=self.counts.device)

    def compute(self) -> Tensor:
        """The score over all updates; 0 before the first."""
        return torch.tensor(_f_score(self.counts.tolist(), self.beta))

    def _grams(self, text: str) -> list[Counter[Any]]:
        """The n-grams of each order, those of characters first."""
        text = text.lower() if self.lowercase else text
        words = text.split()
        characters, parts = "".join(words), [part for word in words for part in _cut(word)]
        return [
            *(_ngrams(characters, n) for n in range(1, self.n_char + 1)),
            *(_ngrams(parts, n) for n in range(1, self.n_word + 1)),
        ]


def _ngrams(pieces: Sequence[str], n: int) -> Counter[Any]:
    return Counter(tuple(pieces[i : i + n]) for i in range(len(pieces) - n + 1))


def _cut(word: str) -> list[str]:
    """A word without a mark at its end or else at its beginning, and the mark."""
    for place in (len(word) - 1, 0):
        if len(word) > 1 and word[place] in string.punctuation:
            return [part for part in (word[:place], word[place], word[place + 1 :]) if part]
    return [word]


def _overlap(answer: list[Counter[Any]], reference: list[Counter[Any]]) -> list[list[int]]:
    """For each order the n-grams of the answer, of the reference, and those they share.

    Those of an answer do not count where the reference is too short to have any.
    """
    return [
        [a.total() if r else 0, r.total(), (a & r).total()]
        for a, r in zip(answer, reference, strict=True)
    ]


def _f_score(counts: Sequence[Sequence[int]], beta: float) -> float:
    shares = [(both / given, both / right) for given, right, both in counts if given and right]
    if not shares:
        return 0.0
    p, r = (sum(share) / len(shares) for share in zip(*shares, strict=True))
    return (1 + beta**2) * p * r / (beta**2 * p + r) if p + r else 0.0
