from __future__ import annotations

from collections import Counter

import pytest
from seqlab.errors import ConfigError
from seqlab.testing import parametrize_with_checks
from seqlab_memory import CopyMemorySource, TemporalOrderSource


@parametrize_with_checks(["source=copy_memory", "source=temporal_order"])
def test_conforms(check):
    check()


def test_copy_memory_asks_for_the_symbols_after_the_delay():
    rows = CopyMemorySource(rows=40, delay=7, seed=3).load()["train"]
    for row in rows:
        tokens, tags = row["tokens"], row["tags"]
        assert len(tokens) == len(tags) == 27
        assert set(tokens[:10]) <= set("abcdefgh")
        assert tokens[10:] == ["blank"] * 6 + ["go"] + ["blank"] * 10
        assert tags == ["blank"] * 17 + tokens[:10]
    assert set("".join(token for row in rows for token in row["tokens"][:10])) == set("abcdefgh")


def test_temporal_order_has_two_symbols_in_their_tenths():
    rows = TemporalOrderSource(rows=400, length=40, seed=3).load()["train"]
    labels = Counter()
    for row in rows:
        tokens = row["tokens"]
        places = [i for i, token in enumerate(tokens) if token in ("X", "Y")]
        assert 4 <= places[0] < 8
        assert 20 <= places[1] < 24
        assert len(places) == 2
        assert 40 <= len(tokens) <= 44
        assert (tokens[0], tokens[-1]) == ("E", "B")
        assert row["label"] == tokens[places[0]] + tokens[places[1]]
        labels[row["label"]] += 1
    assert set(labels) == {"XX", "XY", "YX", "YY"}
    assert min(labels.values()) > 50


def test_seeds_decide():
    first, again, other = (
        CopyMemorySource(rows=10, seed=seed).load()["test"][0] for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: CopyMemorySource(delay=0), "delay: expected an int of at least 1"),
        (lambda: CopyMemorySource(rows=2.5), "rows: .* at least 10, got 2.5"),
        (lambda: TemporalOrderSource(length=9), "length: .* at least 10, got 9"),
        (lambda: TemporalOrderSource(seed=True), "seed: .* got true"),
    ],
)
def test_wrong_options(make, match):
    with pytest.raises(ConfigError, match=match):
        make()
