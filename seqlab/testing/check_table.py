"""Checks, tables of checks, and a run of a table over one part."""

from __future__ import annotations

import inspect
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from seqlab.errors import OptionError, did_you_mean
from seqlab.testing.result import (
    EXPECTED,
    FAILED,
    PASSED,
    SKIPPED,
    CheckResult,
    Failure,
    Numbers,
    Settings,
    Skip,
)

CheckFunction = Callable[[Any], Numbers | None]


@dataclass(frozen=True)
class Check:
    """One check of a kind of part.

    The function's docstring is the check's text: its first line is the sentence that it asserts,
    and the paragraph that begins with ``Catches:`` names the bug.

    Attributes:
        name: the function's name.
        function: takes the case; returns numbers to report, raises ``Failure`` or ``Skip``.
        needs: checks without which this one means nothing; if one fails, this one is skipped.
        gate: every later check of the table needs this one.
        slow: takes seconds.
    """

    name: str
    function: CheckFunction
    needs: tuple[str, ...] = ()
    gate: bool = False
    slow: bool = False
    text: str = ""

    @property
    def says(self) -> str:
        """What the check asserts, in one sentence."""
        return self.text.split("\n\n")[0].replace("\n", " ").strip()

    @property
    def catches(self) -> str:
        """The bug it is there for."""
        found = [p for p in self.text.split("\n\n") if p.startswith("Catches:")]
        return " ".join(found[0].removeprefix("Catches:").split()) if found else ""


class Table:
    """An ordered table of checks; later ones may need earlier ones."""

    def __init__(self, *inherited: Table) -> None:
        self.checks: list[Check] = [check for table in inherited for check in table.checks]

    def check(
        self, *, needs: Iterable[str] = (), gate: bool = False, slow: bool = False
    ) -> Callable[[CheckFunction], CheckFunction]:
        """Add the decorated function."""

        def decorate(function: CheckFunction) -> CheckFunction:
            text = inspect.getdoc(function) or ""
            self.add(Check(function.__name__, function, tuple(needs), gate, slow, text))
            return function

        return decorate

    def add(self, check: Check) -> None:
        """Add a check made by hand, as those with one instance a registered part are.

        Raises:
            OptionError: the table has the name, or the text lacks its sentence or its bug.
        """
        if any(known.name == check.name for known in self.checks):
            raise OptionError(f"the table has a check named '{check.name}' already")
        if sys.flags.optimize > 1:
            raise OptionError(
                "the conformance kit reads its docstrings, which python -OO and PYTHONOPTIMIZE=2 "
                "take away; run it without them"
            )
        if not check.says or not check.catches:
            raise OptionError(f"check '{check.name}' needs a sentence and 'Catches: ...'")
        self.checks.append(check)

    def extend(self, other: Table) -> None:
        """Add the checks of another table."""
        for check in other.checks:
            self.add(check)


class TableRun:
    """Runs the checks of a table on one case, each once, what they need first.

    Args:
        checks: in order.
        case: handed to every check.
        settings: how to run.
        by_default: what fails by design where the part has its default options, by check, with
            the reason; the case has others. Such a check may fail, and may pass.

    Raises:
        OptionError: ``only`` or an expected failure names a check that is not there.
    """

    def __init__(
        self,
        checks: Iterable[Check],
        case: Any,
        settings: Settings,
        by_default: Mapping[str, str] | None = None,
    ) -> None:
        self.checks = {check.name: check for check in checks}
        self.case, self.settings, self.by_default = case, settings, dict(by_default or {})
        self._results: dict[str, CheckResult] = {}
        self._blocked: dict[str, str] = {}  # checks that were not run, and the failure behind it
        self._needs = _needs(list(self.checks.values()))
        expected = (*settings.expected_failures, *self.by_default)
        for option, names in (("only", settings.only), ("expected_failures", expected)):
            for name in names:
                if name not in self.checks:
                    raise OptionError(
                        f"{option}: no check '{name}': {did_you_mean(name, self.checks)}"
                    )

    def names(self) -> list[str]:
        """The checks that were asked for, in order."""
        if not self.settings.only:
            return list(self.checks)
        return [name for name in self.checks if name in self.settings.only]

    def results(self) -> list[CheckResult]:
        """Every result, in order."""
        return [self.result(name) for name in self.names()]

    def result(self, name: str) -> CheckResult:
        """The result of one check, run at most once."""
        if name not in self._results:
            self._results[name] = self._judge(name, self._run(name))
        return self._results[name]

    def _run(self, name: str) -> CheckResult:
        check = self.checks[name]
        result = CheckResult(name, PASSED, says=check.says, catches=check.catches, gate=check.gate)
        if check.slow and self.settings.fast:
            reason = "takes seconds; left out by fast"
            return replace(result, outcome=SKIPPED, reason=reason, gate=False)
        for needed in self._needs[name]:
            if self.result(needed).outcome == FAILED or needed in self._blocked:
                self._blocked[name] = cause = self._blocked.get(needed, needed)
                reason = f"means nothing until '{cause}' passes"
                return replace(result, outcome=SKIPPED, reason=reason)
        start = time.perf_counter()
        outcome, reason, numbers = _outcome(check, self.case)
        seconds = round(time.perf_counter() - start, 4)
        return replace(result, outcome=outcome, reason=reason, numbers=numbers, seconds=seconds)

    def _judge(self, name: str, result: CheckResult) -> CheckResult:
        own, default = self.settings.expected_failures.get(name), self.by_default.get(name)
        expected = default if own is None else own
        if expected is None or result.outcome == SKIPPED:
            return result
        if result.outcome == FAILED:
            reason = f"{expected} ({result.reason})"
            return replace(result, outcome=EXPECTED, reason=reason)
        if own is None:
            reason = f"passes with these options; it is expected to fail by default ({expected})"
            return replace(result, reason=reason)
        reason = f"passes, and was expected to fail ({expected}); take it off the list"
        return replace(result, outcome=FAILED, reason=reason)


def _needs(checks: list[Check]) -> dict[str, tuple[str, ...]]:
    """What each check needs: the gates before it, and what it names where the table has it."""
    known = {check.name for check in checks}
    gates: list[str] = []
    found = {}
    for check in checks:
        found[check.name] = (*gates, *(n for n in check.needs if n in known and n not in gates))
        if check.gate:
            gates.append(check.name)
    return found


def _outcome(check: Check, case: Any) -> tuple[str, str, Mapping[str, float]]:
    """Run one check with random numbers of its own; the caller's are left as they were."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1234)
            numbers = check.function(case) or {}
    except Failure as failure:
        return FAILED, str(failure), dict(failure.numbers)
    except Skip as skip:
        return SKIPPED, str(skip), {}
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a part raises is a finding
        return FAILED, _raised(error), {}
    return PASSED, "", dict(numbers)


def _raised(error: BaseException) -> str:
    """What was raised, and the innermost line it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())
    shown = text if len(text) <= 300 else text[:297] + "..."
    return f"raised {type(error).__name__}: {shown}{where}"
