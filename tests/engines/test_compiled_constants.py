"""Compiled code never answers with values that the cell's equations no longer read."""

from __future__ import annotations

import functools
import types

import pytest
import seqlab
import torch
from seqlab.cells.base import HiddenState
from seqlab.engines.traced.constants import UnreadableError, constants_of
from torch import nn

FACTOR = 0.5
settings = types.ModuleType("settings")
settings.factor = 0.5


def scaled(value, factor=0.5):
    return factor * value


def through_a_global(value):
    return FACTOR * value


class Helper(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = 0.5

    def forward(self, value):
        return 0.25 * value if self.training else self.factor * value


class Plain:
    def __init__(self):
        self.factors = [0.5]


class Reads(seqlab.GatedCell):
    """Reads one thing, whatever ``reads`` does."""

    gates = ("candidate",)
    State = HiddenState
    factor = 0.5

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.leak = 0.5
        self.helper = Helper()
        self.plain = Plain()
        self.options = {"leak": (0.5, 1)}
        self.constant = torch.tensor(0.5)
        self.bent = functools.partial(scaled, factor=0.5)
        box = [0.5]
        self.box = box
        self.closed = lambda value: box[0] * value

    def update(self, x, h, state):
        hidden = torch.tanh(self.reads(x.candidate + h.candidate)) + 0.5 * state.hidden
        return hidden, HiddenState(hidden)


def assign(name, value):
    return lambda cell, _: setattr(cell, name, value)


VARIANTS = {
    "a number": (lambda self, v: self.leak * v, assign("leak", 0.1)),
    "a number of the other sign of zero": (
        lambda self, v: v if str(self.leak) == "0.0" else -v,
        lambda cell, _: setattr(cell, "leak", -0.0 if str(cell.leak) == "0.0" else 0.0),
    ),
    "the training flag": (
        lambda self, v: v if self.training else 2 * v,
        lambda cell, _: cell.eval(),
    ),
    "a submodule's number": (
        lambda self, v: self.helper.factor * v,
        lambda cell, _: setattr(cell.helper, "factor", 0.1),
    ),
    "a submodule's training flag": (
        lambda self, v: self.helper(v),
        lambda cell, _: cell.helper.eval(),
    ),
    "an object's list": (
        lambda self, v: self.plain.factors[0] * v,
        lambda cell, _: cell.plain.factors.__setitem__(0, 0.1),
    ),
    "a mapping": (
        lambda self, v: self.options["leak"][0] * v,
        lambda cell, _: cell.options.update(leak=(0.1, 1)),
    ),
    "a constant tensor": (
        lambda self, v: self.constant * v,
        lambda cell, _: cell.constant.fill_(0.1),
    ),
    "a partial": (
        lambda self, v: self.bent(v),
        lambda cell, _: cell.bent.keywords.update(factor=0.1),
    ),
    "a closure": (lambda self, v: self.closed(v), lambda cell, _: cell.box.__setitem__(0, 0.1)),
    "a default": (
        lambda _, v: scaled(v),
        lambda _, patch: patch.setattr(scaled, "__defaults__", (0.1,)),
    ),
    "a global": (
        lambda _, v: FACTOR * v,
        lambda _, patch: patch.setitem(globals(), "FACTOR", 0.1),
    ),
    "a global of a function": (
        lambda _, v: through_a_global(v),
        lambda _, patch: patch.setitem(globals(), "FACTOR", 0.1),
    ),
    "a module's number": (
        lambda _, v: settings.factor * v,
        lambda _, patch: patch.setattr(settings, "factor", 0.1),
    ),
    "a class attribute": (
        lambda self, v: self.factor * v,
        lambda cell, patch: patch.setattr(type(cell), "factor", 0.1),
    ),
    "by getattr": (lambda self, v: getattr(self, "le" + "ak") * v, assign("leak", 0.1)),
    "an activation's argument": (
        lambda self, v: self.activation(v),
        assign("activation", functools.partial(scaled, factor=0.1)),
    ),
}


#: Those that no other case stands for; the long tests take all.
ORDINARY = (
    "a number", "the training flag", "a submodule's number", "an object's list", "a partial",
    "a closure", "a global", "a class attribute", "by getattr",
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [name if name in ORDINARY else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS],
)
def test_what_update_reads_is_never_an_old_value(name, monkeypatch):
    reads, change = VARIANTS[name]
    cell = type("Variant", (Reads,), {"reads": reads})(3, 4).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    compiled, loop = (seqlab.Recurrent(cell, engine=engine) for engine in ("compiled", "loop"))
    before = compiled(x)[0]
    torch.testing.assert_close(before, loop(x)[0])
    change(cell, monkeypatch)
    after = loop(x)[0]
    assert not torch.allclose(before, after, atol=1e-3)
    torch.testing.assert_close(compiled(x)[0], after)


def test_values_that_stay_are_compiled_once(monkeypatch):
    layer = seqlab.LSTM(3, 4, engine="compiled", recurrent_dropout=0.2, zoneout=0.1)
    x = torch.randn(2, 5, 3)
    for mode in (True, False):
        layer.train(mode)(x)
    monkeypatch.setattr(
        "seqlab.engines.compiled.cell_code._variants.make",
        lambda *_, **__: pytest.fail("compiled again"),
    )
    for mode in (True, False, True):
        layer.train(mode)(x)


class Counts(Reads):
    """Changes what it reads."""

    def reads(self, value):
        self.leak += 1
        return self.leak * value


class Opaque(Reads):
    """Reads a generator."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.generator = torch.Generator()

    def reads(self, value):
        return value * self.generator.initial_seed()


def test_what_cannot_be_followed_is_refused():
    x = torch.randn(2, 5, 3)
    for kind, words in ((Counts, "changes what it reads"), (Opaque, "reads `generator`")):
        with pytest.raises(seqlab.errors.EngineError, match=words):
            seqlab.Recurrent(kind(3, 4), engine="compiled")(x)
    with pytest.raises(UnreadableError, match="generator"):
        constants_of(Opaque(3, 4))


def test_a_value_that_changes_at_every_call_stops_being_compiled(monkeypatch):
    monkeypatch.setattr("seqlab.engines.traced.variants.MOST_VARIANTS", 2)
    cell = type("Leaky", (Reads,), {"reads": lambda self, value: self.leak * value})(3, 4)
    layer = seqlab.Recurrent(cell, engine="compiled")
    for leak in (0.1, 0.2):
        cell.leak = leak
        layer(torch.randn(2, 5, 3))
    cell.leak = 0.3
    with pytest.raises(seqlab.errors.EngineError, match="belongs in a buffer"):
        layer(torch.randn(2, 5, 3))
