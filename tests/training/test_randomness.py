from __future__ import annotations

import random

import numpy as np
import torch
from seqlab.training.randomness import mix, reseed


def draws():
    legacy = np.random.rand()  # noqa: NPY002 - the generator that is meant here
    return random.random(), legacy, float(torch.rand(()))  # noqa: S311 - not a secret


def test_generators_follow_from_the_numbers_alone():
    reseed(3, 1, 7, 0)
    first = draws()
    draws()
    reseed(3, 1, 7, 0)
    assert draws() == first
    others = set()
    for numbers in [(3, 1, 8, 0), (3, 2, 7, 0), (4, 1, 7, 0), (3, 1, 7, 1), (3, 7, 1, 0)]:
        reseed(*numbers)
        others.add(draws())
    assert len(others | {first}) == 6


def test_mixed_numbers_are_spread_over_all_bits():
    numbers = [mix(0, epoch, batch) for epoch in range(40) for batch in range(40)]
    assert len(set(numbers)) == 1600
    for bit in range(64):
        share = sum(number >> bit & 1 for number in numbers) / 1600
        assert 0.42 < share < 0.58, bit
    assert mix(-1) != mix(1)
