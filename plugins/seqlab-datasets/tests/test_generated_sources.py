import hashlib

import numpy as np
import pytest
from seqlab.errors import ConfigError
from seqlab_datasets.memory_tasks import MemoryTaskSource
from seqlab_datasets.mnist1d import Mnist1dSource
from seqlab_datasets.scan import ScanSource, commands_and_actions

# of float32 series and int64 labels, training before test, as the published generator
# (package mnist1d 0.0.2.post1, make_dataset, seed 42) makes them
MNIST1D = "b09ad3e22c854bc5a1948b85c373aab653ceb38c9170f5ed05b7d054e4160db9"


def test_mnist1d_is_the_published_data_set_bit_for_bit():
    data = Mnist1dSource().load().with_format("numpy")
    checksum = hashlib.sha256()
    for split in ("train", "test"):
        series, labels = data[split]["series"][:], data[split]["label"][:]
        checksum.update(np.asarray(series, dtype="<f4").tobytes())
        checksum.update(np.asarray(labels, dtype="<i8").tobytes())
    assert checksum.hexdigest() == MNIST1D


def test_mnist1d_sizes_seeds_and_identity():
    source = Mnist1dSource(rows=100, seed=1)
    data = source.load()
    assert source.describe()["rows"] == {"train": 80, "test": 20}
    assert source.describe()["digest"].startswith("sha256:")
    assert len(data["train"][0]["series"]) == 40
    assert sorted(set(data["train"]["label"]) | set(data["test"]["label"])) == list(range(10))
    other = Mnist1dSource(rows=100, seed=2).load()
    assert other["train"][0]["series"] != data["train"][0]["series"]


@pytest.mark.parametrize(
    ("split", "train", "test"),
    [
        ("simple", 16_728, 4_182),
        ("length", 16_990, 3_920),
        ("jump", 14_670, 7_706),
        ("turn_left", 21_890, 1_208),
    ],
)
def test_scan_has_the_published_sizes(split, train, test):
    source = ScanSource(split=split)
    data = source.load()
    assert source.describe()["rows"] == {"train": train, "test": test}
    commands = set(data["train"]["commands"]) | set(data["test"]["commands"])
    assert len(commands) == 20_910
    assert not set(data["train"]["commands"]) & set(data["test"]["commands"])


def test_scan_commands_mean_what_the_paper_says():
    # examples of figure 1 of Lake and Baroni (2018)
    left, right = "I_TURN_LEFT", "I_TURN_RIGHT"
    pairs = dict(commands_and_actions())
    assert len(pairs) == 20_910
    assert pairs["jump left"] == f"{left} I_JUMP"
    assert pairs["jump around right"] == " ".join([right, "I_JUMP"] * 4)
    assert pairs["turn left twice"] == f"{left} {left}"
    assert pairs["jump thrice"] == "I_JUMP I_JUMP I_JUMP"
    assert pairs["jump opposite left and walk thrice"] == (
        f"{left} {left} I_JUMP I_WALK I_WALK I_WALK"
    )
    assert pairs["jump opposite left after walk around left"] == " ".join(
        [left, "I_WALK"] * 4 + [left, left, "I_JUMP"]
    )


def test_scan_splits_hold_out_what_they_say():
    length = ScanSource(split="length").load()
    assert max(len(a.split()) for a in length["train"]["actions"]) == 22
    assert min(len(a.split()) for a in length["test"]["actions"]) == 24
    jump = ScanSource(split="jump", repeat_primitive=False).load()
    assert [c for c in jump["train"]["commands"] if "jump" in c] == ["jump"]
    assert all("jump" in command for command in jump["test"]["commands"])
    repeated = ScanSource(split="jump").load()["train"]["commands"]
    assert sum(command == "jump" for command in repeated) == 1_467


def test_scan_simple_is_drawn_by_its_seed():
    first, again, other = (ScanSource(seed=seed).load()["test"]["commands"] for seed in (0, 0, 1))
    assert first[:] == again[:] != other[:]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (
            ScanSource,
            {"split": "lenght"},
            "split: .* did you mean 'length'",
        ),
        (ScanSource, {"seed": -1}, "seed: expected an int of at least 0, got -1"),
        (Mnist1dSource, {"rows": 3}, "rows: expected an int of at least 50, got 3"),
        (Mnist1dSource, {"seed": 1.5}, "seed: expected an int of at least 0, got 1.5"),
    ],
)
def test_wrong_options_are_refused(source, options, message):
    with pytest.raises(ConfigError, match=message):
        source(**options)


def test_what_is_asked_of_a_memory_follows_from_the_sequence():
    for length in (4, 30):
        for row in MemoryTaskSource(task="adding", length=length, rows=40).load()["train"]:
            assert len(row["series"]) == length
            assert sum(mark for _, mark in row["series"]) == 2
            assert row["value"] == sum(number * mark for number, mark in row["series"])
        for row in MemoryTaskSource(task="copy", length=length, rows=40).load()["test"]:
            assert len(row["tokens"]) == len(row["tags"]) == length + 10
            assert row["tags"][-5:] == row["tokens"][:5]
        for row in MemoryTaskSource(task="temporal_order", length=length, rows=40).load()["test"]:
            assert "".join(filter("XY".count, row["tokens"])) == row["label"]


def test_memory_tasks_are_the_same_each_time_and_others_by_seed():
    rows = [MemoryTaskSource(rows=8, seed=seed).load()["train"].to_list() for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]
