"""Random words on the command line: each ends in exit code 0 or in 2 with one line."""

from __future__ import annotations

import random

import pytest
from seqlab.cli import main

pytestmark = pytest.mark.slow

KEYS = (
    "cell", "cell.hidden_size", "cell.dropout", "cell.nothing", "head", "head.pooling", "data",
    "data.batch_size", "data.features", "optimizer", "optimizer.lr", "trainer.max_epochs",
    "trainer.precision", "source", "source.name", "seed", "experiment", "wrapper", "callbacks",
    "hydra.run.dir", "encoder.wrappers", "no.such.key", "",
)  # fmt: skip
VALUES = (
    "gru", "lstm", "-1", "0", "1e400", "nan", "null", "true", "[]", "[1,", "{}", "{a: 1}", "'", '"',
    "${oc.env:HOME}", "${nothing}", "???", "10000000000000000000", "a b", "\u00e9", "=", "\\", "",
)  # fmt: skip
FORMS = ("{}={}", "+{}={}", "++{}={}", "~{}", "{}", "{}@x={}", "{}.={}")
TRIES = 300


def test_random_overrides_end_in_a_config_or_in_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counts = {0: 0, 2: 0}
    for seed in range(TRIES):
        draw = random.Random(seed)  # noqa: S311  # test data
        words = [
            draw.choice(FORMS).format(draw.choice(KEYS), draw.choice(VALUES))
            for _ in range(draw.randint(1, 3))
        ]
        code = main(["train", *words, "--cfg", "job"])
        err = capsys.readouterr().err
        assert code in counts, (seed, words, code)
        assert "Traceback" not in err, (seed, words)
        if code == 2:
            assert err.startswith("error: "), (seed, words, err)
            assert err.count("\n") <= 4, (seed, words, err)
        counts[code] += 1
    print(counts)  # noqa: T201  # the record of the long tests
    assert counts[2] > TRIES / 4
