"""From a vector to log probabilities of a vocabulary's entries: full, tied or adaptive softmax.

An entry that cannot come at a place, such as ``<bos>`` after some text, has probability 0 there,
and the others sum to 1.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.errors import OptionError
from seqlab.heads.precision import at_least_float32

NEVER = float("-inf")


class VocabularyScores(nn.Module, ABC):
    """``[N, width]`` to log probabilities; ``never`` are the ids that cannot come."""

    width: int

    @abstractmethod
    def all(self, hidden: Tensor, never: Sequence[int]) -> Tensor:
        """``[N, V]``: the log probability of each entry, at least float32."""

    def scorer(
        self, never: Sequence[int], scale: float = 1.0
    ) -> tuple[Tensor, Callable[[Tensor, Tensor], Tensor]]:
        """For many steps: a bias ``[V]``, and what makes scores of ``hidden`` and what is added.

        With the bias added the scores are ``scale`` times the log probabilities, up to a number
        that all entries of a row share; so the best entry, or a drawn one, needs no softmax.

        Args:
            never: the ids that cannot come.
            scale: of the scores, above 0.

        Returns:
            The bias, and a function of ``hidden [N, width]`` and ``added [N, V]``.
        """
        like = next(self.parameters())
        size = len(self.all(like.new_zeros(1, self.width), never)[0])
        bias = torch.zeros(size, dtype=at_least_float32(like).dtype, device=like.device)
        return bias, lambda hidden, added: added + scale * self.all(hidden, never)

    def of(self, hidden: Tensor, ids_N: Tensor, never: Sequence[int]) -> Tensor:
        """``[N]``: those of some ids, one a row."""
        return self.all(hidden, never).gather(1, ids_N.unsqueeze(1)).squeeze(1)


class FullSoftmax(VocabularyScores):
    """``softmax(W h + b)``; W may be an embedding's table (Press and Wolf 2017; Inan et al. 2017).

    Args:
        width: of h.
        size: V.
        tied: W is to be given by ``share``.
    """

    def __init__(self, width: int, size: int, *, tied: bool = False) -> None:
        super().__init__()
        self.width = width
        self.output = nn.Linear(width, size)
        if tied:
            self.output.register_parameter("weight", None)
        nn.init.zeros_(self.output.bias)

    def share(self, table: nn.Embedding) -> None:
        """Take a table as W, drawn anew: scores of its usual size would be far too large."""
        nn.init.normal_(table.weight, std=table.embedding_dim**-0.5)
        self.output.weight = table.weight

    def all(self, hidden: Tensor, never: Sequence[int]) -> Tensor:
        """See the base class."""
        scores = at_least_float32(self.output(hidden))
        return _without(scores, never).log_softmax(-1)

    def scorer(
        self, never: Sequence[int], scale: float = 1.0
    ) -> tuple[Tensor, Callable[[Tensor, Tensor], Tensor]]:
        """See the base class."""
        weight = self.output.weight
        bias = _without(at_least_float32(self.output.bias) * scale, never)
        if bias.dtype != weight.dtype:
            return bias, lambda hidden, added: added + scale * F.linear(hidden, weight)
        columns = weight.t()
        return bias, lambda hidden, added: torch.addmm(added, hidden, columns, alpha=scale)


class AdaptiveSoftmax(VocabularyScores):
    """The adaptive softmax of Grave et al. (2017), "Efficient softmax approximation for GPUs".

    Frequent entries are scored one by one, each cluster of rare ones first as a whole, and its
    entries by a map of a quarter, a sixteenth ... of the width. The ids must go from frequent to
    rare, as those of ``chars``, ``words`` and ``tokens`` do.

    Args:
        width: of h.
        size: V.
        cutoffs: the first id of each cluster, rising, above the marks and below V.
        marks: the largest id of a mark.

    Raises:
        OptionError: they are not, or the width is too small for so many.
    """

    def __init__(self, width: int, size: int, cutoffs: Sequence[int], marks: int) -> None:
        super().__init__()
        rising = all(a < b for a, b in zip([marks, *cutoffs], [*cutoffs, size], strict=True))
        if not cutoffs or not rising:
            raise OptionError(
                f"cutoffs: expected ids that rise, above {marks} and below the {size} entries of "
                f"the vocabulary, got {list(cutoffs)}"
            )
        if width < 4 ** len(cutoffs):
            least = 4 ** len(cutoffs)
            raise OptionError(f"cutoffs: so many clusters need a width of {least}, it is {width}")
        self.width = width
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(width, size, list(cutoffs))

    def all(self, hidden: Tensor, never: Sequence[int]) -> Tensor:
        """See the base class."""
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = at_least_float32(hidden)
            found: Tensor = self.softmax.log_prob(hidden)
            return _without(found - self._rest(hidden, never), never)

    def of(self, hidden: Tensor, ids_N: Tensor, never: Sequence[int]) -> Tensor:
        """See the base class; only the clusters that are met are computed."""
        if not len(ids_N):
            return at_least_float32(hidden).sum(-1)
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = at_least_float32(hidden)
            found: Tensor = self.softmax(hidden, ids_N).output
            return found - self._rest(hidden, never).squeeze(1)

    def _rest(self, hidden: Tensor, never: Sequence[int]) -> Tensor:
        """``[N, 1]``: the log of what the entries that can come have together."""
        scores = self.softmax.head(hidden)
        kept = _without(scores, never)
        rest: Tensor = kept.logsumexp(-1, keepdim=True) - scores.logsumexp(-1, keepdim=True)
        return rest


def _without(scores: Tensor, never: Sequence[int]) -> Tensor:
    make = _penalty.__wrapped__ if torch.compiler.is_exporting() else _penalty
    return scores + make(tuple(never), scores.shape[-1], scores.dtype, scores.device)


@functools.lru_cache(maxsize=64)
def _penalty(never: tuple[int, ...], size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """``[V]``: minus infinity for what can never come, else 0; kept, as each step asks for it."""
    with torch.inference_mode(mode=False):
        penalty = torch.zeros(size, dtype=dtype, device=device)
        penalty[list(never)] = NEVER
    return penalty
