"""Wrappers with one bug each. Do not use them; the conformance kit must find them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from seqlab.layers.base import Layer, combined_mask
from seqlab.wrappers.base import Wrapper
from seqlab.wrappers.bidirectional import Bidirectional
from seqlab.wrappers.stacked import Stacked


class _NeverReversed(Bidirectional):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.backward_layer.reverse_()


class NeverReverses(Wrapper):
    """A bidirectional layer whose backward layer runs forward."""

    def build(self, make_layer, input_size):
        return _NeverReversed(make_layer(input_size), "concat", make_layer(input_size))


class _FlipsPadding(Bidirectional):
    """Both layers run forward; the second on the flipped padded batch."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.backward_layer.reverse_()

    def forward(self, x_BTD, state=None, lengths=None, mask=None):
        first, second = (None, None) if state is None else state
        mask = combined_mask(x_BTD, lengths, mask)
        if mask is not None:
            x_BTD = x_BTD.masked_fill(~mask.unsqueeze(-1), 0.0)
        forward, forward_state = self.forward_layer(x_BTD, first, None, mask)
        backward, backward_state = self.backward_layer(x_BTD.flip(1), second)
        output = torch.cat([forward, backward.flip(1)], -1)
        if mask is not None:
            output = output.masked_fill(~mask.unsqueeze(-1), 0.0)
        return output, type(self.initial_state(1))(forward_state, backward_state)


class FlipsPadding(Wrapper):
    """A bidirectional layer whose backward half starts in the padding."""

    def build(self, make_layer, input_size):
        return _FlipsPadding(make_layer(input_size), "concat", make_layer(input_size))


class _LosesPlace(Bidirectional):
    def forward(self, x_BTD, state=None, lengths=None, mask=None, reset=None):
        output, final = super().forward(x_BTD, state, lengths, mask, reset)
        half = self.directions[0]
        mask = combined_mask(x_BTD, lengths, mask)
        output = torch.cat([output[..., :half], output[..., half:].flip(1)], -1)
        if mask is not None:
            output = output.masked_fill(~mask.unsqueeze(-1), 0.0)
        return output, final


class LosesPlace(Wrapper):
    """The backward half comes out in the order of running, not of time."""

    def build(self, make_layer, input_size):
        return _LosesPlace(make_layer(input_size), "concat", make_layer(input_size))


class _IgnoresMask(Stacked):
    def forward(self, x_BTD, state=None, lengths=None, mask=None, reset=None):
        states = [None] * len(self.layers) if state is None else state
        value, first = self.layers[0](x_BTD, states[0], lengths, mask, reset)
        output, second = self.layers[1](value, states[1])
        return output, (first, second)


class IgnoresMask(Wrapper):
    """Its second layer is not told of the padding."""

    def build(self, make_layer, input_size):
        first = make_layer(input_size)
        return _IgnoresMask([first, make_layer(first.output_size)])


