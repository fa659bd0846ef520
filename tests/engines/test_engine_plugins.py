"""An engine from anywhere is asked like those that come with the project."""

# ruff: noqa: ARG002  # the signatures are the contract's

from __future__ import annotations

import copy
import pickle

import pytest
import seqlab
import torch
from seqlab import registry
from seqlab.engines.base import Engine, NotPreparedError, Offer
from seqlab.engines.calls import expected_calls
from seqlab.engines.instances import engine
from seqlab.engines.loop import LoopEngine
from seqlab.engines.plan import Planner


class Cheap(LoopEngine):
    """Free of charge, and counts what it is asked."""

    name = "cheap"
    seconds, setup = 0.0, 0.0
    transformable = False

    def __init__(self):
        self.asked = self.prepared = self.ran = self.stepped = 0

    def offer(self, cell, run):
        self.asked += 1
        return Offer(self.setup, self.seconds, "it is cheap")

    def prepare(self, cell, run):
        self.prepared += 1

    def run(self, cell, run):
        self.ran += 1
        return super().run(cell, run)

    def step(self, cell, x_BD, state):
        self.stepped += 1


@pytest.fixture(name="register")
def _register():
    names = []

    def put(part):
        registry.unregister("engine", part.name)
        seqlab.register("engine", part.name)(part)
        names.append(part.name)
        return part

    yield put
    for name in names:
        registry.unregister("engine", name)


def of(layer, x):
    return layer.explain(x).engine


def test_auto_takes_the_cheapest_offer_whoever_makes_it(register):
    layer, x = seqlab.GRU(3, 4), torch.randn(2, 5, 3)
    expected = layer(x)[0]
    cheap = registry_engine(register)
    assert of(layer, x) is cheap
    torch.testing.assert_close(layer(x)[0], expected)
    assert cheap.ran == 1
    plan = layer.explain(x)
    assert plan.why == "it is cheap"
    assert plan.refused["fused"].startswith("a call is expected to take")


def test_the_planned_engine_streams(register):
    cheap = registry_engine(register)
    seqlab.stream(seqlab.GRU(3, 4)).step(torch.randn(2, 3))
    assert cheap.stepped == 1


def test_what_is_registered_anew_runs_at_once(register):
    layer, x = seqlab.GRU(3, 4), torch.randn(2, 5, 3)
    first = register(Cheap)
    layer(x)

    class Again(Cheap):
        """The same name, another class."""

    second = register(Again)
    layer(x)
    assert type(of(layer, x)) is second is not first
    registry.unregister("engine", "cheap")
    assert of(layer, x).name == "fused"


def registry_engine(register):
    class Fresh(Cheap):
        """One whose counts start here."""

    register(Fresh)
    return engine(Fresh.name)


def test_plans_are_kept_for_each_form_of_input(register):
    cheap = registry_engine(register)
    layer, x = seqlab.GRU(3, 4), torch.randn(2, 5, 3)
    for _ in range(3):
        layer(x)
    assert cheap.asked == 1
    layer(x[:, :4])
    layer(x, lengths=torch.tensor([5, 2]))
    layer.eval()(x)
    with torch.no_grad():
        layer(x)
    layer.double()(x.double())
    assert cheap.asked == 6


def test_a_cell_that_is_changed_is_planned_anew():
    layer, x = seqlab.GRU(3, 4), torch.randn(2, 5, 3)
    layer(x)
    layer.cell.activation = torch.sin
    loop = seqlab.Recurrent(layer.cell, engine="loop")
    torch.testing.assert_close(layer(x)[0], loop(x)[0])
    assert of(layer, x).name == "loop"


def test_a_stack_of_layers_asks_nothing_when_it_is_called_again(monkeypatch):
    layer = seqlab.Stacked([seqlab.Bidirectional(seqlab.LSTM(3, 4)), seqlab.LSTM(8, 4)])
    x = torch.randn(2, 5, 3)
    layer(x)
    monkeypatch.setattr(Planner, "_make", pytest.fail)
    monkeypatch.setattr("seqlab.engines.plan_stack.usable_engines", pytest.fail)
    layer(x)


def test_a_step_of_streaming_asks_nothing_when_it_is_taken_again(monkeypatch):
    layer, x = seqlab.LSTM(3, 4), torch.randn(2, 3)
    running = seqlab.stream(layer)
    running.step(x)
    with monkeypatch.context() as patch:
        patch.setattr(Planner, "_make", pytest.fail)
        running.step(x)
        layer.load_state_dict(layer.state_dict())
        running.step(x)
    asked, make = [], Planner._make
    monkeypatch.setattr(
        Planner, "_make", lambda *args, **more: asked.append(args) or make(*args, **more)
    )
    layer.eval()
    running.step(x)
    layer.cell.activation = torch.sin
    running.step(x)
    layer.cell = copy.deepcopy(layer.cell)
    running.step(x)
    assert len(asked) == 3


def test_setting_up_pays_at_once_or_after_as_many_calls(register):
    class Slow(Cheap):
        """Dear to set up."""

        setup = 1000 * 4e-4 * 5

    register(Slow)
    x = torch.randn(2, 5, 3)
    for calls, name in ((100, "loop"), (10_000, "cheap")):
        layer = seqlab.GRU(3, 4, layer_norm=True)
        with expected_calls(calls):
            assert of(layer, x).name == name
    layer = seqlab.GRU(3, 4, layer_norm=True)
    assert of(layer, x).name == "loop"
    layer._planner._forgone[True]["cheap"] = 2 * Slow.setup - 1e-6
    layer(x)
    assert of(layer, x).name == "cheap"
    twins = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))  # noqa: S301  # of this process
    assert [of(twin, x).name for twin in twins] == ["loop", "loop"]


def test_an_engine_that_cannot_go_on_is_replaced(register):
    class Tires(Cheap):
        """Runs once."""

        def prepare(self, cell, run):
            return "it is tired" if self.ran else None

        def run(self, cell, run):
            if self.ran:
                raise NotPreparedError
            return super().run(cell, run)

    register(Tires)
    layer, x = seqlab.GRU(3, 4), torch.randn(2, 5, 3)
    torch.testing.assert_close(layer(x)[0], layer(x)[0])
    assert layer.explain(x).refused["cheap"] == "it is tired"


def test_a_broken_engine_breaks_no_other(register, monkeypatch):
    from seqlab.errors import PluginError

    register(Cheap)
    once = registry.get

    def get(kind, name):
        if name == "cheap":
            raise PluginError("its package is broken")
        return once(kind, name)

    monkeypatch.setattr(registry, "get", get)
    plan = seqlab.GRU(3, 4).explain(torch.randn(2, 5, 3))
    assert plan.engine.name == "fused"
    assert plan.refused["cheap"] == "its package is broken"


def test_on_a_gpu_estimates_say_that_they_are_estimates():
    layer = seqlab.LSTM(3, 4).to("meta")
    plan = layer.explain(torch.empty(2, 5, 3, device="meta"))
    assert plan.why.endswith("(on meta estimated by launches, not measured)")


def test_no_module_outside_an_engine_s_folder_names_it():
    from pathlib import Path

    root = Path(seqlab.__file__).parent
    own = {"compiled", "fused", "scan"}
    for path in [
        *root.glob("layers/*.py"),
        *root.glob("wrappers/*.py"),
        *root.glob("engines/*.py"),
    ]:
        text = path.read_text()
        for name in own:
            assert f'"{name}"' not in text, path
            assert f"engines.{name}" not in text, path


def test_every_engine_has_the_contract():
    for name in seqlab.available("engine"):
        assert issubclass(seqlab.get("engine", name), Engine)
