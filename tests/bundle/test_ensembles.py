"""Several bundles that answer as one."""

from __future__ import annotations

import itertools
import json
import math

import pytest
import seqlab
import torch
from seqlab.bundle import save_bundle
from seqlab.cli import main
from seqlab.errors import BundleError, OptionError

from small_runs import changed, pairs_spec, sentences_spec, untrained, words_spec


def bundle_of(spec, folder, seed):
    torch.manual_seed(seed)
    model, data = untrained(spec)
    with torch.no_grad():  # so that members differ, and answers end
        for p in model.parameters():
            p.add_(0.5 * torch.randn_like(p))
    return str(save_bundle(folder, model, data.processor, spec))


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    folder = tmp_path_factory.mktemp("members")
    spec = changed(pairs_spec(folder), head__metrics=["bleu", "chrf"])
    other = changed(
        spec,
        head__attention="additive",
        head__input_feeding=True,
        encoder__cell={"name": "lstm", "hidden_size": 4},
    )
    third = changed(
        spec, head__copy=True, data__target__copies="text", head__attention="multi_head"
    )
    specs = (spec, other, third)
    return [bundle_of(one, folder / f"b{i}", i) for i, one in enumerate(specs)]


def log_p(trained, text, tokens):
    """The log probability of an answer by one member."""
    batch = trained.processor.encode_inputs([text], str).batch(torch.tensor([0]).numpy())
    head = trained.model.head
    with torch.no_grad():
        memory, state = head.begin(trained.model.encode(batch))
        total, steps = 0.0, []
        for last, token in itertools.pairwise([head.bos, *tokens, head.eos]):
            written, state = head.decoder.step(torch.tensor([[last]]), memory, state)
            steps.append(written.scores.log_softmax(-1)[0, 0, token].double())
            total += float(steps[-1])
    return torch.stack(steps)


def test_probabilities_are_averaged_at_each_step(members):
    each, together = [seqlab.load(one) for one in members], seqlab.load(members)
    info = together.model.info.target
    tokens = [t for t in range(info.size) if t not in (info.bos, info.eos)]
    every = [list(a) for n in range(3) for a in itertools.product(tokens, repeat=n)]
    beam = {"name": "beam", "width": 60}
    for text in ("xyz", "z"):
        scores = []
        for candidate in every:
            steps = torch.stack([log_p(one, text, candidate) for one in each])
            scores.append(float((steps.logsumexp(0) - math.log(3)).sum()))
        (answer,) = together.predict([text], search=beam, max_length=2, n_best=3)
        best = sorted(range(len(every)), key=lambda i: -scores[i])[:3]
        assert [one["tokens"] for one in answer["alternatives"]] == [every[i] for i in best]
        found = [one["score"] for one in answer["alternatives"]]
        assert found == pytest.approx([scores[i] for i in best], abs=1e-4)


def test_rows_together_answer_as_alone_and_one_member_twice_as_itself(members):
    together, texts = seqlab.load(members), ["xyz", "", "zzyx", "y"]
    beam = {"name": "beam", "width": 3}
    for text, answer in zip(texts, together.predict(texts, search=beam), strict=True):
        (alone,) = together.predict([text], search=beam)
        assert alone["tokens"] == answer["tokens"]
        assert alone["score"] == pytest.approx(answer["score"], abs=1e-5)
    one, twice = seqlab.load(members[1]), seqlab.load([members[1], members[1]])
    for a, b in zip(one.predict(texts), twice.predict(texts), strict=True):
        assert a["tokens"] == b["tokens"]
        assert a["score"] == pytest.approx(b["score"], abs=1e-5)
    assert seqlab.load([members[0]]).predict(texts) == seqlab.load(members[0]).predict(texts)


def test_verbs_take_a_list_of_bundles(members, tmp_path, capsys):
    (tmp_path / "in.txt").write_text("xyz\nz\n", "utf-8")
    given = f"bundle=[{','.join(members[:2])}]"
    files = [f"input={tmp_path / 'in.txt'}", f"output={tmp_path / 'out.jsonl'}"]
    assert main(["predict", given, *files]) == 0
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    expected = seqlab.load(members[:2]).predict(["xyz", "z"])
    assert [one["text"] for one in found] == [one["text"] for one in expected]
    assert main(["evaluate", given, f"output={tmp_path / 'r.json'}"]) == 0
    test = json.loads((tmp_path / "r.json").read_text("utf-8"))["test"]
    assert test.keys() >= {"loss", "bleu", "chrf", "token_error_rate"}
    assert math.isfinite(test["loss"])
    assert members[1] in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["label", "labels"])
def test_classifiers_average_their_probabilities(kind, tmp_path):
    spec = changed(words_spec(tmp_path), data__target__kind=kind)
    if kind == "label":
        spec["head"]["temperature"] = 2.0
    each = [bundle_of(spec, tmp_path / f"c{seed}", seed) for seed in range(3)]
    texts = ["abc", "f", "aabbcc"]
    alone = [torch.tensor([a["scores"] for a in seqlab.load(b).predict(texts)]) for b in each]
    expected = torch.stack(alone).double().mean(0)
    found = seqlab.load(each).predict(texts)
    scores = torch.tensor([a["scores"] for a in found]).double()
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-6)
    if kind == "label":
        assert [a["id"] for a in found] == expected.argmax(1).tolist()
    loss = seqlab.load(each).model
    data = untrained(spec)[1]
    batch = next(iter(data.loader("test")))
    metrics = loss.metrics()
    with torch.no_grad():
        assert loss.measure(metrics, batch, final=True).isfinite()


def test_members_that_do_not_belong_together(members, tmp_path):
    lower = {"name": "chars", "lowercase": True}
    small = changed(pairs_spec(tmp_path), data__target__tokenizer=lower)
    other = bundle_of(small, tmp_path / "small_bundle", 5)
    with pytest.raises(BundleError, match=r"an ensemble of .* has different vocabularies \(\d"):
        seqlab.load([members[0], other])
    words = bundle_of(words_spec(tmp_path), tmp_path / "word_bundle", 6)
    with pytest.raises(BundleError, match=r"the target is of different kinds|vocabularies"):
        seqlab.load([members[0], words])
    tagger = bundle_of(sentences_spec(tmp_path), tmp_path / "tagger_bundle", 7)
    with pytest.raises(OptionError, match="these are head 'tagging'; give one bundle"):
        seqlab.load([tagger, tagger])
    with pytest.raises(OptionError, match="an ensemble needs at least one bundle"):
        seqlab.load([])
