"""Language models write texts and fill gaps; the slow way, by whole texts, stands beside."""

from __future__ import annotations

import json
import math

import pytest
import torch
from language_helpers import PAIR, STACKS, TERMS, language_model, learn
from seqlab.bundle import save_bundle
from seqlab.cli import main
from seqlab.errors import OptionError, RunError, UnknownPieceWarning
from seqlab.heads.sampling import draw, narrowed
from seqlab.types import Batch

from small_runs import untrained, words_spec


def by_whole_texts(trained, term, prompt, steps):
    """The most probable tokens one by one, each from a run over all that stands there so far."""
    letters = [trained.processor.target.tokenizer.entry(i) for i in range(4, 8)]
    text = prompt
    for _ in range(steps):
        longer = [text + c if term == "forward" else c + text for c in letters]
        place = len(text) if term == "forward" else 0
        *scores, end = [a[term][place] for a in trained.score(longer)] + [
            trained.score([text])[0]["end" if term == "forward" else "begin"]
        ]
        if end > max(scores):
            return text, True
        text = longer[scores.index(max(scores))]
    return text, False


@pytest.mark.parametrize("wrappers", [PAIR, STACKS])
@pytest.mark.parametrize("term", ["forward", "backward"])
def test_steps_write_what_whole_texts_write(wrappers, term):
    for seed in range(4):
        trained = language_model(["abcd"], wrappers=wrappers, seed=seed)
        (answer,) = trained.generate("ab", temperature=0, max_length=6, direction=term)
        assert (answer["text"], answer["ended"]) == by_whole_texts(trained, term, "ab", 6)
        (scored,) = trained.score([answer["text"]])
        added = scored["forward"][2:] if term == "forward" else scored["backward"][:-2]
        total = sum(added)
        if answer["ended"]:
            total += scored["end" if term == "forward" else "begin"]
        assert answer["log_probability"] == pytest.approx(total, abs=1e-9)


def test_texts_are_drawn_as_often_as_they_are_probable():
    trained = language_model(["ab", "b"], seed=3)
    texts = [answer["text"] for answer in trained.generate(n=4000, seed=1, max_length=3)]
    for answer, text in zip(trained.score(["", "a", "b", "ab"]), ["", "a", "b", "ab"], strict=True):
        # what is not known is never written
        p = known = 1.0
        for log in [*answer["forward"], answer["end"]]:
            p *= math.exp(log)
        for prefix in (text[:i] for i in range(len(text) + 1)):
            (unknown,) = trained.score([prefix + "?"])
            known *= 1 - math.exp(unknown["forward"][-1])
        assert texts.count(text) / 4000 == pytest.approx(p / known, abs=0.04)
    assert not any("unk" in text for text in texts)


def test_a_seed_gives_the_same_texts_and_top_k_and_top_p_narrow_them():
    trained = language_model(["abcd"], seed=1)
    first, again = (trained.generate("a", n=3, seed=5, max_length=20) for _ in range(2))
    assert first == again
    assert trained.generate("a", n=3, seed=6, max_length=20) != first
    greedy = trained.generate("a", temperature=0, max_length=20)
    for narrow in ({"top_k": 1}, {"top_p": 0.0}, {"top_p": 1e-9}):
        assert trained.generate("a", seed=1, max_length=20, **narrow) == greedy


def test_draws_have_the_probabilities_that_are_left():
    log_p = torch.tensor([[0.5, 0.3, 0.15, 0.05]], dtype=torch.float64).log().expand(20000, -1)
    random = torch.Generator().manual_seed(0)

    def shares(**options):
        drawn = draw(log_p, options.pop("temperature", 1.0), random=random, **options)
        return (torch.bincount(drawn, minlength=4) / len(drawn)).tolist()

    assert shares() == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.02)
    assert shares(top_k=2) == pytest.approx([5 / 8, 3 / 8, 0, 0], abs=0.02)
    assert shares(top_p=0.79) == pytest.approx([5 / 8, 3 / 8, 0, 0], abs=0.02)
    assert shares(top_p=0.81) == pytest.approx([0.526, 0.316, 0.158, 0], abs=0.02)
    squares = [0.25, 0.09, 0.0225, 0.0025]
    assert shares(temperature=0.5) == pytest.approx([s / sum(squares) for s in squares], abs=0.02)


