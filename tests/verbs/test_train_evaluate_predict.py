from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from seqlab.errors import BundleError, ConfigError, DataError, OptionError, RunError, SeqlabError
from seqlab.training.run import train as train_run
from seqlab.verbs import evaluate, predict, train

from small_runs import changed, pairs_spec, sentences_spec, words_spec

SPECS = {"words": words_spec, "sentences": sentences_spec, "pairs": pairs_spec}
EVALUATE = {
    "source": None,
    "split": "test",
    "output": None,
    "batch_size": None,
    "limit": None,
    "device": "cpu",
    "num_threads": 1,
    "search": None,
}
PREDICT = {
    "input": "-",
    "output": "-",
    "format": None,
    "column": None,
    "batch_size": 3,
    "device": "cpu",
    "num_threads": 1,
    "search": None,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run of each task: (spec, result)."""
    found = {}
    for name, make in SPECS.items():
        folder = tmp_path_factory.mktemp(name)
        spec = changed(make(folder), trainer__max_epochs=2)
        found[name] = (spec, train_run(spec, folder / "run"))
    return found


def bundle_of(runs, name):
    return str(runs[name][1].folder / "bundle")


def test_train_returns_the_objective_of_sweeps(tmp_path):
    spec = changed(words_spec(tmp_path), trainer__max_epochs=1)
    objective = train.run(spec, tmp_path / "run")
    values = json.loads((tmp_path / "run" / "result.json").read_text())
    assert objective == pytest.approx(values["validation"]["accuracy"])


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("batch_size", [None, 2])
def test_evaluating_on_the_same_data_gives_the_same_numbers(runs, tmp_path, name, batch_size):
    _, trained = runs[name]
    spec = {**EVALUATE, "bundle": bundle_of(runs, name), "batch_size": batch_size}
    result = evaluate.run(spec, tmp_path)
    written = json.loads((tmp_path / "result.json").read_text())
    assert written == result
    assert result["rows"] == 11
    assert result["data"]["rows"]["test"] == 11
    for metric, value in trained.values["test"].items():
        if metric != "loss" or batch_size is None:
            assert result["test"][metric] == pytest.approx(value, rel=1e-5)


def test_evaluating_another_split_source_and_number_of_rows(runs, tmp_path, capsys):
    spec, trained = runs["words"]
    base = {**EVALUATE, "bundle": bundle_of(runs, "words")}
    result = evaluate.run({**base, "split": "validation", "output": str(tmp_path / "v")}, tmp_path)
    expected = trained.values["validation"]["accuracy"]
    assert result["validation"]["accuracy"] == pytest.approx(expected)
    assert (tmp_path / "v" / "result.json").exists()
    assert "accuracy" in capsys.readouterr().out
    source = {"name": "files", "test": spec["source"]["train"]}
    file = tmp_path / "x" / "own.json"
    result = evaluate.run({**base, "source": source, "limit": 7, "output": str(file)}, tmp_path)
    assert result["rows"] == 7
    assert json.loads(file.read_text())["rows"] == 7
    assert not (tmp_path / "result.json").exists()


def test_search_of_an_evaluation(runs, tmp_path):
    base = {**EVALUATE, "search": {"name": "beam", "width": 3}}
    evaluate.run({**base, "bundle": bundle_of(runs, "pairs")}, tmp_path)
    with pytest.raises(OptionError, match="head 'classification' does not search"):
        evaluate.run({**base, "bundle": bundle_of(runs, "words")}, tmp_path)


def test_unknown_label_names_the_row(runs, tmp_path):
    (tmp_path / "new.csv").write_text("word,kind\nabc,few\nabd,dozens\n")
    source = {"name": "files", "test": str(tmp_path / "new.csv")}
    spec = {**EVALUATE, "bundle": bundle_of(runs, "words"), "source": source}
    with pytest.raises(DataError, match=r"new\.csv line 3: column 'kind': label 'dozens' does not"):
        evaluate.run(spec, tmp_path)
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"bundle": "nowhere"}, BundleError, "no bundle at nowhere"),
        ({"split": "dev"}, SeqlabError, "no split 'dev'"),
        ({"device": "warp"}, ConfigError, "device: unknown 'warp'"),
        ({"limit": 0}, SeqlabError, "limit_test"),
        ({"source": {"name": "fils"}}, SeqlabError, "did you mean 'files'"),
    ],
)
def test_mistakes_of_an_evaluation(runs, tmp_path, changes, error, message):
    spec = {**EVALUATE, "bundle": bundle_of(runs, "words"), **changes}
    with pytest.raises(error, match=message) as caught:
        evaluate.run(spec, tmp_path)
    assert "\n" not in str(caught.value)


def test_the_result_of_a_training_run_is_not_replaced(runs, tmp_path):
    _, trained = runs["words"]
    spec = {**EVALUATE, "bundle": bundle_of(runs, "words")}
    before = (trained.folder / "result.json").read_text()
    with pytest.raises(RunError, match=r"result\.json exists and is not the result of an eval"):
        evaluate.run(spec, trained.folder)
    assert (trained.folder / "result.json").read_text() == before
    evaluate.run(spec, tmp_path)
    evaluate.run(spec, tmp_path)


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_predicting_a_csv_keeps_rows_and_order(runs, tmp_path):
    spec, trained = runs["words"]
    output = tmp_path / "new" / "out.jsonl"
    base = {**PREDICT, "bundle": bundle_of(runs, "words"), "output": str(output)}
    predict.run({**base, "input": spec["source"]["test"]}, tmp_path)
    answers = lines_of(output)
    right = [answer["input"]["kind"] == answer["label"] for answer in answers]
    assert sum(right) / 11 == pytest.approx(trained.values["test"]["accuracy"])
    source = Path(spec["source"]["test"]).read_text().splitlines()[1:]
    assert [a["input"]["word"] for a in answers] == [line.split(",")[0] for line in source]
    assert [path.name for path in output.parent.iterdir()] == ["out.jsonl"]


def test_formats_give_the_same_answers(runs, tmp_path):
    words = ["abc", "ffa", "dedede", "", "aaaa"]
    contents = {
        "rows.txt": "\n".join(words) + "\n",
        "rows.csv": "x,word\n" + "".join(f"1,{word}\n" for word in words),
        "rows.tsv": "word\tx\r\n" + "".join(f"{word}\t1\r\n" for word in words),
        "rows.jsonl": "".join(json.dumps({"word": word, "x": None}) + "\n" for word in words),
        "bare.jsonl": "\n".join(json.dumps(word) for word in words),
        "bom.csv": "\ufeffword\n" + "".join(f'"{word}"\n' for word in words),
    }
    found = {}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content.encode())
        output = tmp_path / f"{name}.out"
        spec = {"bundle": bundle_of(runs, "words"), "input": str(tmp_path / name)}
        predict.run({**PREDICT, **spec, "output": str(output)}, tmp_path)
        answers = lines_of(output)
        found[name] = [(answer["label"], answer["scores"]) for answer in answers]
        inputs = [answer["input"] for answer in answers]
        assert [one["word"] if isinstance(one, dict) else one for one in inputs] == words
    assert len({json.dumps(answers) for answers in found.values()}) == 1


def test_column_names_the_input(runs, tmp_path):
    (tmp_path / "in.csv").write_text("id,text\n7,abc\n")
    spec = {"bundle": bundle_of(runs, "words"), "input": str(tmp_path / "in.csv")}
    spec = {**PREDICT, **spec, "output": str(tmp_path / "out.jsonl")}
    predict.run({**spec, "column": "text"}, tmp_path)
    assert lines_of(tmp_path / "out.jsonl")[0]["input"] == {"id": "7", "text": "abc"}
    with pytest.raises(DataError, match=r"in\.csv line 2: column 'word' is missing"):
        predict.run(spec, tmp_path)
    with pytest.raises(DataError, match=r"in\.csv line 2: column 'txt' is missing: .*'text'"):
        predict.run({**spec, "column": "txt"}, tmp_path)


def test_tasks_and_search(runs, tmp_path):
    (tmp_path / "in.txt").write_text("xyz\nzz\n")
    spec = {**PREDICT, "input": str(tmp_path / "in.txt"), "output": str(tmp_path / "out.jsonl")}
    search = {"name": "beam", "width": 2}
    predict.run({**spec, "bundle": bundle_of(runs, "pairs"), "search": search}, tmp_path)
    assert all(
        set(answer) >= {"input", "text", "score"} for answer in lines_of(tmp_path / "out.jsonl")
    )
    (tmp_path / "in.txt").write_text("the ann lee\n")
    predict.run({**spec, "bundle": bundle_of(runs, "sentences")}, tmp_path)
    assert len(lines_of(tmp_path / "out.jsonl")[0]["tags"]) == 3
    with pytest.raises(OptionError, match="search"):
        predict.run({**spec, "bundle": bundle_of(runs, "words"), "search": search}, tmp_path)


class Pipe(io.TextIOWrapper):
    def __init__(self, content=b""):
        super().__init__(io.BytesIO(content), encoding="utf-8")


def test_standard_input_and_output(runs, tmp_path, monkeypatch):
    source, sink = Pipe(b"abc\nfed\n"), Pipe()
    monkeypatch.setattr(sys, "stdin", source)
    monkeypatch.setattr(sys, "stdout", sink)
    predict.run({**PREDICT, "bundle": bundle_of(runs, "words")}, tmp_path)
    lines = sink.buffer.getvalue().decode().splitlines()
    assert [json.loads(line)["input"] for line in lines] == ["abc", "fed"]
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing is left beside


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"word\nab,c\n", r"a\.csv line 2: 2 cells, but the header has 1 column \(word"),
        ("a.csv", b"word,x\nabc,1\nabc\n", r"a\.csv line 3: 1 cell, but the header has 2"),
        ("a.csv", b"", r"a\.csv: expected a first line with the names of columns"),
        ("a.csv", b"word,word\na,b\n", r"a\.csv line 2: column 'word' is missing"),
        ("a.csv", b'word\n"abc\n', r"a\.csv line 2: not valid CSV: unexpected end of data"),
        ("a.tsv", b"x\ny\n", r"a\.tsv line 2: column 'word' is missing"),
        ("a.jsonl", b'{"word": "a"}\n{"word": \n', r"a\.jsonl line 2: not JSON"),
        ("a.jsonl", b'{"word": 5}\n', r"a\.jsonl line 1: column 'word': expected text, found 5"),
        ("a.json", b'[{"word": 5}]', r"a\.json row 1: column 'word': expected text, found 5"),
        ("a.parquet", b"PAR1", r"a\.parquet: not a readable Parquet file"),
        ("a.txt", b"abc\n\xff\xfe\n", r"a\.txt line 2: not UTF-8"),
    ],
)
def test_bad_lines_are_named_and_nothing_is_written(runs, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "out.jsonl").write_text("old\n")
    spec = {"input": str(tmp_path / name), "output": str(tmp_path / "out.jsonl")}
    with pytest.raises(DataError, match=message) as caught:
        predict.run({**PREDICT, "bundle": bundle_of(runs, "words"), **spec}, tmp_path)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "out.jsonl").read_text() == "old\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "out.jsonl"])


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"input": "nothing.txt"}, (ConfigError, "input: cannot read nothing.txt: No such file")),
        ({"input": "rows.xyz"}, (ConfigError, r"format: cannot tell the format of rows\.xyz")),
        ({"format": "jsn"}, (ConfigError, "format: unknown format 'jsn': did you mean 'json")),
        ({"output": "."}, (RunError, "it is a folder")),
        ({"bundle": "nowhere"}, (BundleError, "no bundle at nowhere")),
    ],
)
def test_mistakes_of_a_prediction(runs, tmp_path, monkeypatch, changes, mistake):
    error, message = mistake
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", Pipe(b"abc\n"))
    with pytest.raises(error, match=message):
        predict.run({**PREDICT, "bundle": bundle_of(runs, "words"), **changes}, tmp_path)


def test_evaluate_gives_a_table_of_classes_and_gold_beside_answers(runs, tmp_path, capsys):
    for name, column in (("words", "kind"), ("sentences", "marks"), ("pairs", "back")):
        file = tmp_path / f"{name}.jsonl"
        spec = {**EVALUATE, "bundle": bundle_of(runs, name), "predictions": str(file)}
        result = evaluate.run(spec, tmp_path / name)
        lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        assert len(lines) == result["rows"]
        assert not any(column in line["input"] for line in lines)
        shown = capsys.readouterr().out
        if name == "pairs":
            assert "classes" not in result
            right = [line["gold"] == line["text"] for line in lines]
            assert sum(right) / len(right) == pytest.approx(result["test"]["sequence_accuracy"])
            continue
        assert "precision  recall" in shown
        counts = result["confusion"]["counts"]
        total = sum(map(sum, counts))
        diagonal = sum(row[i] for i, row in enumerate(counts))
        assert diagonal / total == pytest.approx(result["test"]["accuracy"])
        assert sum(entry["support"] for entry in result["classes"]) == total
        if name == "words":
            right = [line["gold"] == line["label"] for line in lines]
            assert sum(right) / len(right) == pytest.approx(result["test"]["accuracy"])


def test_predict_hands_the_heads_options_on(runs, tmp_path):
    text = tmp_path / "in.txt"
    text.write_text("a b c\n")
    out = tmp_path / "out.jsonl"
    spec = {**PREDICT, "bundle": bundle_of(runs, "sentences"), "input": str(text)}
    options = {"k_best": 2, "marginals": True}
    predict.run({**spec, "output": str(out), "options": options}, tmp_path)
    answer = json.loads(out.read_text())
    assert [len(one["tags"]) for one in answer["alternatives"]] == [3, 3]
    assert answer["alternatives"][0]["ids"] == answer["ids"]
    assert [sum(step) for step in answer["marginals"]] == pytest.approx([1, 1, 1])
    with pytest.raises(OptionError, match="has no option 'kbest'"):
        predict.run({**spec, "output": str(out), "options": {"kbest": 2}}, tmp_path)
