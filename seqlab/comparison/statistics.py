"""What a difference between contestants means: seeds and test rows drawn together.

The value of a run depends on its seed and on which rows the test set happens to have. Both are
drawn anew, and paired: contestants share the seeds and the rows. Rows are resampled (Efron, 1979).
A few seeds cannot be: n of them have fewer than n^n resamples, none beyond their own range. So the
mean over seeds is drawn from Student's t with n - 1 degrees of freedom, which is what a bootstrap
under the normal distribution with unknown variance draws. The rows that all seeds share and the
seeds are two crossed factors (Owen, 2007); their variances are told apart as in a two-way analysis
of variance, so that nothing counts twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

Values = npt.NDArray[np.float64]

#: How often the test rows are drawn anew.
RESAMPLES = 2000
#: How often a real difference of the size seen should be found, for the seeds that are needed.
POWER = 0.8
#: Seeds vary by at least this part of what chance does to the rows of each run alone.
_LEAST = 0.25
#: Nobody trains more seeds than this for one answer.
_MOST_SEEDS = 1000


def row_weights(blocks: int, resamples: int = RESAMPLES) -> Values:
    """``[resamples, blocks]``: how often each block of test rows is drawn, the same at each call.

    >>> row_weights(5, 3).sum(axis=1).tolist()
    [5.0, 5.0, 5.0]
    """
    draw = np.random.default_rng(blocks)
    return draw.multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples).astype(float)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, or a mean difference, with where else it may lie.

    Attributes:
        mean: over the seeds, on the test rows as they are.
        rows: ``[R]``: how far from it other test rows would bring it, for all seeds alike.
        seeds: the standard error that comes from the seeds.
        count: how many seeds.
    """

    mean: float
    rows: Values
    seeds: float
    count: int

    @classmethod
    def of(cls, values: Values, resampled: Values) -> Estimate:
        """From the runs of one contestant, or from the differences of two.

        Args:
            values: ``[S]``: a value a seed.
            resampled: ``[S, R]``: the values on other draws of the test rows.

        >>> import numpy as np
        >>> found = Estimate.of(np.array([0.5, 0.7]), np.array([[0.4, 0.6], [0.6, 0.8]]))
        >>> round(found.mean, 6), round(found.seeds, 6)
        (0.6, 0.1)
        """
        count, mean = len(values), float(values.mean())
        moved = resampled.mean(axis=0) - resampled.mean()
        if count == 1:
            return cls(mean, moved, math.inf, count)
        together = float(moved.var())
        alone = float(resampled.var(axis=1).mean())
        shared = max(0.0, (count * together - alone) / (count - 1))
        own = max(0.0, (alone - together) * count / (count - 1))
        if together > 0:
            moved = moved * math.sqrt(shared / together)
        # two or three seeds can be equal by chance, above all where values are shares of few rows
        between = max(float(values.var(ddof=1)), _LEAST * own)
        return cls(mean, moved, math.sqrt(between / count), count)

    def below(self, value: float) -> float:
        """The probability that the true mean is below a value."""
        distance = value - self.mean - self.rows
        if self.seeds == 0:
            return float(np.mean(distance > 0) + np.mean(distance == 0) / 2)
        if math.isinf(self.seeds):
            return 0.5
        return float(special.stdtr(self.count - 1, distance / self.seeds).mean())

    @property
    def p_value(self) -> float:
        """How probable so large a mean is where the true one is 0, in either direction."""
        below = self.below(0.0)
        return min(1.0, 2 * min(below, 1 - below))

    def interval(self, level: float) -> tuple[float, float] | None:
        """Where the true mean lies in all but ``level`` of cases; None with a single seed.

        Args:
            level: how often it may lie outside, such as 0.05.
        """
        if math.isinf(self.seeds):
            return None
        if self.seeds == 0:
            low, high = np.quantile(self.mean + self.rows, [level / 2, 1 - level / 2])
            return float(low), float(high)
        reach = self.seeds * float(special.stdtrit(self.count - 1, 1 - level / 4))
        reach += float(np.abs(self.rows).max(initial=0.0))

        def edge(share: float) -> float:
            ends = self.mean - 2 * reach, self.mean + 2 * reach
            return float(optimize.brentq(lambda value: self.below(value) - share, *ends))

        return edge(level / 2), edge(1 - level / 2)

    @property
    def fresh_pair(self) -> float:
        """The probability that a difference of one new seed is above 0, on these test rows."""
        spread = self.seeds * math.sqrt(self.count + 1)
        if spread == 0 or math.isinf(spread):
            return 0.5 + 0.5 * float(np.sign(self.mean)) * (not math.isinf(spread))
        return float(special.stdtr(self.count - 1, self.mean / spread))


def sign_permutation(differences: Values) -> float:
    """The permutation test of paired runs: the two contestants of each seed are exchanged.

    It supposes nothing of how the values are spread, and looks at the seeds alone. Its smallest
    answer with S seeds is ``2 / 2**S``: 0.25 with 3, 0.0625 with 5.

    >>> import numpy as np
    >>> sign_permutation(np.array([0.1, 0.2, 0.1]))
    0.25
    """
    if len(differences) < 2:
        return 1.0
    found = stats.permutation_test(
        (differences,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=9999,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float], level: float) -> list[tuple[float, bool]]:
    """For each test the level at which it is made, and whether it finds something (Holm, 1979).

    The smallest p-value is held against ``level / m``, the next against ``level / (m - 1)``, until
    one is too large; all others are held against the level of that one. So the chance of any false
    alarm is at most ``level``, and no more tests are lost than must be.

    >>> holm([0.04, 0.01, 0.5], 0.05)
    [(0.025, False), (0.016666666666666666, True), (0.025, False)]
    """
    found: list[tuple[float, bool]] = [(level, False)] * len(p_values)
    stopped: float | None = None
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        own = level / (len(p_values) - rank) if stopped is None else stopped
        right = stopped is None and p_values[index] <= own
        if not right:
            stopped = own
        found[index] = own, right
    return found


def seeds_needed(found: Estimate, level: float) -> int | None:
    """How many seeds would show a difference as large as the one seen in 4 of 5 comparisons.

    None where no number of seeds would, because the test rows are too few.

    Args:
        found: a difference that is undecided.
        level: of the test.

    >>> import numpy as np
    >>> seeds_needed(Estimate(0.01, np.zeros(3), 0.01, 3), 0.05)
    26
    """
    if found.count < 2 or found.mean == 0:
        return None
    one_seed, rows = found.seeds**2 * found.count, float(found.rows.var())
    counts = np.arange(found.count + 1, _MOST_SEEDS + 1)
    wanted = special.stdtrit(counts - 1, 1 - level / 2) + special.stdtrit(counts - 1, POWER)
    enough = abs(found.mean) >= wanted * np.sqrt(one_seed / counts + rows)
    return int(counts[enough.argmax()]) if enough.any() else None


def rows_needed(found: Estimate, level: float, rows: int) -> int | None:
    """How many test rows would show the difference with any number of seeds; None: these do."""
    if found.mean == 0:
        return None
    wanted = float(special.ndtri([1 - level / 2, POWER]).sum())
    factor = float(found.rows.var()) * (wanted / found.mean) ** 2
    return math.ceil(rows * factor) if factor >= 1 else None
