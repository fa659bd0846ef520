"""A third party's cell, and hypothesis strategies over cells, options, wrappers and masks."""

from __future__ import annotations

import seqlab
import torch
from hypothesis import strategies as st
from seqlab.cells.base import HiddenState


class MinimalGatedUnit(seqlab.GatedCell):
    """The minimal gated unit (Zhou et al., 2016), as a plugin's author would write it."""

    gates = ("forget", "candidate")
    second_gates = ("candidate",)
    State = HiddenState

    def second_input(self, x, h, state):
        return self.recurrent_activation(x.forget + h.forget) * state.hidden

    def update(self, x, h, state):
        forget = self.recurrent_activation(x.forget + h.forget)
        new = self.activation(x.candidate + h.candidate)
        hidden = (1 - forget) * state.hidden + forget * new
        return hidden, HiddenState(hidden)


CELLS = {
    "rnn": (seqlab.get("cell", "rnn"), {}),
    "lstm": (seqlab.get("cell", "lstm"), {}),
    "gru": (seqlab.get("cell", "gru"), {}),
    "gru_before": (seqlab.get("cell", "gru"), {"reset_after": False}),
    "peepholes": (seqlab.get("cell", "lstm"), {"peepholes": True}),
    "coupled": (seqlab.get("cell", "lstm"), {"coupled": True}),
    "mgu": (MinimalGatedUnit, {}),
}
OPTIONS = (
    {},
    {"layer_norm": True},
    {"zoneout": 0.2},
    {"use_bias": False},
    {"activation": "softsign", "recurrent_activation": "hard_sigmoid"},
    {"proj_size": 2},
    {"dropout": 0.3, "recurrent_dropout": 0.4, "weight_dropout": 0.2},
)
FORMS = ("plain", "reverse", "bidirectional", "stacked", "stack_of_bi", "bi_of_stack", "residual")
MERGES = ("concat", "sum", "mul", "ave", "gate", "attention")
WIDTH = 3

cells = st.sampled_from(sorted(CELLS))
options = st.sampled_from(OPTIONS)
wrapped = st.tuples(st.sampled_from(FORMS), st.sampled_from(MERGES))
seeds = st.integers(0, 2**16)


@st.composite
def masks(draw, batch=3):
    """``[B, T]`` with holes, right-padded or whole; rows may be empty, T from 1 to 6."""
    steps = draw(st.integers(1, 6))
    kind = draw(st.sampled_from(("whole", "padded", "holes")))
    if kind == "whole":
        return torch.ones(batch, steps, dtype=torch.bool)
    if kind == "padded":
        lengths = draw(st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
        return torch.arange(steps) < torch.tensor(lengths).unsqueeze(1)
    rows = st.lists(st.booleans(), min_size=steps, max_size=steps)
    return torch.tensor(draw(st.lists(rows, min_size=batch, max_size=batch)))


def fill(module, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator).double())
    return module


def one(name, changes, input_size=WIDTH, reverse=False, hidden=4):
    cls, own = CELLS[name]
    return seqlab.Recurrent(cls(input_size, hidden, **own, **changes), reverse=reverse)


def make(name, changes, form="plain", merge="concat", seed=0):
    """A layer in float64 and evaluation mode, every weight different."""
    first = one(name, changes)
    width = first.output_size
    if form == "reverse":
        layer = one(name, changes, reverse=True)
    elif form == "bidirectional":
        layer = seqlab.Bidirectional(first, merge)
    elif form == "stacked":
        layer = seqlab.Stacked([first, seqlab.GRU(width, 5)])
    elif form == "stack_of_bi":
        lower = seqlab.Bidirectional(first, merge)
        layer = seqlab.Stacked([lower, seqlab.Bidirectional(one(name, changes, lower.output_size))])
    elif form == "bi_of_stack":
        layer = seqlab.Bidirectional(seqlab.Stacked([first, one(name, changes, width)]), merge)
    elif form == "residual":
        layer = seqlab.Residual(first, project=True)
    else:
        layer = first
    return fill(layer.double(), seed).eval()


def flat(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for part in value for tensor in flat(part)]


def sample(mask, seed):
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.randn(*mask.shape, WIDTH, generator=generator, dtype=torch.float64)
