"""CTC against sums over all alignments, torch's loss and another decoder."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections import defaultdict

import pytest
import seqlab
import torch
import torch.nn.functional as F
from heads_helpers import batch_for, fit, info_of, make_inputs, make_model, random_encoded
from seqlab.cli import main
from seqlab.errors import DataError, SeqlabError
from seqlab.heads.beam import BeamSearch
from seqlab.heads.ctc import CTCHead
from seqlab.heads.ctc_prefixes import PrefixSteps, best_path, empty_prefixes
from seqlab.heads.search import GreedySearch
from seqlab.types import Batch, TargetInfo, lengths_to_mask

BLANK, EOS = 3, 0
TARGET = TargetInfo("tokens", 5, bos=BLANK, eos=EOS)
MASK = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
GOLD = torch.tensor([[1, 1, 2], [4, 2, 99], [1, 99, 99], [99, 99, 99]])
GOLD_LENGTHS = torch.tensor([3, 2, 1, 0])


def make_head(encoded, **options):
    torch.manual_seed(4)
    return CTCHead(info_of(encoded), TARGET, **options).double()


def collapse(path):
    return tuple(k for k, _ in itertools.groupby(path) if k != BLANK)


def all_labels(frames):
    """Every label sequence that frames ``[F, V]`` can write, with its probability."""
    found = defaultdict(float)
    rows = frames.exp().tolist()
    for path in itertools.product(range(len(rows[0]) if rows else 1), repeat=len(rows)):
        found[collapse(path)] += math.prod(row[k] for row, k in zip(rows, path, strict=True))
    return found


def random_frames(rows, steps, size=5, *, seed=0, sharp=2.0):
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(rows, steps, size, generator=generator, dtype=torch.float64) * sharp
    raw[..., EOS] = -1.0e4
    return raw.log_softmax(-1)


def real_frames(head, encoded):
    """Of each row, by the mask and not by the head's own reordering."""
    scores, n = head.scores(encoded), head.upsampling
    return [scores[row][mask.repeat_interleave(n)] for row, mask in enumerate(encoded.mask)]


@pytest.mark.parametrize("upsampling", [1, 2])
def test_the_loss_is_the_sum_over_all_alignments(upsampling):
    encoded = random_encoded(MASK, dtype=torch.float64)
    head = make_head(encoded, upsampling=upsampling)
    batch = batch_for(encoded, GOLD, target_lengths=GOLD_LENGTHS)
    expected = 0.0
    for frames, row, n in zip(real_frames(head, encoded), GOLD.tolist(), (3, 2, 1, 0), strict=True):
        expected -= math.log(all_labels(frames)[tuple(row[:n])])
    torch.testing.assert_close(
        head.loss(encoded, batch).item(), expected / (6 + 4), rtol=1e-12, atol=0
    )


