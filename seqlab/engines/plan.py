"""Chooses the engine of a layer, the cheapest over the calls expected, and says why."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab import registry
from seqlab.cells.base import Cell, first_parameter, settings_key
from seqlab.engines.base import Engine, Offer, Sequence
from seqlab.engines.behind import Behind
from seqlab.engines.calls import at_least, chosen_engines, in_whole_run
from seqlab.engines.instances import engine, under_transform, usable_engines
from seqlab.engines.settled import Call, Settled, undisturbed
from seqlab.errors import EngineError
from seqlab.registry import spoken
from seqlab.types import State

#: The engine that all others are tested against; it stands in for one that cannot work here.
REFERENCE = "loop"
#: Setting up must promise to save so many times what it takes, as estimates may be wrong.
MARGIN = 2.0
#: Plans that a layer keeps; then it starts anew.
MOST_KEPT = 512

_BY_NAME = "it was asked for by name"


class Saving(NamedTuple):
    """What an engine that was not chosen would save in each call, once it is set up.

    ``setups``: what setting up may take, by whether something was kept; at each of them the
    planner thinks again.
    """

    engine: str
    seconds: float
    setups: tuple[float, ...]


class Plan(NamedTuple):
    """The engine chosen and why, and why the others were not.

    ``price``: seconds that the calls expected take with it, setting up included.
    """

    engine: Engine
    why: str
    refused: dict[str, str]
    price: float = 0.0
    savings: tuple[Saving, ...] = ()

    def __str__(self) -> str:
        """One line: the choice and the refusals."""
        reasons = "; ".join(f"not {name}: {why}" for name, why in self.refused.items())
        return f"engine {self.engine.name}: {self.why}" + (f" ({reasons})" if reasons else "")


class Planner:
    """The plans of one layer, kept as long as its cell and the form of its input are the same.

    An engine that cannot work on this machine at all is replaced by the loop, with one warning.
    While ``torch.export`` traces a layer, only engines it can trace are asked.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}
        self._steps, self._runs = Settled(), Settled()
        #: A step that needs no planning any more; else ``step`` takes it.
        self.ready_step = self._steps.find
        #: A run without noise, if one of its form was settled: a ``RunCall``.
        self.ready_run = self._runs.find
        #: Seconds that engines not set up would have saved in the calls so far, those without
        #: gradients and those with them: predictions must not change how a training goes on.
        self._forgone: tuple[dict[str, float], dict[str, float]] = ({}, {})
        #: The same of steps that were taken one by one.
        self._forgone_steps: dict[str, float] = {}
        self._behind = Behind()

    def __reduce__(self) -> tuple[type[Planner], tuple[()]]:
        """Copies start anew: what was learnt is of this layer and this process."""
        return Planner, ()

    def plan(self, name: str, cell: Cell, run: Sequence) -> Plan:
        """The engine for a run: the one asked for, or with ``auto`` the cheapest.

        Raises:
            EngineError: an engine was asked for by name and refuses; the message says why.
        """
        if torch.compiler.is_exporting():
            # sizes may be symbols there, which must not be asked for
            return self._make(name, cell, run)
        key = (name, form_key(cell, run))
        plan = self.recall(key)
        if plan is None or (
            not plan.engine.differentiable and plan.engine.refusal_of_gradients(cell, run.x)
        ):
            plan = self._make(name, cell, run)
            self.keep(key, plan)
        found: Plan = plan
        return found

    def step(
        self, name: str, cell: Cell, x_BD: Tensor, state: State, *, check: Callable[[Tensor], None]
    ) -> tuple[Tensor, State] | None:
        """A step of streaming by an engine; with ``auto`` one whose setting up takes no time.

        None where the cell's own is to be taken. Code that lies compiled in the cache is used
        where enough steps are announced. ``check`` is called with an input whose form or type is
        new.
        """
        like = first_parameter(cell)
        key = (
            name, cell, settings_key(cell), x_BD.shape, x_BD.dtype, x_BD.device,
            None if like is None else like.dtype,
            torch.is_grad_enabled(), torch.is_autocast_enabled(x_BD.device.type),
            under_transform(), registry.changes("engine"),
        )  # fmt: skip
        kept: tuple[int, Call] | None = self.recall(key)
        steps = at_least()
        if kept is None or kept[0] < steps:
            check(x_BD)
            plan = self._make(name, cell, Sequence(x_BD.unsqueeze(1), state), steps=True)
            kept = steps, self._noted(plan, plan.engine.ready_step(cell), steps=True)
            self.keep(key, kept)
        self._steps.keep(kept[1], name, cell, x_BD)
        return kept[1](x_BD, state)

    def _noted(self, plan: Plan, call: Call, *, steps: bool) -> Call:
        """Calls by a plan, noted where another engine would save something or a run asks."""
        if not plan.savings and (steps or not torch.is_grad_enabled()):
            return call

        def noted(*given: Any) -> tuple[Tensor, State] | None:
            found = call(*given)
            if steps or found is not None:
                self.note(plan, steps=steps)
            return found

        return noted

    def settle(self, plan: Plan, name: str, cell: Cell, run: Sequence) -> None:
        """Let runs like this one be found by ``ready_run``, and not planned."""
        if run.noise is not None or not undisturbed():
            return
        learns, chosen = torch.is_grad_enabled(), plan.engine
        if chosen.differentiable or not learns:
            ready = chosen.ready_training_run if learns else chosen.ready_run
            call = self._noted(plan, ready(cell, run), steps=False)
            masked = run.mask is not None
            self._runs.keep(call, name, cell, run.x, reverse=run.reverse, masked=masked)

    def recall(self, key: Hashable) -> Any:
        """What was kept under a key, else None."""
        return self._kept.get(key)

    def keep(self, key: Hashable, value: Any) -> None:
        """Keep an answer for ``recall``."""
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[key] = value

    def forget(self) -> None:
        """Choose anew from now on."""
        self._kept.clear()
        self._steps.forget()
        self._runs.forget()

    def note(self, plan: Plan, *, steps: bool = False) -> None:
        """Remember a call or a step: its engine, and what others would have saved in it."""
        chosen, forgone = chosen_engines(), self._forgone_steps if steps else self._counted()
        if chosen is not None:
            if steps or not torch.is_grad_enabled():
                return  # a run that says how long it is counts its steps alone
            chosen.add(plan.engine.name)
        again = bool(plan.savings) and self._behind.has_news()
        for saving in plan.savings:
            before = forgone.get(saving.engine, 0.0)
            after = forgone[saving.engine] = before + saving.seconds
            again |= any(before < MARGIN * setup <= after for setup in saving.setups)
        if again:
            self.forget()

    def _counted(self) -> dict[str, float]:
        """What was forgone in calls like this one, with gradients or without."""
        return self._forgone[torch.is_grad_enabled()]

    def explain(self, name: str, cell: Cell, run: Sequence) -> Plan:
        """The plan with a reason against every engine that is registered and was not chosen."""
        plan = self._make(name, cell, run)
        names = [other for other in registry.available("engine") if other != plan.engine.name]
        others = dict.fromkeys(names, "another engine was asked for by name")
        return plan._replace(refused={**others, **plan.refused})

    def _make(self, name: str, cell: Cell, run: Sequence, *, steps: bool = False) -> Plan:
        if name == "auto" or torch.compiler.is_exporting():
            return self._cheapest(cell, run, steps=steps)
        asked = engine(name)
        missing = asked.unavailable()
        if missing is not None:
            _warn_once(name, missing)
            return self._make(REFERENCE, cell, run)._replace(refused={name: missing})
        offer = _ask(asked, cell, run)
        reason = offer if isinstance(offer, str) else asked.prepare(cell, run)
        if reason is not None:
            raise EngineError(
                f"engine '{name}' cannot run {spoken('cell', cell)}: {reason}; "
                "engine='auto' picks one that can"
            )
        price = 0.0 if isinstance(offer, str) else _price(offer)
        return Plan(asked, _BY_NAME, {}, price)

    def _cheapest(self, cell: Cell, run: Sequence, *, steps: bool) -> Plan:
        """The cheapest offer over the calls expected; with ``steps`` for steps one by one."""
        usable, refused = usable_engines()
        answers = {name: _ask(usable[name], cell, run, steps=steps) for name in usable}
        offers: dict[str, Offer] = {}
        for name, answer in answers.items():
            left_out = answer.by_name if isinstance(answer, Offer) else answer
            if isinstance(answer, Offer) and left_out is None:
                offers[name] = answer
            else:
                refused[name] = str(left_out)
        instead = min((o.call_seconds for o in offers.values() if not o.setup_seconds), default=0.0)
        waiting = set()
        counted = self._forgone_steps if steps else self._counted()
        for name, offer in offers.items():
            so_far = counted.get(name, 0.0)
            # as many calls follow as there were, or as somebody has announced
            gain = max(so_far, at_least() * (instead - offer.call_seconds))
            left = _setup_left(usable[name], offer, gain, cell, run)
            if _waits(offer, gain, left, steps=steps):
                waiting.add(name)
                if steps and so_far >= MARGIN * left and offer.call_seconds < instead:
                    self._behind.begin(usable[name], cell, run)
        order = sorted(offers, key=lambda name: (name in waiting, _price(offers[name])))
        if steps:  # no step takes as long as setting up does
            order = [name for name in order if name not in waiting]
        for name in order:
            reason = usable[name].unavailable() or usable[name].prepare(cell, run)
            if reason is None:
                return self._report(usable[name], offers, refused)
            refused[name] = reason
            del offers[name]
        raise EngineError(f"no engine runs {spoken('cell', cell)}: {refused}")

    def _report(self, chosen: Engine, offers: dict[str, Offer], refused: dict[str, str]) -> Plan:
        """The plan in words, with what the engines that wait would save."""
        mine, calls = offers[chosen.name], in_whole_run()
        others = {name: offer for name, offer in offers.items() if name != chosen.name}
        ready = [o.call_seconds for o in offers.values() if not o.setup_seconds]
        why, reasons = mine.why, dict(refused)
        if mine.setup_seconds and ready:
            why = f"{why}: {self._gain(chosen.name, mine, min(ready))}"
        for name, offer in others.items():
            ratio = offer.call_seconds / max(mine.call_seconds, 1e-12)
            reasons[name] = f"a call is expected to take {ratio:.1f} times as long"
            if offer.setup_seconds > mine.setup_seconds:
                gain = self._gain(name, offer, mine.call_seconds)
                reasons[name] = f"{gain}, and setting up takes {offer.setup_seconds:.0f} s"
        savings = tuple(
            Saving(name, mine.call_seconds - offer.call_seconds, _setups(offer))
            for name, offer in others.items()
            if calls is None and mine.call_seconds > offer.call_seconds
        )
        return Plan(chosen, why, reasons, _price(mine), savings)

    def _gain(self, name: str, offer: Offer, instead: float) -> str:
        calls = in_whole_run()
        saved = max(instead - offer.call_seconds, 0.0)
        if calls is not None:
            return f"it saves about {saved * calls:.1f} s in this run"
        if at_least():
            return f"it saves about {saved * at_least():.1f} s in the calls announced"
        return f"its calls so far would have gained {self._counted().get(name, 0.0):.1f} s"


