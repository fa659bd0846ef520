"""The networks of a forecast: all steps by one map, or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.engines.calls import coming_steps
from seqlab.heads.classifier import Classifier
from seqlab.heads.decoder_network import Bridge, build_layer
from seqlab.heads.pooling import Poolings
from seqlab.heads.precision import at_least_float32
from seqlab.layers.base import Layer, step_with
from seqlab.types import Encoded, EncoderInfo

#: H steps, C values, P outputs for each value.
Size = tuple[int, int, int]


class AllSteps(nn.Module):
    """``[B, H, C, P]`` by one map of the pooled outputs and of all that is known ahead.

    Args:
        encoder: the sizes of what the encoder hands over.
        size: H, C and P.
        pooling: a registered pooling, or a list of them.
        **output: ``hidden_size``, ``activation`` and ``dropout`` of the map.
    """

    def __init__(self, encoder: EncoderInfo, size: Size, *, pooling: Any, **output: Any) -> None:
        super().__init__()
        self.size = size
        self.pooling = Poolings(encoder, pooling)
        steps, values, parameters = size
        width = self.pooling.output_size + steps * encoder.ahead_size
        self.output = Classifier(width, steps * values * parameters, **output)

    def forward(self, encoded: Encoded) -> Tensor:
        """The outputs."""
        pooled = self.pooling(encoded)
        if encoded.ahead is not None:
            pooled = torch.cat([pooled, encoded.ahead.flatten(1).to(pooled.dtype)], dim=1)
        return at_least_float32(self.output(pooled)).reshape(pooled.shape[0], *self.size)

    def layers(self) -> Sequence[Layer]:
        """No recurrent ones."""
        return ()


class StepByStep(nn.Module):
    """``[B, H, C, P]`` by a recurrent layer that reads what it wrote at the step before.

    Args:
        encoder: the sizes of what the encoder hands over.
        size: H, C and P.
        decoder: the layer, see ``seqlab.heads.decoder_network``; None: a GRU.
        truth: how often a step is shown the truth before it, in training.
        **output: ``hidden_size``, ``activation`` and ``dropout`` of the map after the layer.
    """

    def __init__(
        self,
        encoder: EncoderInfo,
        size: Size,
        *,
        decoder: Mapping[str, Any] | None,
        truth: float,
        **output: Any,
    ) -> None:
        super().__init__()
        self.size, self.truth = size, truth
        _, values, parameters = size
        if decoder is None:
            decoder = {"cell": {"name": "gru", "hidden_size": encoder.final_size}}
        self.layer = build_layer(decoder, values + encoder.ahead_size)
        self.bridge = Bridge(encoder.final_size, self.layer)
        self.output = Classifier(self.layer.output_size, values * parameters, **output)

    def forward(
        self,
        encoded: Encoded,
        before_BC: Tensor,
        written: Callable[[Tensor, int], Tensor],
        goal_BHC: Tensor | None,
    ) -> Tensor:
        """The outputs.

        Args:
            encoded: the encoder's results.
            before_BC: the last known step, as an output.
            written: the number that outputs ``[B, C, P]`` of a step stand for, as an output.
            goal_BHC: the truth as outputs, NaN where it is not known; None when predicting.
        """
        steps, values, parameters = self.size
        rows, x = before_BC.shape[0], before_BC
        initial = self.layer.initial_state(rows, device=x.device)
        state = self.bridge(encoded.final, initial)
        noise = None
        if self.training:
            noise = self.layer.sample_noise(rows, steps, device=x.device, dtype=x.dtype)
        found = []
        with coming_steps(steps):
            for step in range(steps):
                ahead = [] if encoded.ahead is None else [encoded.ahead[:, step].to(x.dtype)]
                given = torch.cat([x, *ahead], dim=1)
                output, state = step_with(
                    self.layer, given, state, None if noise is None else noise.at(step), None
                )
                flat = at_least_float32(self.output(output))
                found.append(flat.reshape(rows, values, parameters))
                x = self._shown(written(found[-1], step), goal_BHC, step).to(before_BC.dtype)
        return torch.stack(found, dim=1)

    def layers(self) -> Sequence[Layer]:
        """The decoder's."""
        return (self.layer,)

    def _shown(self, own_BC: Tensor, goal_BHC: Tensor | None, step: int) -> Tensor:
        """What the next step reads: the answer, or in training now and then the truth."""
        if goal_BHC is None or not self.training or not self.truth:
            return own_BC
        truth = goal_BHC[:, step].to(own_BC.dtype)
        drawn = torch.rand(own_BC.shape[0], 1, device=own_BC.device) < self.truth
        return torch.where(drawn & ~truth.isnan(), truth, own_BC)
