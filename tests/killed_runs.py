"""Runs that die at a chosen moment, and what is left of a run to compare."""

from __future__ import annotations

import json

import torch
from seqlab.training import run as run_module


class KilledError(Exception):
    """Stands for SIGKILL: nothing of the run's own code runs after it."""


def killer(monkeypatch):
    """What makes a run die at the n-th call of a hook of the recorder, before or after its work."""

    def arm(hook: str, count: int, *, before: bool = False):
        made = run_module.make_callbacks

        def armed(*args, **kwargs):
            recorder, keeper, callbacks = made(*args, **kwargs)
            real, calls = getattr(recorder, hook), []

            def dying(*hook_args, **hook_kwargs):
                calls.append(hook)
                if before and len(calls) == count:
                    raise KilledError
                real(*hook_args, **hook_kwargs)
                if len(calls) == count:
                    raise KilledError

            setattr(recorder, hook, dying)
            return recorder, keeper, callbacks

        monkeypatch.setattr(run_module, "make_callbacks", armed)
        return lambda: monkeypatch.setattr(run_module, "make_callbacks", made)

    return arm


def state_of(folder):
    checkpoint = torch.load(folder / "checkpoints" / "resume.ckpt", weights_only=True)
    rows = [line.rpartition(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()]
    result = json.loads((folder / "result.json").read_text())
    for key in ("seconds", "test_seconds"):
        del result[key]
    return checkpoint["state_dict"], checkpoint["optimizer_states"], rows, result


def assert_same(folder, reference):
    weights, optimizer, rows, result = state_of(folder)
    expected_weights, expected_optimizer, expected_rows, expected_result = reference
    assert weights.keys() == expected_weights.keys()
    for name, value in expected_weights.items():
        assert torch.equal(weights[name], value), name
    for mine, theirs in zip(
        optimizer[0]["state"].values(), expected_optimizer[0]["state"].values(), strict=True
    ):
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    assert rows == expected_rows
    assert result == expected_result
