"""Several answers a row, from the command line and from Python."""

from __future__ import annotations

import json

import pytest
import seqlab
import torch
from seqlab.bundle import save_bundle
from seqlab.cli import main
from seqlab.errors import OptionError

from small_runs import pairs_spec, untrained, words_spec


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    torch.manual_seed(0)
    model, data = untrained(pairs_spec(folder))
    return str(save_bundle(folder / "bundle", model, data.processor, pairs_spec(folder)))


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("xyz\n\nzz\n", "utf-8")
    return str(path)


BEAM = ["search={name: beam, width: 4}", "options={n_best: 3}"]


def test_alternatives_of_a_bundle(bundle):
    model = seqlab.load(bundle)
    found = model.predict(["xyz", "z"], search={"name": "beam", "width": 4}, n_best=3)
    for answer in found:
        alternatives = answer["alternatives"]
        assert len(alternatives) == 3
        assert alternatives[0] == {key: answer[key] for key in ("text", "tokens", "score")}
        scores = [one["score"] for one in alternatives]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(one["tokens"]) for one in alternatives}) == 3
    assert "alternatives" not in model.predict(["xyz"])[0]
    with pytest.raises(OptionError, match="n_best: expected an int of at least 1"):
        model.predict(["xyz"], n_best=0)
    drawn = model.predict(["xyz"], search="sample", n_best=2)[0]["alternatives"]
    assert len(drawn) == 2


def test_lists_as_moses_writes_them(bundle, words, tmp_path):
    lists, lines = tmp_path / "out.nbest", tmp_path / "out.jsonl"
    for output in (lists, lines):
        words_of = ["predict", f"bundle={bundle}", f"input={words}", f"output={output}", *BEAM]
        assert main(words_of) == 0
    expected = [
        (str(row), one["text"], f"log_p= {one['score']:.8g}", f"{one['score']:.8g}")
        for row, line in enumerate(lines.read_text("utf-8").splitlines())
        for one in json.loads(line)["alternatives"]
    ]
    assert len(expected) == 9
    found = [tuple(line.split(" ||| ")) for line in lists.read_text("utf-8").splitlines()]
    assert found == expected


def test_a_search_by_its_name_alone(bundle, words, tmp_path):
    answers = {}
    for given in ("search={name: beam}", "search=beam", "search=greedy"):
        output = tmp_path / "out.jsonl"
        command = ["predict", f"bundle={bundle}", f"input={words}", f"output={output}"]
        assert main([*command, given]) == 0
        answers[given] = output.read_text("utf-8")
    assert answers["search=beam"] == answers["search={name: beam}"]
    assert answers["search=beam"] != answers["search=greedy"]


def test_what_has_no_lists(bundle, words, tmp_path, capsys):
    model, data = untrained(words_spec(tmp_path))
    other = save_bundle(tmp_path / "word_bundle", model, data.processor, words_spec(tmp_path))
    cases = [
        (bundle, ["options={n_best: 2}"], "n_best: search 'greedy' finds one answer a row, not 2"),
        (other, [], "output: an n-best list (.nbest) holds texts"),
    ]
    for place, more, message in cases:
        given = [f"bundle={place}", f"input={words}", f"output={tmp_path / 'x.nbest'}", *more]
        assert main(["predict", *given]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "x.nbest").exists()
