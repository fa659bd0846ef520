from __future__ import annotations

import pytest
from seqlab.config.overrides import expand, is_short

LONG = [
    ("cell.hidden_size=256", "encoder.cell.hidden_size=256"),
    ("+cell.zoneout=0.1", "+encoder.cell.zoneout=0.1"),
    ("++cell.zoneout=0.1", "++encoder.cell.zoneout=0.1"),
    ("~cell.zoneout", "~encoder.cell.zoneout"),
    ("cell.hidden_size=64,128", "encoder.cell.hidden_size=64,128"),
    ("wrappers=[bidirectional]", "encoder.wrappers=[bidirectional]"),
    ("wrappers.0.merge_mode=sum", "encoder.wrappers.0.merge_mode=sum"),
    ("wrappers[0].merge_mode=sum", "encoder.wrappers[0].merge_mode=sum"),
    ("~wrappers", "~encoder.wrappers"),
    ("embedding.size=8", "encoder.embedding.size=8"),
]


@pytest.mark.parametrize(("short", "long"), LONG)
def test_short_keys_are_written_out(short, long):
    assert expand(short) == long
    assert is_short(short)


@pytest.mark.parametrize(
    "word",
    [
        "cell=gru",
        "cell@encoder.cell=gru",
        "~cell",
        "-m",
        "--cfg",
        "encoder.cell.hidden_size=3",
        "wrapper=stacked",
        "wrappers_other=3",
        "source.path=cell.csv",
        "head.decoder.cell.name=gru",
        "data.features.text.column=cell.x",
    ],
)
def test_all_else_stays(word):
    assert expand(word) == word
    assert not is_short(word)
