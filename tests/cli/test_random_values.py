"""Values of all types under the keys of a config file: a run, or one line and no folder."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import hypothesis
import pytest
import seqlab
import yaml
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from seqlab.cli import main
from seqlab.config.resolve import resolve
from seqlab.construct import accepted_options

from small_runs import changed, pairs_spec, sentences_spec, series_spec, words_spec

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
TRIES = 150
TASKS = {
    "words": words_spec,
    "sentences": sentences_spec,
    "pairs": pairs_spec,
    "series": series_spec,
}
#: The keys of parts, and how many arguments of theirs are given by seqlab.
PARTS = {
    "encoder.cell": ("cell", 1),
    "head": ("head", 2),
    "optimizer": ("optimizer", 1),
    "scheduler": ("schedule", 1),
}
#: Keys that start other processes, which would begin with the command of this one.
LEFT_OUT = {"resume", "trainer.devices", "trainer.num_nodes", "trainer.strategy"}
SHORT = {"max_steps": 1, "limit_val_batches": 1, "limit_test_batches": 1}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.floats(-2, 2),
    st.floats(),
    st.sampled_from([math.nan, math.inf]),
    st.dates(),
    st.binary(max_size=3),
    st.sampled_from(
        ["", "auto", "nan", "1", "???", "${seed}", "${no.such}", "../../x", "a b", "\u00e9"]
    ),
    st.text(max_size=4),
    st.sampled_from(seqlab.available("cell") + seqlab.available("head")),
)
keys = st.sampled_from(["name", "a", "size", "lr", ""]) | st.integers(0, 2)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=4,
)


def leaves(node: Any, path: str = "") -> list[str]:
    """The keys of a spec, those of mappings too."""
    found = []
    for name, value in node.items():
        key = f"{path}.{name}".lstrip(".")
        found += [key, *(leaves(value, key) if isinstance(value, dict) else ())]
    return found


def options(spec: Any) -> list[str]:
    """The options that its parts have, given or not."""
    found = []
    for key, (kind, first) in PARTS.items():
        node = spec
        for name in key.split("."):
            node = node[name]
        names = list(accepted_options(seqlab.get(kind, node["name"])))[first:]
        found += [f"{key}.{name}" for name in names]
    return found


def put(spec: Any, key: str, value: Any) -> None:
    """Set a key, whatever was there."""
    *folders, last = key.split(".")
    for name in folders:
        if not isinstance(spec.get(name), dict):
            spec[name] = {}
        spec = spec[name]
    spec[last] = value


@pytest.mark.parametrize("task", TASKS)
def test_values_of_all_types(task, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = TASKS[task](tmp_path)
    spec = changed(spec, trainer={**spec["trainer"], **SHORT}, samples=0)
    del spec["resume"]
    whole = resolve({**spec, "resume": None})
    names = sorted({*leaves(whole), *options(whole)} - LEFT_OUT)
    folder = tmp_path / "conf/experiment"
    folder.mkdir(parents=True)
    counts: Counter[str] = Counter()

    @settings(
        max_examples=TRIES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(st.dictionaries(st.sampled_from(names), values, min_size=1, max_size=2))
    def attack(changes):
        given = changed(spec)
        for key, value in sorted(changes.items()):
            put(given, key, value)
        text = yaml.safe_dump(given, allow_unicode=True)
        (folder / "random.yaml").write_text(f"# @package _global_\n{text}", "utf-8")
        run = tmp_path / f"run{sum(counts.values())}"
        words = ["--config-dir", str(tmp_path / "conf"), "experiment=random"]
        code = main(["train", *words, f"hydra.run.dir={run}"])
        out, err = capsys.readouterr()
        assert code in (0, 2), (changes, out, err)
        counts["refused" if code else "trained"] += 1
        if code == 2:
            assert err.startswith("error: "), (changes, err)
            assert err.count("\n") == 1, (changes, err)
            assert len(err) < 1500, (changes, err)
            if not out.strip():  # nothing was begun
                assert not run.exists(), changes

    attack()
    print(dict(counts))  # noqa: T201 - the record of the long tests
    assert counts["refused"] > 50
