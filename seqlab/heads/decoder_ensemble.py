"""Several decoders that write one answer: at each step their probabilities are averaged.

    p(y_t | y_<t, x) = 1/n * sum over members of p_m(y_t | y_<t, x)

as in the ensembles of Sutskever, Vinyals and Le (2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.heads.attention import Memory
from seqlab.heads.coverage import Looked
from seqlab.heads.decoder_network import DecoderNetwork, DecoderState, Written
from seqlab.heads.precision import at_least_float32
from seqlab.types import Encoded, State


class EncodedTogether(tuple[Encoded, ...]):
    """One batch as each member's encoder has read it."""

    __slots__ = ()

    @property
    def mask(self) -> Tensor:
        """``[B, T]``, the same for all."""
        return self[0].mask


class DecoderEnsemble(nn.Module):
    """Stands where one ``DecoderNetwork`` would; for answers and measurements, not for training.

    Args:
        members: decoders over one vocabulary.

    Attributes:
        copies: whether a member may copy tokens of the source; the first that may says from where.
        input_feeding: whether a member needs one step at a time.
    """

    def __init__(self, members: Sequence[DecoderNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.copies = any(member.copies for member in members)
        self.input_feeding = any(member.input_feeding for member in members)

    def start(self, encoded: EncodedTogether) -> tuple[tuple[Memory, ...], tuple[State, ...]]:
        """See ``DecoderNetwork.start``; of each member."""
        begun = [m.start(one) for m, one in zip(self._networks(), encoded, strict=True)]
        return tuple(memory for memory, _ in begun), tuple(state for _, state in begun)

    def run(
        self, tokens_BU: Tensor, mask_BU: Tensor, memory: Sequence[Memory], state: Sequence[Any]
    ) -> Written:
        """See ``DecoderNetwork.run``; the scores are log probabilities."""
        each = zip(self._networks(), memory, state, strict=True)
        return _mean([m.run(tokens_BU, mask_BU, seen, before) for m, seen, before in each])

    def step(
        self,
        tokens_BK: Tensor,
        memory: Sequence[Memory],
        state: Sequence[DecoderState],
        mask_B: Tensor | None = None,
        noise: None = None,
    ) -> tuple[Written, tuple[State, ...]]:
        """See ``DecoderNetwork.step``; the scores are log probabilities."""
        each = zip(self._networks(), memory, state, strict=True)
        found = [m.step(tokens_BK, seen, before, mask_B, noise) for m, seen, before in each]
        return _mean([written for written, _ in found]), tuple(after for _, after in found)

    def sample_noise(self, rows: int, steps: int) -> None:
        """None: an ensemble is not trained."""
        del rows, steps

    def sources(self, memory: Sequence[Memory]) -> Memory:
        """The memory that says what the tokens of the source are."""
        return next((one for one in memory if one.ids is not None), memory[0])

    def _networks(self) -> list[DecoderNetwork]:
        return [member for member in self.members if isinstance(member, DecoderNetwork)]


def _mean(written: Sequence[Written]) -> Written:
    """Averaged probabilities and, of the members that look, averaged weights."""
    log_p = [at_least_float32(one.scores).log_softmax(-1) for one in written]
    mean = torch.logsumexp(torch.stack(log_p), 0) - math.log(len(log_p))
    looks = [one.looked for one in written if one.looked.context.shape[2]] or [written[0].looked]
    weights = torch.stack([look.weights for look in looks]).mean(0)
    return Written(mean, Looked(looks[0].context, weights))