def form_key(cell: Cell, run: Sequence) -> Hashable:
    """All that a plan depends on."""
    x, like = run.x, first_parameter(cell)
    return (
        cell, settings_key(cell),
        x.shape, x.dtype, x.device, None if like is None else (like.dtype, like.device),
        run.mask is None, run.noise is None, torch.is_grad_enabled(),
        in_whole_run(), at_least(), under_transform(),
        registry.changes("engine"),
    )  # fmt: skip


def calls_priced() -> int:
    """The calls that a plan's price stands for: one where their number is unknown."""
    return max(in_whole_run() or 1, 1)


def _price(offer: Offer) -> float:
    """Seconds for the calls of a run; of one call where their number is unknown."""
    setup = 0.0 if in_whole_run() is None else MARGIN * offer.setup_seconds
    return setup + calls_priced() * offer.call_seconds


def _setup_left(engine: Engine, offer: Offer, gain: float, cell: Cell, run: Sequence) -> float:
    """Seconds that setting up takes here and now, so far as ``gain`` is worth finding it out."""
    if torch.is_grad_enabled() or in_whole_run() is not None or offer.kept_seconds is None:
        return offer.setup_seconds
    look = gain >= MARGIN * offer.kept_seconds and engine.unavailable() is None
    kept = engine.kept(cell, run, look=look)
    return {None: offer.setup_seconds, "here": 0.0, "stored": offer.kept_seconds}[kept]