def test_gradients_are_those_of_the_sum_over_all_alignments():
    """Also where a row is empty; by autograd through the enumeration itself."""
    encoded = random_encoded(MASK, dtype=torch.float64)
    head = make_head(encoded)
    batch = batch_for(encoded, GOLD, target_lengths=GOLD_LENGTHS)
    ours = torch.autograd.grad(head.loss(encoded, batch), list(head.parameters()))
    total = 0.0
    for frames, row, n in zip(real_frames(head, encoded), GOLD.tolist(), (3, 2, 1, 0), strict=True):
        paths = [
            torch.stack([frames[t, k] for t, k in enumerate(path)]).sum()
            for path in itertools.product(range(5), repeat=len(frames))
            if path and collapse(path) == tuple(row[:n])
        ]
        total = total - (torch.logsumexp(torch.stack(paths), 0) if paths else 0.0)
    theirs = torch.autograd.grad(total / 10, list(head.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_the_loss_is_torchs_over_tokens_and_rows():
    mask = lengths_to_mask(torch.tensor([30, 21]), 30)
    encoded = random_encoded(mask, dtype=torch.float64)
    head = make_head(encoded)
    target = torch.randint(1, 3, (2, 8), generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([8, 5])
    found = head.loss(encoded, batch_for(encoded, target, target_lengths=lengths))
    frames = head.scores(encoded).transpose(0, 1)
    theirs = F.ctc_loss(frames, target, encoded.lengths, lengths, blank=BLANK, reduction="sum")
    torch.testing.assert_close(found, theirs / (13 + 2))


def walk(frames, search):
    step = PrefixSteps(frames, blank=BLANK, eos=EOS)
    limit = torch.full((len(frames),), frames.shape[1])
    return search.find(step, empty_prefixes(frames, BLANK), limit, bos=BLANK, eos=EOS)


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_most_probable_labels(seed):
    frames = random_frames(3, 5, seed=seed, sharp=0.7)
    answers = walk(frames, BeamSearch(width=200))
    for row, tokens in enumerate(answers.to_lists()):
        labels = all_labels(frames[row])
        best = max(labels, key=labels.get)
        assert tuple(tokens) == best
        assert math.isclose(float(answers.score[row]), math.log(labels[best]), rel_tol=1e-9)


@pytest.mark.parametrize("search", [GreedySearch(), BeamSearch(width=2)])
def test_scores_are_exact_whatever_the_width(search):
    frames = random_frames(4, 5, seed=9)
    answers = walk(frames, search)
    for row, tokens in enumerate(answers.to_lists()):
        exact = math.log(all_labels(frames[row])[tuple(tokens)])
        assert math.isclose(float(answers.score[row]), exact, rel_tol=1e-9, abs_tol=1e-12)


def test_every_prefix_has_its_probability():
    """Each step is a distribution, and the chain rule gives the labels' probabilities."""
    frames = random_frames(1, 4, seed=3, sharp=1.0)
    step = PrefixSteps(frames, blank=BLANK, eos=EOS)
    labels = all_labels(frames[0])

    def check(prefix, state, last, log_p):
        found, state = step(torch.tensor([[last]]), state)
        row = found[0, 0]
        assert math.isclose(float(row.exp().sum()), 1.0, rel_tol=1e-9)
        assert math.isclose(math.exp(log_p + float(row[EOS])), labels[prefix], rel_tol=1e-9)
        for token in (1, 2, 4):
            if len(prefix) < 3 and row[token] > -1e3:
                check((*prefix, token), state, token, log_p + float(row[token]))

    check((), empty_prefixes(frames, BLANK), BLANK, 0.0)


def test_best_path_collapses_the_best_alignment():
    frames = random_frames(6, 9, seed=5)
    answers = best_path(frames, BLANK)
    for row, tokens in enumerate(answers.to_lists()):
        assert tuple(tokens) == collapse(frames[row].argmax(-1).tolist())
    torch.testing.assert_close(answers.score, frames.max(-1).values.sum(1))


def test_the_same_labels_as_another_decoder():
    """fast-ctc-decode wants the blank first, single precision, and drops improbable tokens."""
    other = pytest.importorskip("fast_ctc_decode")
    frames = random_frames(20, 40, seed=7, sharp=5.0)
    columns = frames[:, :, [BLANK, 1, 2, 4]].exp()
    beams, greedy = walk(frames, BeamSearch(width=32)), best_path(frames, BLANK)
    for row in range(len(frames)):
        probabilities = columns[row].float().contiguous().numpy()
        text, _ = other.beam_search(probabilities, "N124", beam_size=100, beam_cut_threshold=0.0)
        assert "".join(map(str, beams.to_lists()[row])) == text
        text, _ = other.viterbi_search(probabilities, "N124")
        assert "".join(map(str, greedy.to_lists()[row])) == text


def test_a_target_that_cannot_be_written_is_refused_with_its_row():
    encoded = random_encoded(MASK, dtype=torch.float64)
    head = make_head(encoded)
    gold = torch.tensor([[1, 2, 1], [2, 2, 0], [1, 1, 0], [0, 0, 0]])
    batch = batch_for(
        encoded, gold, target_lengths=torch.tensor([3, 2, 2, 0]), rows=torch.tensor([5, 8, 3, 4])
    )
    expected = (
        "row 3: CTC needs 3 frames to write 2 tokens, with a blank between equal ones; "
        r"1 steps with head.upsampling=1 give 1; raise head.upsampling to 3, or leave"
    )
    with pytest.raises(DataError, match=expected):
        head.loss(encoded, batch)
    assert head.refusal(batch)[0] == 2
    assert make_head(encoded, upsampling=3).loss(encoded, batch).isfinite()


def test_rows_that_are_too_long_can_be_skipped():
    """The loss and its gradients are those of the other rows; the answer is measured."""
    encoded = random_encoded(MASK, dtype=torch.float64)
    head = make_head(encoded, too_long="skip")
    gold = torch.tensor([[1, 2, 1], [2, 2, 0], [1, 1, 0], [1, 0, 0]])
    batch = batch_for(encoded, gold, target_lengths=torch.tensor([3, 2, 2, 1]))
    assert head.refusal(batch) is None
    kept = random_encoded(MASK, dtype=torch.float64)
    kept = kept._replace(output=kept.output[:2], mask=kept.mask[:2], lengths=kept.lengths[:2])
    other = batch_for(kept, gold[:2], target_lengths=torch.tensor([3, 2]))
    parameters = list(head.parameters())
    loss, expected = head.loss(encoded, batch), head.loss(kept, other)
    torch.testing.assert_close(loss, expected)
    for a, b in zip(
        torch.autograd.grad(loss, parameters),
        torch.autograd.grad(expected, parameters),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
    metrics = head.metrics()
    head.measure(metrics, encoded, batch)
    assert int(metrics["sequence_accuracy"].total) == 4


def test_no_frames_at_all():
    encoded = random_encoded(torch.zeros(2, 0, dtype=torch.bool), dtype=torch.float64)
    head = make_head(encoded)
    none = torch.zeros(2, 0, dtype=torch.long)
    batch = batch_for(encoded, none, target_lengths=torch.zeros(2, dtype=torch.long))
    assert float(head.loss(encoded, batch)) == 0.0
    for search in ("greedy", "best_path", {"name": "beam", "width": 3}):
        answers = head.predict(encoded, search=search)
        assert [answer["tokens"] for answer in answers] == [[], []]
        assert [answer["score"] for answer in answers] == [0.0, 0.0]


@pytest.mark.parametrize("search", ["greedy", "best_path", {"name": "beam", "width": 4}])
def test_learns_to_write_and_predicts_without_marks(search):
    inputs, lengths = make_inputs([4, 3, 2])
    target = torch.tensor([[5, 5, 2, 4], [2, 0, 0, 0], [4, 5, 4, 0]])
    batch = Batch(inputs, lengths, target, torch.tensor([4, 1, 3]))
    torch.manual_seed(1)
    info = dataclasses.replace(TARGET, size=6)
    model = make_model({"name": "ctc", "upsampling": 2, "search": search}, info)
    assert fit(model, batch) < 0.05
    answers = model.predict(batch)
    assert [answer["tokens"] for answer in answers] == [[5, 5, 2, 4], [2], [4, 5, 4]]
    assert all(set(answer) == {"tokens", "score"} for answer in answers)
    metrics = model.metrics()
    model.measure(metrics, batch, final=True)
    assert {name: float(metric.compute()) for name, metric in metrics.items()} == {
        "token_error_rate": 0.0,
        "sequence_error_rate": 0.0,
        "sequence_accuracy": 1.0,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upsampling": 0}, "upsampling"),
        ({"too_long": "drop"}, "too_long"),
        ({"search": "bst_path"}, "unknown search 'bst_path'"),
    ],
)
def test_bad_options_are_refused(options, message):
    encoded = random_encoded(MASK)
    with pytest.raises(SeqlabError, match=message):
        make_head(encoded, **options)


@pytest.fixture
def pairs(tmp_path):
    """A command that learns to write words in capitals; further test rows may be added."""

    def write(odd=()):
        letters = ["abe", "ad", "bead", "cab", "dab", "ebb", "fade", "deaf", "bad", "face"]
        rows = [(word, word.upper()) for word in letters * 6]
        for split, more in (("train", ()), ("test", odd)):
            lines = [f"{word}\t{text}" for word, text in [*rows, *more]]
            (tmp_path / f"{split}.tsv").write_text("\n".join(["source\ttarget", *lines]) + "\n")
        files = [f"source.{split}={tmp_path / split}.tsv" for split in ("train", "test")]
        small = ["cell=gru", "cell.hidden_size=12", "wrapper=bidirectional", "optimizer.lr=0.02"]
        chars = ["data.features.text.tokenizer.name=chars", "data.target.tokenizer.name=chars"]
        return ["train", "source=files", *files, "data=text_text", "head=ctc", *small, *chars]

    return write


def test_a_run_learns_and_its_bundle_answers(pairs, tmp_path):
    run = f"hydra.run.dir={tmp_path / 'run'}"
    options = ["head.upsampling=2", "trainer.max_epochs=60", "data.batch_size=16"]
    assert main([*pairs(), *options, run]) == 0
    test = json.loads((tmp_path / "run" / "result.json").read_text())["test"]
    assert test["token_error_rate"] < 0.05
    trained = seqlab.load(tmp_path / "run" / "bundle")
    for search in ("greedy", "best_path", {"name": "beam", "width": 3}):
        assert trained.predict(["ebb"], search=search)[0]["text"] == "EBB"


def test_a_row_that_cannot_be_written_is_named_before_training(pairs, tmp_path, capsys):
    """The test row would be met only after hours of training."""
    run = f"hydra.run.dir={tmp_path / 'run'}"
    assert main([*pairs([("w", "FACADE")]), "head.upsampling=2", run]) == 2
    shown = capsys.readouterr().err.strip().splitlines()[-1]
    assert "test.tsv line 62: CTC needs 6 frames to write 6 tokens" in shown
    assert "1 steps with head.upsampling=2 give 2; raise head.upsampling to 6" in shown
    assert not (tmp_path / "run" / "checkpoints").exists()
