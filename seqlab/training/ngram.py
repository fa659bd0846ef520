"""A counted language model: what a trained one has to beat."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

from seqlab.data.processor import Processor
from seqlab.target_names import SOLE

Gram = tuple[int, ...]
_LONGEST, _MOST_GRAMS, _CHUNK = 6, 1_000_000, 1000


class _Counts:
    """Counts of grams of one length, and the discount that is taken from each of them.

    The discount is that of Ney, Essen and Kneser (1994), ``n_1 / (n_1 + 2 n_2)``, where n_r grams
    were counted r times.
    """

    def __init__(self, grams: Mapping[Gram, int]) -> None:
        self.grams = grams
        self.totals: Counter[Gram] = Counter()
        self.kinds: Counter[Gram] = Counter()
        for gram, count in grams.items():
            self.totals[gram[:-1]] += count
            self.kinds[gram[:-1]] += 1
        once, twice = (sum(count == r for count in grams.values()) for r in (1, 2))
        self.discount = once / (once + 2 * twice) if once else 0.5

    def mixed(self, gram: Gram, below: float) -> float:
        """``p(last | those before)``, from ``below``, the same with one token less before it."""
        total = self.totals[gram[:-1]]
        if not total:
            return below
        kept = max(self.grams.get(gram, 0) - self.discount, 0.0)
        return (kept + self.discount * self.kinds[gram[:-1]] * below) / total


class NGrams:
    """Interpolated Kneser-Ney models of all orders up to a largest one.

        p_k(x | h) = (max(c(h x) - D, 0) + D N(h) p_{k-1}(x | h')) / c(h)

    h' is h without its first token, N(h) the number of tokens seen after h. Below a model's own
    order, c counts how many tokens were seen before a gram (Kneser and Ney 1995; Chen and Goodman
    1999), or, where a text begins, how often it was. p_0 is even.

    Args:
        texts: ids of each text, marks included; the first of each is given.
        size: how many entries a text can go on with.
        longest: the largest order; it is lower where there are too many grams to hold.

    >>> grams = NGrams([[0, 1, 2, 1, 3]], size=3, longest=2)
    >>> round(sum(math.exp(grams.log_p([0, 1, x])[-1][-1]) for x in (1, 2, 3)), 9)
    1.0
    """

    def __init__(self, texts: Sequence[Sequence[int]], size: int, longest: int = _LONGEST) -> None:
        self.size = size
        raw: list[Counter[Gram]] = []
        for order in range(1, longest + 1):
            counted = Counter(gram for text in texts for gram in _grams(text, order))
            if order > 2 and len(counted) > _MOST_GRAMS:
                break
            raw.append(counted)
        begins = {text[0] for text in texts if text}
        self._raw = [_Counts(grams) for grams in raw]
        self._lower = [
            _Counts(_continued(grams, longer, begins)) for grams, longer in pairwise(raw)
        ]

    @property
    def longest(self) -> int:
        """The largest order."""
        return len(self._raw)

    def log_p(self, text: Sequence[int]) -> list[list[float]]:
        """For each token but the first, its log probability by each order."""
        found = []
        for place in range(1, len(text)):
            below, by_order = 1.0 / self.size, list[float]()
            for order in range(1, self.longest + 1):
                if order > place + 1:
                    by_order.append(by_order[-1])
                    continue
                gram = tuple(text[place + 1 - order : place + 1])
                by_order.append(math.log(self._raw[order - 1].mixed(gram, below)))
                if order < self.longest:
                    below = self._lower[order - 1].mixed(gram, below)
                    if order == place + 1:  # a text's beginning has no longer history
                        by_order[-1] = math.log(below)
            found.append(by_order)
        return found

    def mean(self, texts: Iterable[Sequence[int]]) -> list[float]:
        """The mean of ``-log p`` over all tokens, by each order."""
        totals, count = [0.0] * self.longest, 0
        for text in texts:
            for by_order in self.log_p(text):
                totals = [total - log for total, log in zip(totals, by_order, strict=True)]
                count += 1
        return [total / max(count, 1) for total in totals]


def _grams(text: Sequence[int], order: int) -> Iterator[Gram]:
    """All grams of an order that end behind the first token."""
    for end in range(max(order, 2), len(text) + 1):
        yield tuple(text[end - order : end])


def _continued(grams: Counter[Gram], longer: Counter[Gram], begins: set[int]) -> Counter[Gram]:
    """How many tokens were seen before each gram; of those at a beginning, how often they were."""
    counts = Counter(gram[1:] for gram in longer)
    counts.update({gram: n for gram, n in grams.items() if len(gram) > 1 and gram[0] in begins})
    return counts


def ngram_baseline(
    processor: Processor,
    train: Iterable[Mapping[str, Any]],
    validation: Iterable[Mapping[str, Any]],
    test: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
    """The n-gram model whose order is best on validation, measured as a language model is.

    Without validation rows it is the trigram model.
    """
    info = processor.info.target
    model = NGrams(list(_texts(processor, train)), info.size - 2)  # neither <pad> nor <bos>
    held_out = list(_texts(processor, validation))
    means = model.mean(held_out)
    order = 1 + means.index(min(means)) if held_out else min(3, model.longest)
    mean = model.mean(_texts(processor, test))[order - 1]
    values = {"perplexity": math.exp(mean), f"bits_per_{info.unit}": mean / math.log(2)}
    return {"name": f"{order}-gram, Kneser-Ney", **values}


def _texts(processor: Processor, rows: Iterable[Mapping[str, Any]]) -> Iterator[list[int]]:
    """The ids of each row, as the model sees them."""
    remaining = iter(rows)
    while chunk := list(islice(remaining, _CHUNK)):
        columns = {name: [row[name] for row in chunk] for name in processor.spec.columns}
        target: Any = processor.encode_columns(columns, str).targets[SOLE].values
        for index in range(len(chunk)):
            yield target.row(index).tolist()