def _waits(offer: Offer, gain: float, left: float, *, steps: bool) -> bool:
    """Whether an engine must not be set up before more calls have come, or are announced."""
    if steps and offer.setup_seconds and left == offer.setup_seconds:
        return True
    # the price of a whole run holds the setting up
    return in_whole_run() is None and gain < MARGIN * left


def _setups(offer: Offer) -> tuple[float, ...]:
    """What setting an engine up may take now: where something was kept it is less."""
    kept = None if torch.is_grad_enabled() else offer.kept_seconds
    return (offer.setup_seconds,) if kept is None else (kept, offer.setup_seconds)


def _ask(asked: Engine, cell: Cell, run: Sequence, *, steps: bool = False) -> Offer | str:
    """The engine's offer, unless what surrounds the run rules it out."""
    if torch.compiler.is_exporting() and not asked.exportable:
        return "torch.export cannot trace it"
    if under_transform() and not asked.transformable:
        return "it does not work inside torch.func's transforms and forward-mode differentiation"
    refusal = asked.refusal_of_gradients(cell, run.x)
    if refusal is not None:
        return refusal
    return asked.offer_step(cell, run) if steps else asked.offer(cell, run)


@functools.cache
def _warn_once(name: str, missing: str) -> None:
    warnings.warn(f"engine '{name}' is replaced by '{REFERENCE}': {missing}", stacklevel=2)
