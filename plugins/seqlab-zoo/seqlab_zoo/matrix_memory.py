"""Cells whose state is a matrix for each head: mLSTM, gated linear attention, delta rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from seqlab import MatrixStateCell
from seqlab.cells.base import widened
from seqlab.cells.matrix import Writes
from torch import Tensor, nn

from seqlab_zoo.no_product import NO_PRODUCT

#: Below this squared length a vector is no longer made one unit long.
EPSILON = 1e-6


class MatrixMemory(MatrixStateCell):
    """What these cells share: one matrix and one bias for all that is made of the input.

    Class attributes:
        parts: the rows of the matrix by name, ``"units"`` (H of them) or ``"heads"`` (N).
        normalises: whether what is read of each head is divided by its root mean square, times a
            trained gain (Zhang and Sennrich, "Root mean square layer normalization", 2019).

    Parameters: ``weight [R, D]``, ``bias [R]``, and ``gain [H]``.
    """

    expected_failures: ClassVar[dict[str, str]] = NO_PRODUCT
    parts: ClassVar[Mapping[str, str]] = {}
    normalises: ClassVar[bool] = True
    made_in_setup = ("weight", "bias", "gain")

    def make_parameters(self) -> None:
        """The matrix, the bias and the gain."""
        rows = sum(self._widths())
        self.weight = nn.Parameter(torch.empty(rows, self.input_size))
        self.bias = nn.Parameter(torch.empty(rows))
        self.gain = nn.Parameter(torch.empty(self.hidden_size)) if self.normalises else None

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Glorot-uniform parts of the matrix (Glorot and Bengio, 2010), zero biases."""
        for part in self.weight.split(self._widths()):
            nn.init.xavier_uniform_(part)
        self.bias.zero_()
        if self.gain is not None:
            self.gain.fill_(1.0)

    def part(self, x_BTD: Tensor, first: str, last: str | None = None) -> list[Tensor]:
        """``W x + b`` of the parts from one to another, ``[B, T, N, width]`` each."""
        names, widths = list(self.parts), self._widths()
        start, stop = names.index(first), names.index(last or first) + 1
        rows = slice(sum(widths[:start]), sum(widths[:stop]))
        made = F.linear(x_BTD, self.weight[rows], self.bias[rows])
        return [p.unflatten(-1, (self.heads, -1)) for p in made.split(widths[start:stop], -1)]

    def bias_of(self, name: str) -> Tensor:
        """The rows of the bias that belong to a part, as a view."""
        place = list(self.parts).index(name)
        return self.bias.split(self._widths())[place]

    def normal(self, y_BTNV: Tensor) -> Tensor:
        """What was read, each head over its root mean square, side by side: ``[B, T, H]``."""
        wide = y_BTNV.to(widened(y_BTNV.dtype))
        size = wide.square().mean(-1, keepdim=True)
        shown = (wide * torch.rsqrt(size + EPSILON)).to(y_BTNV.dtype)
        found: Tensor = shown.flatten(-2) * self.gain
        return found

    def _widths(self) -> list[int]:
        width = {"units": self.hidden_size, "heads": self.heads}
        return [width[kind] for kind in self.parts.values()]


class MLSTM(MatrixMemory):
    """The LSTM with a matrix for its memory and exponential gates; it may be run by chunks.

    Beck et al., "xLSTM: Extended long short-term memory" (2024), equations 19 to 27, for each head
    of K = H / heads units:

        q_t = W_q x_t + b_q,  k_t = (W_k x_t + b_k) / sqrt(K),  v_t = W_v x_t + b_v
        i_t = exp(w_i x_t + b_i),  f_t = sigmoid(w_f x_t + b_f)     one number for each head
        C_t = f_t C_{t-1} + i_t v_t k_t^T
        n_t = f_t n_{t-1} + i_t k_t
        h_t = sigmoid(W_o x_t + b_o) * C_t q_t / max(|n_t q_t|, 1)

    The biases of the forget gates start from 3 to 6, as in the authors' code. The memory holds C
    and n side by side, divided by the exponential of a stabiliser (their equation 15).

    Args:
        input_size: D.
        hidden_size: H.
        heads: the number of matrices.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(MLSTM(3, 6, heads=2))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 6])
    """

    parts: ClassVar[Mapping[str, str]] = {
        "query": "units", "key": "units", "value": "units", "input": "heads", "forget": "heads",
        "output": "units",
    }  # fmt: skip
    normalises = False
    exponential = True
    extra_values = 1

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """As the base class, with forget gates that keep."""
        super().reset_parameters()
        self.bias_of("forget").copy_(torch.linspace(3.0, 6.0, self.heads))

    def writes(self, x_BTD: Tensor) -> Writes:
        """Values have a column of ones, which makes the normaliser."""
        query, key, value, input_, forget = self.part(x_BTD, "query", "forget")
        value = torch.cat([value, torch.ones_like(value[..., :1])], -1)
        return Writes(
            query, key * self.head_size**-0.5, value, F.logsigmoid(forget), input_.squeeze(-1)
        )

    def readout(self, x_BTD: Tensor, y_BTNV: Tensor, stabiliser_BTN: Tensor) -> Tensor:
        """The memory over its normaliser, behind the output gate."""
        least = torch.exp(-stabiliser_BTN).unsqueeze(-1)
        read = y_BTNV[..., :-1] / torch.maximum(y_BTNV[..., -1:].abs(), least)
        (output,) = self.part(x_BTD, "output")
        return (torch.sigmoid(output) * read).flatten(-2)


