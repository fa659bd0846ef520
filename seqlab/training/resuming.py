"""What a resumed run must have kept of the run it goes on with, and what it may change."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seqlab import registry
from seqlab.construct import switched_parts
from seqlab.errors import RunError, SeqlabError
from seqlab.training.callbacks import SETTINGS
from seqlab.training.schedules import needs_length

#: Keys that decide nothing about the result.
_SILENT = (
    "resume",
    "samples",
    "report",
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


def check_same(begun: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Compare the spec of a resumed run with the one it was begun with.

    Returns:
        A line for each difference that is taken over on purpose.

    Raises:
        RunError: a difference would make it another run; the message has the key and both values.
    """
    schedule = (now.get("scheduler") or {}).get("name", "none")
    free = (*_CARRIED, *_free_callbacks(begun), *_free_callbacks(now))
    carried = []
    for key, old, new in _differences(begun, now, ""):
        if _under(key, _SILENT):
            continue
        if key in _LENGTH and needs_length(schedule):
            raise RunError(
                f"resume: {key} is {new!r} now, and the run was begun with {old!r}; the curve of "
                f"scheduler '{schedule}' depends on it, so the rates so far were those of "
                "another run"
            )
        if not _under(key, free):
            raise RunError(f"resume: {key} is {new!r} now, and the run was begun with {old!r}")
        carried.append(f"resume: {key} is {new!r} from here on; the run was begun with {old!r}")
    return carried


def goes_further(begun: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a run that was finished may train further by its new spec.

    Its length is another, or what may have stopped it: a callback, or the clock.
    """
    keys = (*_LENGTH, "trainer.max_seconds", *_free_callbacks(begun), *_free_callbacks(now))
    return any(_under(key, keys) for key, *_ in _differences(begun, now, ""))


def check_length_left(trainer: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Refuse a length that the checkpoint is beyond.

    Raises:
        RunError: the run has done more epochs or steps than are now asked for.
    """
    for key, done in (("max_epochs", state["epoch"]), ("max_steps", state["global_step"])):
        limit = trainer.get(key)
        if isinstance(limit, int) and 0 <= limit < done:
            raise RunError(
                f"resume: trainer.{key} is {limit}, and the run has done {done} already; "
                "its checkpoint lies behind that"
            )


def _free_callbacks(spec: Mapping[str, Any]) -> list[str]:
    """The keys of callbacks that may have other options in a resumed run."""
    found = []
    node = spec.get("callbacks")
    for key, name, _ in switched_parts("callback", node, "callbacks", apart=SETTINGS):
        with contextlib.suppress(SeqlabError):  # one that is installed no more is told elsewhere
            if getattr(registry.get("callback", name), "options_may_change", False):
                found.append(key)
    return found


def _under(key: str, names: Iterable[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _differences(old: Any, new: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    """Every leaf that differs: its key, the old and the new value."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            yield from _differences(old.get(name), new.get(name), f"{key}.{name}".lstrip("."))
    elif old != new:
        yield key, old, new
