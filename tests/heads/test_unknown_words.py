"""An answer's ``<unk>`` is right nowhere: a reference's unknown word is another word."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from encoder_decoder_helpers import TARGET, build, make_batch
from seqlab.heads.metrics.base import Outcome
from seqlab.heads.metrics.texts import BLEU, ChrF
from seqlab.heads.search import Answers
from seqlab.heads.tokens import Found
from seqlab.types import TargetInfo, Writer


def measured(asymmetric, monkeypatch, target, answer, references=None):
    """The metrics of one row, answered as said."""
    model = build(asymmetric)
    batch = make_batch(lengths=(3,))
    lengths = torch.tensor([len(target)])
    batch = dataclasses.replace(
        batch,
        target=torch.tensor([target]),
        target_lengths=lengths,
        references=references,
    )
    found = Answers(torch.tensor([answer]), torch.tensor([len(answer)]), torch.zeros(1))
    monkeypatch.setattr(model.head, "answer", lambda *_, **__: Found([found]))
    metrics = model.head.metrics()
    model.head.measure(metrics, model.encode(batch), batch)
    return {name: float(metric.compute()) for name, metric in metrics.items()}


@pytest.mark.parametrize("references", [None, [[[3, 1, 1, 4], [1]]]])
def test_an_unknown_word_is_an_error_each_time_it_stands_there(asymmetric, monkeypatch, references):
    found = measured(asymmetric, monkeypatch, [3, 1, 1, 4], [3, 1, 1, 4], references)
    assert found["token_error_rate"] == (0.5 if references is None else pytest.approx(2 / 4))
    assert found["sequence_accuracy"] == 0.0
    assert measured(asymmetric, monkeypatch, [3, 6, 4], [3, 6, 4])["sequence_accuracy"] == 1.0
    assert TARGET.size == 7


@pytest.mark.parametrize("metric", [BLEU, ChrF])
def test_texts_have_another_word_there(metric):
    words = ["<pad>", "<unk>", "a", "cat", "sat", "down", "here", "too", "."]
    values = []
    for gold in ([2, 3, 4, 5, 1, 7], [2, 3, 4, 5, 9, 7], [2, 3, 4, 5, 6, 7]):
        one = metric(TargetInfo("tokens", len(words)))
        one.decode = Writer(lambda ids: " ".join(words[i] for i in ids))
        one.update(Outcome([[2, 3, 4, 5, 1 if gold[4] != 6 else 6, 7]], [[gold]]))
        values.append(float(one.compute()))
    assert values[0] == values[1] < values[2]
    assert values[2] == pytest.approx(1.0)
