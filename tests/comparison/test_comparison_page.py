"""The page says what ``compare.json`` says."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from seqlab.comparison.page import compare_page
from seqlab.comparison.verdicts import judge, own_interval


def found(advantage, seeds=4):
    draw = np.random.default_rng(3)
    base = draw.normal(0, 1, (seeds, 100))
    scores = {
        name: (values.mean(axis=1), values[:, draw.integers(0, 100, (100, 50))].mean(axis=1))
        for name, values in (
            ("<lstm>", base + advantage + draw.normal(0, 0.1, base.shape)), ("gru", base)
        )
    }  # fmt: skip
    costs = {"parameters": 100, "step_ms": 2.0, "seconds": 3.0, "memory_bytes": None}
    contestants = [
        {
            "name": name, "values": values.tolist(), **own_interval((values, drawn), "max", 0.05),
            **costs, "seconds_to_quality": None,
        }
        for name, (values, drawn) in scores.items()
    ]  # fmt: skip
    return {
        "metric": "accuracy", "mode": "max", "rows": 100, "seeds": list(range(seeds)),
        "match": "none", "notes": ["Chosen on validation."], "contestants": contestants,
        "pairs": judge(scores, "max", 0.05, 100),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("advantage", "lead"), [(1.0, "&lt;lstm&gt; is better than gru."), (0.0, "No difference")]
)
def test_the_verdict_comes_first(advantage, lead):
    page = compare_page(found(advantage)).html()
    assert lead in re.search(r'<p class="lead">(.*?)</p>', page)[1]
    assert page.count("<figure>") == 4
    assert "Chosen on validation." in page


def test_a_single_seed_has_a_page_too():
    page = compare_page(found(1.0, seeds=1)).html()
    assert "one seed says nothing of others" in page
    assert json.dumps("NaN") not in page
