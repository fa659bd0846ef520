"""The file in which many runs keep what they have set out to do: killed ones go on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from seqlab.errors import RunError
from seqlab.files import reading, write_json

P = TypeVar("P")


@dataclass(frozen=True)
class PlanFile:
    """A file of one kind of plan, of which a folder holds at most one.

    Attributes:
        name: of the file.
        what: it plans, for people.
    """

    name: str
    what: str

    def is_in(self, folder: Path) -> bool:
        """Whether something was begun in a folder."""
        return (folder / self.name).is_file()

    def is_own(self, folder: Path, key: str) -> bool:
        """Whether the plan in a folder is of this kind, by a key that it alone has.

        Comparisons and sweeps keep their plans under one name. A damaged plan counts as one's own,
        so that reading it says what is wrong.
        """
        if not self.is_in(folder):
            return False
        try:
            content = json.loads((folder / self.name).read_text("utf-8"))
        except (OSError, ValueError):
            return True
        return not isinstance(content, dict) or key in content

    def check_in(self, folder: Path) -> None:
        """Refuse to go on with what was never begun.

        Raises:
            RunError: there is no plan in the folder.
        """
        if not self.is_in(folder):
            raise RunError(f"resume: there is no {self.what} at {folder} ({self.name} is missing)")

    def write(self, folder: Path, plan: Any) -> None:
        """Keep a plan, a dataclass of plain values, in a folder."""
        write_json(folder / self.name, {"format": 1, **dataclasses.asdict(plan)})

    def read(self, folder: Path, restore: Callable[[Mapping[str, Any]], P]) -> P:
        """The plan in a folder.

        Args:
            folder: where it was written.
            restore: makes the plan of the file's content.

        Raises:
            RunError: there is none, or it is damaged.
        """
        self.check_in(folder)
        path = folder / self.name
        with reading(path, RunError, f"the plan of a {self.what}"):
            return restore(json.loads(path.read_text("utf-8")))


COMPARISON = PlanFile("plan.json", "comparison")
CROSSVALIDATION = PlanFile("folds.json", "cross-validation")
SWEEP = PlanFile("plan.json", "sweep")