class _Simple(Layer):
    """What a wrapper around one layer hands on."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.input_size, self.output_size = layer.input_size, layer.output_size
        self.final_size, self.directions = layer.final_size, layer.directions

    def forward(self, x_BTD, state=None, lengths=None, mask=None, reset=None):
        return self.layer(x_BTD, state, lengths, mask, reset)

    def initial_state(self, batch_size, *, device=None, dtype=None):
        return self.layer.initial_state(batch_size, device=device, dtype=dtype)

    def final_output(self, state):
        return self.layer.final_output(state)

    def step(self, x_BD, state):
        return self.layer.step(x_BD, state)

    @property
    def reverse(self):
        return self.layer.reverse

    def reverse_(self):
        self.layer.reverse_()


class _Sleepless(_Simple):
    def forward(self, x_BTD, state=None, lengths=None, mask=None, reset=None):
        output, final = self.layer(x_BTD, state, lengths, mask, reset)
        return F.dropout(output, 0.2), final


class DropoutAtInference(Wrapper):
    """Its dropout is never switched off."""

    def build(self, make_layer, input_size):
        return _Sleepless(make_layer(input_size))


class _Liar(_Simple):
    def __init__(self, layer):
        super().__init__(layer)
        self.output_size = layer.output_size + 1
        self.directions = (self.output_size,)


class LyingSize(Wrapper):
    """It states one feature more than it gives."""

    def build(self, make_layer, input_size):
        return _Liar(make_layer(input_size))


class _OneWay(_Simple):
    def reverse_(self):
        pass


class CannotTurn(Wrapper):
    """Its ``reverse_`` does nothing."""

    def build(self, make_layer, input_size):
        return _OneWay(make_layer(input_size))


class _TurnsNameOnly(_Simple):
    def __init__(self, layer):
        super().__init__(layer)
        self.turned = False

    @property
    def reverse(self):
        return self.turned

    def reverse_(self):
        self.turned = not self.turned


class TurnsNameOnly(Wrapper):
    """It says that it turned, and runs forward as before."""

    def build(self, make_layer, input_size):
        return _TurnsNameOnly(make_layer(input_size))


class SharedWeights(Wrapper):
    """Both of its layers are one."""

    def build(self, make_layer, input_size):
        layer = make_layer(input_size)
        return Stacked([layer, layer])


class _StepsTwice(_Simple):
    def step(self, x_BD, state):
        _, state = self.layer.step(x_BD, state)
        return self.layer.step(x_BD, state)


class StepDiffers(Wrapper):
    """Its ``step`` is not the step of its sequence."""

    def build(self, make_layer, input_size):
        return _StepsTwice(make_layer(input_size))


class _HidesLayer(_Simple):
    def __init__(self, layer):
        super().__init__(layer)
        del self.layer
        self.hidden_layers = [layer]

    def __getattr__(self, name):
        if name == "layer":
            return self.hidden_layers[0]
        return super().__getattr__(name)


class HiddenLayer(Wrapper):
    """Its layer stands in a plain list, where no optimiser finds it."""

    def build(self, make_layer, input_size):
        return _HidesLayer(make_layer(input_size))


class _SwapsFinal(Bidirectional):
    def final_output(self, state):
        forward = self.forward_layer.final_output(state[0])
        return torch.cat([self.backward_layer.final_output(state[1]), forward], -1)


class SwapsFinal(Wrapper):
    """Its final output has the backward half first, its outputs the forward half."""

    def build(self, make_layer, input_size):
        return _SwapsFinal(make_layer(input_size), "concat", make_layer(input_size))


class _ForgetsPenalty(_Simple):
    def regularization_loss(self):
        return torch.zeros((), dtype=torch.float64)


class ForgetsPenalty(Wrapper):
    """The penalties of its inner layer are lost."""

    def build(self, make_layer, input_size):
        return _ForgetsPenalty(make_layer(input_size))


class _StepsIntoFuture(_Simple):
    def forward(self, x_BTD, state=None, lengths=None, mask=None, reset=None):
        output, final = self.layer(x_BTD, state, lengths, mask, reset)
        mask = combined_mask(x_BTD, lengths, mask)
        total = x_BTD if mask is None else x_BTD.masked_fill(~mask.unsqueeze(-1), 0.0)
        total = total.sum((1, 2), keepdim=True)
        if mask is not None:
            total = total * mask.unsqueeze(-1)
        return output + total, final


class SeesFuture(Wrapper):
    """It adds the sum of the whole sequence to each step, and answers single steps all the same."""

    def build(self, make_layer, input_size):
        return _StepsIntoFuture(make_layer(input_size))


class _KnowsState(_Simple):
    def final_output(self, state):
        return state.hidden


class KnowsState(Wrapper):
    """It reads the field of a cell's state in place of asking the layer inside."""

    def build(self, make_layer, input_size):
        return _KnowsState(make_layer(input_size))


class _CutAtHoles(_Simple):
    def forward(self, x_BTD, state=None, lengths=None, mask=None, reset=None):
        mask = combined_mask(x_BTD, lengths, mask)
        if mask is not None:
            full = mask.all(1)
            x_BTD = torch.where(full[:, None, None], x_BTD, x_BTD.detach())
        return self.layer(x_BTD, state, None, mask, reset)


class CutAtHoles(Wrapper):
    """Rows with masked steps send no gradient back to their input."""

    def build(self, make_layer, input_size):
        return _CutAtHoles(make_layer(input_size))


class _ClearsPadding(_Simple):
    def forward(self, x_BTD, state=None, lengths=None, mask=None, reset=None):
        mask = combined_mask(x_BTD, lengths, mask)
        if mask is not None and not x_BTD.requires_grad:
            x_BTD[~mask] = 0.0
        return self.layer(x_BTD, state, None, mask, reset)


class ClearsPadding(Wrapper):
    """It clears the padding of the caller's input in place."""

    def build(self, make_layer, input_size):
        return _ClearsPadding(make_layer(input_size))
