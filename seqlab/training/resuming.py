"""What a resumed run must have kept of the run it goes on with, and what it may change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from seqlab.errors import RunError

#: Keys that decide nothing about the result.
_SILENT = (
    "resume",
    "samples",
    "logger",
    "callbacks.progress",
    "callbacks.checkpoint.every_n_steps",
    "data.num_workers",
    "data.pin_memory",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.num_sanity_val_steps",
    "trainer.detect_anomaly",
)
#: Keys whose new value holds from here on, which is said.
_CARRIED = (
    "callbacks.early_stopping",
    "data.eval_batch_size",
    "data.limit_test",
    "trainer.accelerator",
    "trainer.benchmark",
    "trainer.limit_test_batches",
    "trainer.max_epochs",
    "trainer.max_seconds",
    "trainer.max_steps",
    "trainer.num_threads",
)
_LENGTH = ("trainer.max_epochs", "trainer.max_steps")
#: Schedules that do not depend on the length of the run.
_OPEN_SCHEDULES = ("none", "plateau", "step")


def check_same(begun: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Compare the spec of a resumed run with the one it was begun with.

    Returns:
        A line for each difference that is taken over on purpose.

    Raises:
        RunError: a difference would make it another run; the message has the key and both values.
    """
    schedule = (begun.get("scheduler") or {}).get("name", "none")
    carried = []
    for key, old, new in _differences(begun, now, ""):
        if _under(key, _SILENT):
            continue
        if key in _LENGTH and schedule not in _OPEN_SCHEDULES:
            raise RunError(
                f"resume: {key} is {new!r} now, and the run was begun with {old!r}; the curve of "
                f"scheduler '{schedule}' depends on it, so the rates so far were those of "
                "another run"
            )
        if not _under(key, _CARRIED):
            raise RunError(f"resume: {key} is {new!r} now, and the run was begun with {old!r}")
        carried.append(f"resume: {key} is {new!r} from here on; the run was begun with {old!r}")
    return carried


def check_length_left(trainer: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Refuse a length that the checkpoint is beyond.

    Raises:
        RunError: the run has done more epochs or steps than are now asked for.
    """
    for key, done in (("max_epochs", state["epoch"]), ("max_steps", state["global_step"])):
        limit = trainer.get(key)
        if limit is not None and 0 <= limit < done:
            raise RunError(
                f"resume: trainer.{key} is {limit}, and the run has done {done} already; "
                "its checkpoint lies behind that"
            )


def _under(key: str, names: tuple[str, ...]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _differences(old: Any, new: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    """Every leaf that differs: its key, the old and the new value."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            yield from _differences(old.get(name), new.get(name), f"{key}.{name}".lstrip("."))
    elif old != new:
        yield key, old, new
