"""What a comparison has set out to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqlab.comparison.contestants import Contestant
from seqlab.comparison.models import Cost
from seqlab.comparison.plan_file import COMPARISON

RESULT = "compare.json"


@dataclass(frozen=True)
class Entry:
    """A contestant as it will train: its size and length decided, its cost measured."""

    contestant: Contestant
    parameters: int
    cost: Cost


@dataclass(frozen=True)
class Plan:
    """A comparison before its first run.

    Attributes:
        entries: who takes part; order counts.
        seeds: of every contestant.
        match: what they have in common: ``parameters``, ``seconds`` or ``none``.
        seconds: of training each has, where that was matched.
        metric: by which they are compared; None: the one their head is selected by.
    """

    entries: tuple[Entry, ...]
    seeds: tuple[int, ...]
    match: str
    seconds: float | None
    metric: str | None

    def write(self, folder: Path) -> None:
        """Keep it in the comparison's folder."""
        COMPARISON.write(folder, self)

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan in a folder.

        Raises:
            RunError: there is none, or it is damaged.
        """
        return COMPARISON.read(folder, _plan)

    def same_as(self, other: Plan) -> bool:
        """Whether the runs of both are the same, whatever the seeds and the costs measured."""

        def runs(plan: Plan) -> Any:
            contestants = [entry.contestant for entry in plan.entries]
            specs = [(one.name, one.spec) for one in contestants]
            return json.dumps([specs, plan.match, plan.metric], sort_keys=True)

        return bool(runs(self) == runs(other))


def _plan(content: Mapping[str, Any]) -> Plan:
    entries = tuple(
        Entry(
            Contestant.restored(entry["contestant"]),
            int(entry["parameters"]),
            Cost(*entry["cost"]),
        )
        for entry in content["entries"]
    )
    return Plan(
        entries, tuple(content["seeds"]), content["match"], content["seconds"], content["metric"]
    )
