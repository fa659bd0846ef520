"""Predictions of files and objects: read as the training data were, one answer a row."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import seqlab
from seqlab.bundle import TrainedModel
from seqlab.cli import main
from seqlab.engines.calls import at_least
from seqlab.engines.plan import Planner
from seqlab.errors import ConfigError, DataError
from seqlab.heads.classification import ClassificationHead
from seqlab.training.run import train as train_run
from seqlab.verbs import generate, predict

from small_runs import changed, sentences_spec, words_spec

WORDS = ["abc", "ffa", "dedede"]
SENTENCES = [["the", "ann", "lee"], ["ann"]]


def semicolons_spec(folder):
    spec = words_spec(folder)
    for split in ("train", "validation", "test"):
        path = Path(spec["source"][split])
        path.write_text(path.read_text().replace(",", ";"))
    return changed(spec, source__format={"name": "csv", "delimiter": ";"})


MAKERS = {"words": words_spec, "sentences": sentences_spec, "semicolons": semicolons_spec}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    found = {}
    for name, make in MAKERS.items():
        folder = tmp_path_factory.mktemp(name)
        result = train_run(changed(make(folder), trainer__max_epochs=1), folder / "run")
        found[name] = result.folder / "bundle"
    return found


@pytest.fixture
def answers(bundles, tmp_path):
    """What the verb writes for a file."""

    def run(name, content, bundle="words", **options):
        path, output = tmp_path / name, tmp_path / "out.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        spec = {"bundle": str(bundles[bundle]), "input": str(path), "output": str(output)}
        spec |= {"format": None, "column": None, "batch_size": 3, "device": "cpu"}
        predict.run({**spec, "num_threads": 1, "search": None, **options}, tmp_path)
        lines = output.read_text("utf-8").splitlines()
        return [json.loads(line, parse_constant=_no_json) for line in lines]

    return run


def _no_json(word):
    raise AssertionError(f"{word} is no JSON")


def parquet(columns):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("verb", [predict, generate])
def test_answers_are_not_written_over_their_input(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("word\nabc\n")
    (tmp_path / "link.csv").symlink_to("rows.csv")
    for output in ("rows.csv", "./rows.csv", "link.csv"):
        with pytest.raises(ConfigError, match=f"^output={output} is the input itself, which would"):
            verb.run({"bundle": "none", "input": "rows.csv", "output": output}, tmp_path)
    assert (tmp_path / "rows.csv").read_text() == "word\nabc\n"


EMPTY = {"a.txt": "", "b.csv": "word\n", "a.jsonl": "\n", "a.json": "[]"}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_input_has_an_empty_answer_and_is_named(answers, name):
    with pytest.warns(UserWarning, match=rf"^no rows in .*{name}$"):
        assert answers(name, EMPTY[name]) == []


def test_a_pipe_without_rows_and_a_file_without_prompts(bundles, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.warns(UserWarning, match="^no rows in standard input$"):
        assert main(["predict", f"bundle={bundles['words']}"]) == 0
    (tmp_path / "none.txt").write_bytes(b"")
    # no prompt, so that nothing asks for a language model
    with pytest.warns(UserWarning, match=r"^no rows in .*none.txt$"):
        assert main(["generate", f"bundle={bundles['words']}", f"input={tmp_path}/none.txt"]) == 0
    assert capsys.readouterr().out == ""


def test_a_measurement_without_rows_is_refused(bundles, tmp_path, capsys):
    (tmp_path / "none.csv").write_text("word,kind\n")
    words = ["source=files", f"source.test={tmp_path / 'none.csv'}"]
    assert main(["evaluate", f"bundle={bundles['words']}", *words]) == 2
    assert "none.csv: no rows in it" in capsys.readouterr().err
    (tmp_path / "some.csv").write_text("word,kind\nabc,few\n")
    words = ["source=files", f"source.train={tmp_path / 'some.csv'}"]
    assert main(["evaluate", f"bundle={bundles['words']}", *words]) == 2
    hint = "no split 'test' (it has train); evaluate takes split=train, or other rows by source="
    assert hint in capsys.readouterr().err


def test_other_files_are_read_with_the_options_of_training(bundles, answers, tmp_path, capsys):
    bundle = bundles["semicolons"]
    assert len(answers("new.csv", "word;kind\nabc;few\n", bundle="semicolons")) == 1
    words = ["evaluate", f"bundle={bundle}", f"output={tmp_path / 'm.json'}", "source=files"]
    assert main([*words, f"source.test={tmp_path / 'new.csv'}"]) == 0
    assert json.loads((tmp_path / "m.json").read_text())["rows"] == 1
    # a format that is given, or another one, is not that of training
    assert main([*words, f"source.test={tmp_path / 'new.csv'}", "source.format=csv"]) == 2
    assert """if its cells end with ';', source.format={name: csv, """ in capsys.readouterr().err
    (tmp_path / "new.tsv").write_text("word\tkind\nabc\tfew\n")
    assert main([*words, f"source.test={tmp_path / 'new.tsv'}"]) == 0


LACKING = [
    ("a.csv", "word,x\na,b\n", "semicolons", "; if its cells end with ',', format=csv reads it"),
    ("a.csv", "a|b\nc|d\n", "words", "; if its cells end with '|', format={name: csv, deli"),
    (
        "a.csv",
        "abc,few\nffa,many\n",
        "words",
        "line 1 was taken for the header; .* with format={na",
    ),
    ("a.csv", "Word,x\na,b\n", "words", "did you mean 'Word'.*; give another as column=NAME"),
    (
        "a.jsonl",
        '{"wort": "abc"}\n',
        "words",
        r"line 1: column 'word' is missing: did you mean 'wort'",
    ),
]


@pytest.mark.parametrize(("name", "content", "bundle", "message"), LACKING)
def test_a_file_without_the_column_is_told_how_to_mend_it(answers, name, content, bundle, message):
    with pytest.raises(DataError, match=message) as refused:
        answers(name, content, bundle=bundle)
    assert "source." not in str(refused.value)


FILES = {
    "spaces.csv": 'id, word \n1, "abc"\n2, ffa \n\n3,dedede\n',
    "index.csv": ",word\n" + "".join(f"{n},{word}\n" for n, word in enumerate(WORDS)),
    "twice.csv": "x,x,word\n" + "".join(f"1,2,{word}\n" for word in WORDS),
    "a.jsonl": "\n\n".join(json.dumps({"word": word, "n": [n]}) for n, word in enumerate(WORDS)),
    "mixed.jsonl": '{"word": "abc", "x": 1}\n{"word": "ffa", "x": "y"}\n{"word": "dedede"}\n',
    "a.json": json.dumps([{"word": word} for word in WORDS]),
    "lines.json": "\n".join(json.dumps({"word": word}) for word in WORDS),
    "a.parquet": parquet({"word": WORDS, "n": [1, 2, 3]}),
}


@pytest.mark.parametrize("name", FILES)
def test_files_are_read_as_for_training(answers, name):
    plain = [answer["scores"] for answer in answers("a.txt", "\n".join(WORDS))]
    found = answers(name, FILES[name])
    assert [answer["input"]["word"] for answer in found] == WORDS
    assert [answer["scores"] for answer in found] == plain


def test_quotes_of_a_tsv_are_plain_characters(answers):
    found = answers("a.tsv", 'word\tid\n"a fine\t1\nabc"\t2\nabc\t3\n')
    assert [answer["input"]["word"] for answer in found] == ['"a fine', 'abc"', "abc"]


def test_options_of_a_format_and_a_format_by_name(answers):
    options = {"name": "csv", "delimiter": "|", "header": ["n", "word"]}
    found = answers("a.data", "1|abc\n", format=options)
    assert [answer["input"] for answer in found] == [{"n": "1", "word": "abc"}]
    assert len(answers("b.data", '"abc"\n{"word": "b"}\n', format="jsonl")) == 2


def test_numbers_that_json_has_not_are_null(answers):
    lines = '{"word": "abc", "price": NaN}\n{"word": "b", "price": [1.5, -Infinity]}\n'
    found = answers("a.jsonl", lines)
    assert [answer["input"]["price"] for answer in found] == [None, [1.5, None]]
    numbers = {"word": ["abc", "b"], "price": [float("nan"), 2.0]}
    assert [a["input"]["price"] for a in answers("a.parquet", parquet(numbers))] == [None, 2.0]


def test_answers_that_are_no_numbers_are_null_in_every_verb(bundles, tmp_path, monkeypatch):
    infinite = {"text": "x", "log_probability": -math.inf}
    monkeypatch.setattr(TrainedModel, "generate", lambda *_, **__: [infinite])
    words = [f"bundle={bundles['words']}", f"output={tmp_path / 'a.jsonl'}"]
    assert main(["generate", *words, "prompt=a"]) == 0
    line = (tmp_path / "a.jsonl").read_text()
    assert json.loads(line, parse_constant=_no_json)["log_probability"] is None
    (tmp_path / "rows.csv").write_text("word,kind\nabc,few\n")
    monkeypatch.setattr(
        ClassificationHead, "predict", lambda *_, **__: [{"id": 0, "scores": [math.nan, 1.0]}]
    )
    words = [f"bundle={bundles['words']}", "source=files", f"source.test={tmp_path / 'rows.csv'}"]
    words += [f"output={tmp_path / 'm.json'}", f"predictions={tmp_path / 'p.jsonl'}"]
    assert main(["evaluate", *words]) == 0
    line = (tmp_path / "p.jsonl").read_text()
    assert json.loads(line, parse_constant=_no_json)["scores"] == [None, 1.0]


def test_objects_where_lines_of_text_were_expected(answers):
    content = '{"word": "abc"}\n{"word": "ffa"}\n'
    with pytest.raises(DataError, match=r"a\.txt line 1: a JSON object, .* give format=jsonl"):
        answers("a.txt", content)
    assert len(answers("a.txt", content, format="jsonl")) == 2
    assert answers("a.txt", content, format="text")[0]["input"] == '{"word": "abc"}'
    # braces alone are text
    assert len(answers("a.txt", '{word\n{"other": 1}\n[1]\n')) == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.conll", "the O\nann X\nlee X\n\nann X\n"),
        ("bare.conll", "the\nann\nlee\n\nann\n"),
        ("a.txt", "the ann lee\nann\n"),
        ("lists.csv", "tokens\n\"['the', 'ann', 'lee']\"\n['ann']\n"),
    ],
)
def test_tokens_of_files(answers, name, content):
    column = None if name == "a.txt" else "tokens"
    found = answers(name, content, bundle="sentences", column=column)
    assert [len(answer["tags"]) for answer in found] == [3, 1]


def objects():
    frame = pd.DataFrame({"word": WORDS, "id": [1, 2, 3]}, index=[7, 8, 9])
    return {
        "frame": frame,
        "series": frame["word"],
        "table": pa.table({"word": WORDS}),
        "record batch": pa.RecordBatch.from_pydict({"word": WORDS}),
        "array": pa.array(WORDS),
        "chunks": pa.chunked_array([WORDS[:1], WORDS[1:]]),
        "numpy": np.array(WORDS),
        "data set": datasets.Dataset.from_dict({"word": WORDS, "n": [1, 2, 3]}),
        "stream": datasets.Dataset.from_dict({"word": WORDS}).to_iterable_dataset(),
        "dict of lists": {"word": WORDS, "n": [1, 2, 3]},
        "dict of series": {"word": frame["word"]},
        "dict of arrays": {"word": np.array(WORDS)},
        "generator": (word for word in WORDS),
        "rows": [{"word": word} for word in WORDS],
    }


@pytest.mark.parametrize("name", objects())
def test_objects_get_one_answer_a_row(bundles, name):
    model = seqlab.load(bundles["words"])
    expected = [answer["scores"] for answer in model.predict(WORDS)]
    found = model.predict(objects()[name])
    np.testing.assert_allclose([answer["scores"] for answer in found], expected, rtol=1e-5)


class Columns:
    """Held column by column, and no way to its rows."""

    columns = ("word",)

    def __iter__(self):
        return iter(self.columns)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (Columns(), "a Columns is held column by column; give a list of rows"),
        (7, "a int has no rows"),
        (pd.DataFrame({"text": WORDS}), "input 1: .*word.*is missing"),
        (pd.DataFrame(WORDS), "input 1: .*word.*is missing"),
        (datasets.DatasetDict(test=datasets.Dataset.from_dict({"word": WORDS})), "is missing"),
        ({"word": None}, "expected text, found nothing"),
    ],
)
def test_objects_without_rows_are_refused(bundles, inputs, message):
    with pytest.raises(DataError, match=message):
        seqlab.load(bundles["words"]).predict(inputs)


def test_one_row_and_columns_of_lists_are_told_apart(bundles):
    model = seqlab.load(bundles["sentences"])
    column = next(iter(model.processor.spec.input_columns))
    one = model.predict({column: SENTENCES[0]})
    assert [len(answer["tags"]) for answer in one] == [3]
    for inputs in (
        {column: SENTENCES},
        pd.DataFrame({column: SENTENCES}),
        pa.table({column: SENTENCES}),
        SENTENCES,
    ):
        assert [len(answer["tags"]) for answer in model.predict(inputs)] == [3, 1]


@pytest.fixture
def announced(monkeypatch):
    """What was announced when each plan was made."""
    seen, plan = [], Planner.plan
    monkeypatch.setattr(Planner, "plan", lambda *a: (seen.append(at_least()), plan(*a))[1])
    return seen


def test_a_file_s_batches_are_announced_from_its_size(answers, announced):
    answers("many.txt", "abcdef\n" * 120, batch_size=1)
    assert set(announced) == {120}
    announced.clear()
    answers("many.jsonl", '{"word": "abc"}\n' * 100, batch_size=4)
    assert set(announced) == {25}


def test_rows_in_memory_are_announced(bundles, announced):
    seqlab.load(bundles["words"]).predict(["abc"] * 5, batch_size=2)
    assert set(announced) == {3}
