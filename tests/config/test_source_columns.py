"""A column that a file does not have: told before anything heavy is imported, as later."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from seqlab.config.source_columns import check_source_columns
from seqlab.construct import construct
from seqlab.data.formats.json_objects import JSONFormat
from seqlab.data.module import DataModule
from seqlab.errors import DataError

HEAVY = ("torch", "datasets", "pytorch_lightning", "pandas")
PROBE = f"""
import sys
from seqlab.cli import main
code = main(sys.argv[1:])
print([name for name in {HEAVY!r} if name in sys.modules])
sys.exit(code)
"""
ROWS = [{"txt": "a fine film", "label": "good"}, {"txt": "dull", "label": "bad"}]
CSV = "txt,label\na fine film,good\ndull,bad\n"
JSON_LINES = "\n".join(map(json.dumps, ROWS))
LABEL = {"column": "label", "kind": "label"}
ASKED = {"features": {"text": {}}, "target": LABEL}
RIGHT = {"features": {"txt": {}}, "target": LABEL}
GROUPED = {"transforms": [{"name": "group", "by": "txt", "order": "day"}]}
PARTS = {"by": "column", "column": "part", "test": ["x"]}

#: File, content, more options of the source, data spec, how the message begins.
CASES = {
    "csv": ("a.csv", CSV, {}, ASKED, "2: the column 'text' (data.features.text.column)"),
    "csv without header": ("a.csv", "fine,good\ndull,bad\n", {}, ASKED, "2: the column 'text'"),
    "tsv": ("a.tsv", CSV.replace(",", "\t"), {}, ASKED, "2: the column 'text'"),
    "tab": ("a.tab", CSV.replace(",", "\t") + "a\tb\n", {"format": "tab"}, ASKED, "4: the column"),
    "jsonl": ("a.jsonl", JSON_LINES, {}, ASKED, "1: the column 'text'"),
    "json": ("a.json", json.dumps(ROWS, indent=1), {}, ASKED, "1: the column 'text'"),
    "text": ("a.txt", "a film\n", {}, ASKED, "1: the column 'label' (data.target.column)"),
    "conll": ("a.conll", "Ada B\n\n", {}, ASKED, "1: the column 'text'"),
    "target": (
        "a.csv",
        CSV,
        {},
        {**RIGHT, "target": {"column": "lable", "kind": "label"}},
        "2: the column 'lable' (data.target.column) is missing: did you mean 'label'?",
    ),
    "inputs": ("a.csv", CSV, {}, {**ASKED, "target": {"kind": "inputs"}}, "2: the column 'text'"),
    "column of a division": (
        "a.csv",
        CSV,
        {"split": PARTS},
        RIGHT,
        "2: the column 'part' (source.split.column)",
    ),
    "column of a transform": (
        "a.csv",
        CSV,
        {},
        {**RIGHT, **GROUPED},
        "2: the column 'day' (data.transforms[0])",
    ),
    "bad rows first": (
        "a.csv",
        "txt,label\nbroken\nfine,good\n",
        {"on_error": "skip"},
        ASKED,
        "3: the column 'text'",
    ),
    "a stream": ("a.csv", CSV, {"streaming": True}, ASKED, "2: the column 'text'"),
    "a first row that is none": ("a.csv", "txt,label\nbroken\n", {}, RIGHT, "2: 1 cell"),
}


def the_source(folder, name, content, options):
    file = folder / name
    file.write_text(content)
    return {"name": "files", "path" if "split" in options else "train": str(file), **options}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_message_is_that_of_reading_all(tmp_path, case):
    name, content, options, data, begins = case
    source = the_source(tmp_path, name, content, options)
    with pytest.raises(DataError) as early:
        check_source_columns(source, data)
    with pytest.raises(DataError) as late:
        DataModule(construct("source", source), data, seed=0).prepare()
    assert str(early.value) == str(late.value)
    unit = "row" if name.endswith(".json") else "line"
    assert str(early.value).startswith(f"{tmp_path / name} {unit} {begins}")


def test_each_file_is_looked_at(tmp_path):
    good = the_source(tmp_path, "a.csv", CSV, {})["train"]
    bad = the_source(tmp_path, "b.csv", CSV.replace("label", "class"), {})["train"]
    for files in ({"train": good, "test": bad}, {"train": [good, bad]}):
        with pytest.raises(DataError, match=r"b\.csv line 2: the column 'label'"):
            check_source_columns({"name": "files", **files}, RIGHT)


@pytest.mark.parametrize(
    "data",
    [
        RIGHT,
        {**ASKED, "features": {"text": {"column": 3}}},
        {**ASKED, "features": {"text": "txt"}, "target": {}},
    ],
    ids=["all there", "no name", "no target"],
)
def test_what_is_right_or_for_later_is_passed_over(tmp_path, data):
    check_source_columns(the_source(tmp_path, "a.csv", CSV, {}), data)


@pytest.mark.parametrize(
    "content",
    ["", "[", "[]", "[3]", '{"txt": "a"}', JSON_LINES, '[{"txt": "a"', b"[\xff{}]"],
)
def test_json_of_another_form_is_left_to_the_reading(tmp_path, content):
    file = tmp_path / "a.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with file.open("rb") as stream:
        assert list(JSONFormat().beginning(stream, "a.json")) == []


def test_the_beginning_of_json_is_enough(tmp_path):
    """What follows the first row is not read, even where a letter is cut in two."""
    file = tmp_path / "a.json"
    for shift in range(3):
        file.write_text(" " * shift + json.dumps([*ROWS, "€" * 2**19], ensure_ascii=False))
        with file.open("rb") as stream:
            assert list(JSONFormat().beginning(stream, "a.json")) == [(1, ROWS[0])]


@pytest.mark.parametrize("name", ["csv", "jsonl", "json", "text"])
def test_nothing_heavy_is_imported_before_the_refusal(tmp_path, name):
    file, content, *_, begins = CASES[name]
    (tmp_path / file).write_text(content)
    words = ["source=files", f"source.train={file}", "data=text_label", "head=classification"]
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "train", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "[]\n")
    assert begins in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [file]