@torch.no_grad()
def by_a_plain_loop(trained, term, prompt, steps, *, seed, temperature, top_k=None, top_p=None):
    """One row, one token after the other, each from a run over all that was read so far."""
    model, target = trained.model, trained.processor.target
    head, random = model.head, torch.Generator().manual_seed(seed)
    read = [target.info.bos, *(target.tokenizer.encode([prompt]).row(0).tolist())]
    if term == "backward":
        read = [target.info.eos, *read[:0:-1]]
    total, begun = 0.0, len(read)
    while len(read) - begun < steps:
        # the side of the encoder that reads the text so far; what stands on the other is not seen
        ids = torch.tensor([read if term == "forward" else read[::-1]])
        batch = Batch({"text": ids}, torch.tensor([len(read)]))
        output = model.encode(batch).output
        forward, backward = output.split(list(model.encoder.info.directions), -1)
        context = forward[:, -1] if term == "forward" else backward[:, 0]
        log_p = head.log_probabilities(term, context)[0]
        scores = log_p.clone()
        scores[1] = -math.inf
        kept = scores.argsort(descending=True, stable=True)
        scores = scores / (temperature or 1)
        kept = kept[: top_k or len(kept)]
        p = scores[kept].softmax(0)
        if top_p is not None:
            kept = kept[: 1 + int((p.cumsum(0)[:-1] < top_p).sum())]
        noise = -(-torch.rand(len(log_p), dtype=torch.float64, generator=random).log()).log()
        token = int(kept[(scores + (noise if temperature else 0))[kept].argmax()])
        total += float(log_p[token])
        if token == (target.info.eos if term == "forward" else target.info.bos):
            return target.decode(read[1:] if term == "forward" else read[:0:-1]), total, True
        read.append(token)
    return target.decode(read[1:] if term == "forward" else read[:0:-1]), total, False


@pytest.mark.parametrize(
    ("options", "head"),
    [
        ({"temperature": 1.0}, {}),
        ({"temperature": 0.5}, {"tied": True}),
        ({"temperature": 3.0}, {"cutoffs": [5]}),
        ({"temperature": 0.0}, {}),
        ({"temperature": 0.7, "top_k": 3}, {}),
        ({"temperature": 2.0, "top_p": 0.7}, {"cutoffs": [5]}),
        ({"temperature": 1.0, "top_k": 4, "top_p": 0.6}, {}),
    ],
)
def test_a_seed_gives_what_a_plain_loop_gives(options, head):
    """Blocks of steps, scores without softmax and what follows the end change nothing."""
    for seed, steps in enumerate((1, 8, 9, 30)):
        term = ("forward", "backward")[seed % 2]
        trained = language_model(["abcd"], seed=seed, **head)
        if not head:
            trained.model.head.vocabulary.output.bias.data[2:4] -= 4.0  # both marks: longer texts
        (answer,) = trained.generate("ab", seed=seed, max_length=steps, direction=term, **options)
        text, total, ended = by_a_plain_loop(trained, term, "ab", steps, seed=seed, **options)
        assert (answer["text"], answer["ended"]) == (text, ended)
        assert answer["log_probability"] == pytest.approx(total, abs=1e-9)


def test_rows_are_drawn_side_by_side_and_each_to_its_end():
    trained = language_model(["abcd"], seed=2)
    rows = trained.generate("a", n=40, seed=0, max_length=30)
    assert len({row["text"] for row in rows}) > 5
    for row in rows:
        (scored,) = trained.score([row["text"]])
        total = sum(scored["forward"][1:]) + (scored["end"] if row["ended"] else 0.0)
        assert row["log_probability"] == pytest.approx(total, abs=1e-9)
        assert len(row["text"]) <= 31


def test_scores_that_are_no_numbers_are_one_line():
    trained = language_model()
    torch.nn.init.constant_(trained.model.head.vocabulary.output.bias, math.nan)
    with pytest.raises(RunError, match="scores are no numbers"):
        trained.generate(max_length=3)


def test_half_precision_generates():
    trained = language_model(["abcd"])
    trained.model.bfloat16()
    assert len(trained.generate("ab", n=3, seed=1, max_length=12)) == 3


