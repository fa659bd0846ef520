"""Pickles of arrays are read, and nothing that a pickle could run is run."""

from __future__ import annotations

import contextlib
import os
import pickle
import random

import numpy as np
import pytest
from seqlab.errors import DataError
from seqlab.published.pickled_arrays import read_pickled_arrays

VALUES = {
    "text": {"a": [1, -2, 300, 70000, 2.5, None, True], "é": ("x", (1, 2), ())},
    "ids": {chr(0x4E00 + index): index for index in range(2000)},
    "arrays": {
        "one": np.arange(6, dtype=np.float32).reshape(2, 3),
        "two": np.asfortranarray(np.arange(12, dtype=np.int64).reshape(3, 4)),
        "three": np.array([True, False]),
        "none": np.zeros((0, 3)),
    },
}


def same(mine, theirs):
    if isinstance(theirs, np.ndarray):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    elif isinstance(theirs, dict):
        assert list(mine) == list(theirs)
        for key, value in theirs.items():
            same(mine[key], value)
    else:
        assert mine == theirs


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("protocol", [3, 4])
def test_it_reads_what_pickle_reads(name, protocol):
    value = VALUES[name]
    same(read_pickled_arrays(pickle.dumps(value, protocol=protocol), "here"), value)


class Runs:
    def __reduce__(self):
        return os.mkdir, ("ran",)


BAD = {
    "a call": Runs(),
    "a call inside": {"weights": [Runs()]},
    "a class": {"x": Runs},
    "a function": print,
    "a set": {"x": {1, 2}},
    "objects in an array": np.array([print, None], dtype=object),
    "text in an array": np.array(["ab"]),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_anything_else_is_refused_and_not_run(name, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^here: ") as caught:
        read_pickled_arrays(pickle.dumps(BAD[name], protocol=protocol), "here")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_instructions_by_hand_are_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    attacks = [
        b"cos\nsystem\n(S'touch ran'\ntR.",
        b"\x80\x03cnumpy\nndarray\n(X\x01\x00\x00\x00atR.",
        b"(ios\nsystem\nS'touch ran'\n.",
        b"\x80\x02Pid\n.",
        b"\x80\x02\x82\x01.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09touch ran\x85R.",
        b"\x80\x03}(U\x01a}b.",
        b".",
        b"",
    ]
    for attack in attacks:
        with pytest.raises(DataError, match=r"^here: "):
            read_pickled_arrays(attack, "here")
    assert not list(tmp_path.iterdir())


def test_damaged_bytes_are_told_or_read():
    draw = random.Random(4)  # noqa: S311 - test data
    whole = pickle.dumps(VALUES["arrays"], protocol=3)
    for _ in range(400):
        spoilt = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
        content = bytes(spoilt[: draw.choice([len(spoilt), draw.randrange(len(spoilt))])])
        with contextlib.suppress(DataError):
            read_pickled_arrays(content, "here")
