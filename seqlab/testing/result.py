"""What a check finds: an outcome, a reason, numbers. Knows nothing of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from seqlab.errors import OptionError

PASSED, FAILED, SKIPPED, EXPECTED = "passed", "failed", "skipped", "expected failure"
Numbers = Mapping[str, float]


class Failure(AssertionError):  # noqa: N818  # it is an outcome, not an error
    """A check found what it looks for; the message says what, with numbers.

    Args:
        message: one sentence.
        numbers: the same numbers by name, for reports.
    """

    def __init__(self, message: str, **numbers: float) -> None:
        super().__init__(message)
        self.numbers = numbers


class Skip(Exception):  # noqa: N818  # it is an outcome, not an error
    """A check does not apply here; the message says why."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check of one part.

    Attributes:
        name: the check.
        outcome: ``passed``, ``failed``, ``skipped`` or ``expected failure``.
        reason: why it failed or was skipped; empty when it passed.
        says: what the check asserts, in one sentence.
        catches: the bug it is there for.
        seconds: how long it took.
        numbers: what it measured, such as the largest difference it saw.
        gate: there is no certificate unless it passed.
    """

    name: str
    outcome: str
    reason: str = ""
    says: str = ""
    catches: str = ""
    seconds: float = 0.0
    numbers: Numbers = field(default_factory=dict)
    gate: bool = False

    @property
    def passed(self) -> bool:
        """False only where the check ran and failed without being expected to."""
        return self.outcome != FAILED

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {**asdict(self), "numbers": dict(self.numbers), "passed": self.passed}

    def __str__(self) -> str:
        """One line: name, outcome, reason."""
        return f"{self.name}: {self.outcome}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Settings:
    """How the kit runs.

    Args:
        fast: leave out the checks that take seconds (a fresh process, a compiler).
        only: run only these checks and what they need; empty for all.
        expected_failures: check name to the reason why it is known to fail.

    Raises:
        OptionError: an expected failure has no reason.
    """

    fast: bool = False
    only: tuple[str, ...] = ()
    expected_failures: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, reason in self.expected_failures.items():
            if not isinstance(reason, str) or not reason.strip():
                raise OptionError(f"expected_failures: '{name}' needs a reason, got {reason!r}")
