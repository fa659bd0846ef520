from __future__ import annotations

import math

import pytest
import torch
from seqlab.errors import OptionError
from seqlab.heads.teacher_forcing import TeacherForcing


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("linear", lambda i: 0.9 - 0.7 * min(i / 50, 1)),
        ("exponential", lambda i: 0.2 + 0.7 * math.exp(-i / 50)),
        ("inverse_sigmoid", lambda i: 0.2 + 0.7 * 50 / (50 + math.exp(i / 50))),
    ],
)
def test_schedules_fall_as_written(name, formula):
    forcing = TeacherForcing(0.9, {"name": name, "steps": 50, "floor": 0.2})
    assert not forcing.always
    for i in (0, 10, 49, 200, 100_000):
        forcing.count.fill_(i)
        expected = formula(i) if i < 10_000 else 0.2
        assert float(forcing.probability()) == pytest.approx(expected, abs=1e-6)


def test_draws_have_the_probability_and_count_the_steps():
    forcing = TeacherForcing(1.0, {"name": "linear", "steps": 4})
    shares = [float(forcing.draw(torch.zeros(200, 50)).float().mean()) for _ in range(6)]
    assert shares == pytest.approx([1, 0.75, 0.5, 0.25, 0, 0], abs=0.02)
    assert shares[0] == 1
    assert shares[4] == 0
    assert forcing.state_dict()["count"] == 6
    resumed = TeacherForcing(1.0, {"name": "linear", "steps": 4})
    resumed.load_state_dict(forcing.state_dict())
    assert float(resumed.probability()) == 0


def test_without_a_schedule_nothing_is_counted():
    assert TeacherForcing(1.0, None).always
    assert TeacherForcing(0.5, None).probability() == 0.5
    assert TeacherForcing(0.5, None).state_dict() == {}


@pytest.mark.parametrize(
    ("ratio", "schedule", "message"),
    [
        (1.1, None, "teacher_forcing: expected a number from 0 to 1, got 1.1"),
        (1.0, "linear", "schedule: expected a mapping or null, got 'linear'"),
        (1.0, {"name": "lineer", "steps": 3}, "got 'lineer', did you mean 'linear'"),
        (1.0, {"name": "linear"}, "schedule.steps: no value was given"),
        (1.0, {"name": "linear", "step": 3}, "schedule.step: unknown key, did you mean 'steps'"),
        (
            0.5,
            {"name": "linear", "steps": 3, "floor": 0.6},
            "floor: expected at most teacher_forcing=0.5, got 0.6",
        ),
    ],
)
def test_wrong_options(ratio, schedule, message):
    with pytest.raises(OptionError, match=message):
        TeacherForcing(ratio, schedule)