def test_narrowed_scores_are_those_that_are_drawn_from():
    scores = torch.randn(50, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for k, top_p in ((3, None), (None, 0.6), (4, 0.8), (1, 0.0)):
        kept = narrowed(scores, k, top_p).isfinite()
        for row, mask in zip(scores, kept, strict=True):
            order = row.argsort(descending=True)[: k or 7]
            p, expected, before = row[order].softmax(0), [], 0.0
            for index, share in zip(order.tolist(), p.tolist(), strict=True):
                if top_p is None or before < top_p or not expected:
                    expected.append(index)
                before += share
            assert sorted(expected) == mask.nonzero().squeeze(1).tolist()


@pytest.mark.parametrize("words", [False, True])
def test_a_gap_is_filled_from_both_sides(words):
    texts = ["xax", "yay", "xby", "ybx"]
    data = None
    if words:
        texts = [" ".join(text) for text in texts]
        feature = {"column": "text", "kind": "tokens"}
        data = {"features": {"words": feature}, "target": {"kind": "inputs"}}
    trained = language_model(texts, hidden=12, seed=2, data=data)
    learn(trained, texts)
    for text in texts:
        given = list(text.split() if words else text)
        given[1] = "_"
        filled = trained.fill(given if words else "".join(given))
        assert filled["text"] == (text.split() if words else text)
        ((best, *others),) = filled["gaps"]
        assert best["probability"] > 0.98
        assert len(others) == 3
        assert "<unk>" not in {other["token"] for other in others}
    two = trained.fill("x _ _" if words else "x__")
    assert "".join(two["text"]) in {"xax", "xby"}
    assert len(two["gaps"]) == 2


def test_the_probability_in_a_gap_is_the_one_that_is_scored():
    trained = language_model(["abcd"], seed=4)
    ((*found,),) = trained.fill("ab_d", n=9)["gaps"]
    for candidate in found:
        (answer,) = trained.score([f"ab{candidate['token']}d"])
        assert candidate["probability"] == pytest.approx(math.exp(answer["both"][2]), abs=1e-9)


def test_what_cannot_be_done_is_one_line(tmp_path):
    forward = language_model(wrappers=[])
    with pytest.raises(OptionError, match=r"fill needs both sides .* head.direction=both"):
        forward.fill("a_")
    with pytest.raises(OptionError, match="direction: the head was trained forward only"):
        forward.generate(direction="backward")
    with pytest.raises(OptionError, match="there is no gap '_' in 'ab'"):
        language_model().fill("ab")
    for wrong, message in (
        ({"n": 0}, "n: expected"),
        ({"temperature": -1}, "temperature: expected"),
    ):
        with pytest.raises(OptionError, match=message):
            forward.generate(**wrong)
    two = {"features": {"text": {}, "ends": {"column": "text", "tokenizer": "words"}}}
    beside = language_model(data={**two, "target": {"kind": "inputs"}})
    with pytest.raises(OptionError, match="no values for the features ends"):
        beside.generate()
    spec = words_spec(tmp_path)
    model, data = untrained(spec)
    other = type(forward)(model, data.processor, spec)
    for use in (lambda: other.score(["a"]), other.generate, lambda: other.fill("_")):
        with pytest.raises(OptionError, match=r"needs a language model, .* head 'classification'"):
            use()


def test_the_verbs_write_a_line_for_each_text(tmp_path, capsys):
    trained = language_model(["abcd"])
    bundle = save_bundle(tmp_path / "bundle", trained.model, trained.processor, trained.config)
    (tmp_path / "in.txt").write_text("ab\n\ndcz\n")
    words = [f"bundle={bundle}", f"input={tmp_path / 'in.txt'}"]
    assert main(["score", *words, f"output={tmp_path / 'out.jsonl'}"]) == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["tokens"] for line in lines] == [["a", "b"], [], ["d", "c", "<unk>"]]
    for line, answer in zip(lines, trained.score(["ab", "", "dcz"]), strict=True):
        for key in (*TERMS, "log_probability", "end", "begin"):
            assert line[key] == pytest.approx(answer[key])
    capsys.readouterr()
    with pytest.warns(UnknownPieceWarning, match="does not know 'z'"):
        assert main(["generate", *words, "n=2", "seed=3", "max_length=5"]) == 0
    out = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["prompt"] for line in out] == ["ab", "ab", "", "", "dcz", "dcz"]
    assert [line["text"] for line in out[:2]] == [
        answer["text"] for answer in trained.generate("ab", n=2, seed=3, max_length=5)
    ]
    assert main(["generate", f"bundle={bundle}", "temperature=-1"]) == 2
    assert "temperature: expected a number of at least 0" in capsys.readouterr().err


def test_its_steps_are_announced(monkeypatch):
    from seqlab.engines.calls import at_least
    from seqlab.engines.plan import Planner

    seen, plan = [], Planner.plan
    monkeypatch.setattr(Planner, "plan", lambda *a: (seen.append(at_least()), plan(*a))[1])
    language_model(wrappers=[]).generate("a", max_length=17, seed=1)
    assert set(seen) == {17}