class GLA(MatrixMemory):
    """Gated linear attention: each row of a head's matrix fades at a rate of its own.

    Yang, Wang, Shen, Panda and Kim, "Gated linear attention transformers with hardware-efficient
    training" (2024), for each head:

        a_t = sigmoid(W_a x_t + b_a)^(1/16)
        S_t = diag(a_t) S_{t-1} + k_t v_t^T
        y_t = swish(W_r x_t + b_r) * norm(S_t^T q_t / sqrt(K))

    Deviations: W_a is a full matrix (the paper's has rank 16), keys are as wide as values, and the
    norm is by the root mean square, as in flash-linear-attention; what follows it is the next
    layer's.

    Args:
        input_size: D.
        hidden_size: H.
        heads: the number of matrices.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(GLA(3, 6, heads=2))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 6])
    """

    parts: ClassVar[Mapping[str, str]] = {
        "query": "units", "key": "units", "value": "units", "decay": "units", "output": "units",
    }  # fmt: skip

    def writes(self, x_BTD: Tensor) -> Writes:
        """Decays are near 1 at first."""
        query, key, value, decay = self.part(x_BTD, "query", "decay")
        return Writes(query * self.head_size**-0.5, key, value, F.logsigmoid(decay) / 16)

    def readout(self, x_BTD: Tensor, y_BTNV: Tensor, stabiliser_BTN: Tensor) -> Tensor:
        """What was read, normalised, behind the output gate."""
        del stabiliser_BTN
        (output,) = self.part(x_BTD, "output")
        return F.silu(output).flatten(-2) * self.normal(y_BTNV)


class DeltaNet(MatrixMemory):
    """A memory in which a write replaces what its key has read.

    Schlag, Irie and Schmidhuber, "Linear transformers are secretly fast weight programmers" (2021);
    activations and norms are those of Yang et al., "Parallelizing linear transformers with the
    delta rule over sequence length" (2024). For each head, with swish before the unit lengths:

        q_t, k_t of length 1, v_t = swish(W_v x_t + b_v)
        r_t = sigmoid(w_r x_t + b_r)
        S_t = S_{t-1} + r_t k_t (v_t - S_{t-1}^T k_t)^T
        y_t = norm(S_t^T q_t)

    Args:
        input_size: D.
        hidden_size: H.
        heads: the number of matrices.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(DeltaNet(3, 6, heads=2))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 6])
    """

    parts: ClassVar[Mapping[str, str]] = {
        "query": "units", "key": "units", "value": "units", "rate": "heads",
    }  # fmt: skip
    delta = True

    def writes(self, x_BTD: Tensor) -> Writes:
        """Queries and keys have length 1."""
        query, key, value, rate, *rest = self.part(x_BTD, "query", list(self.parts)[-1])
        rate = torch.sigmoid(rate.squeeze(-1))
        return Writes(unit(query), unit(key), F.silu(value), self.decay(*rest), rate=rate)

    def decay(self, *parts: Tensor) -> Tensor | None:
        """The logarithm of what is left of the memory; here all of it."""
        del parts
        return None

    def readout(self, x_BTD: Tensor, y_BTNV: Tensor, stabiliser_BTN: Tensor) -> Tensor:
        """What was read, normalised."""
        del x_BTD, stabiliser_BTN
        return self.normal(y_BTNV)


class GatedDeltaNet(DeltaNet):
    """The delta rule with a gate that lets the whole memory of a head fade.

    Yang, Kautz and Hatamizadeh, "Gated delta networks: Improving Mamba2 with delta rule" (2025):

        a_t = exp(-exp(A) softplus(w_a x_t + b_a))
        S_t = a_t S_{t-1} + r_t k_t (v_t - a_t S_{t-1}^T k_t)^T

    and the rest as ``DeltaNet``. Deviation: no convolution and no output gate, which other layers
    may be.

    Args:
        input_size: D.
        hidden_size: H.
        heads: the number of matrices.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(GatedDeltaNet(3, 6, heads=2))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 6])
    """

    parts: ClassVar[Mapping[str, str]] = {**DeltaNet.parts, "decay": "heads"}
    made_in_setup = (*DeltaNet.made_in_setup, "log_speed")

    def make_parameters(self) -> None:
        """As the base class, with a speed for each head."""
        super().make_parameters()
        self.log_speed = nn.Parameter(torch.empty(self.heads))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Memories of all heads fade by a third in some hundred steps to a few."""
        super().reset_parameters()
        self.log_speed.copy_(torch.linspace(-5.0, -1.0, self.heads))

    def decay(self, *parts: Tensor) -> Tensor:
        """See the class."""
        speed = torch.exp(self.log_speed).unsqueeze(-1)
        return -speed * F.softplus(parts[0])


def unit(value: Tensor) -> Tensor:
    """Swish, then length 1."""
    made = F.silu(value.to(widened(value.dtype)))
    return (made * torch.rsqrt(made.square().sum(-1, keepdim=True) + EPSILON)).to(value.dtype)
