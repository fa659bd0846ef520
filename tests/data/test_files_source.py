import json

import pytest
from seqlab.data.sources.files import FilesSource
from seqlab.errors import ConfigError, DataError
from written_files import make


@pytest.fixture
def csv_file(tmp_path):
    path = tmp_path / "words.csv"
    lines = [f"w{number},{number % 3},{'ab'[number > 20]}" for number in range(40)]
    path.write_text("text,label,doc\n" + "\n".join(lines) + "\n")
    return str(path)


def texts(data, split):
    return [row["text"] for row in data[split]]


@pytest.mark.parametrize("streaming", [False, True])
def test_three_files_give_three_splits(tmp_path, streaming):
    for name, rows in (("train", ["a", "b"]), ("dev", ["c"]), ("test", ["d"])):
        (tmp_path / f"{name}.txt").write_text("\n".join(rows))
    source = FilesSource(
        train=str(tmp_path / "train.txt"),
        validation=str(tmp_path / "dev.txt"),
        test=[str(tmp_path / "test.txt"), str(tmp_path / "dev.txt")],
        streaming=streaming,
        licence="CC0",
    )
    data = source.load()
    assert [texts(data, split) for split in ("train", "validation", "test")] == [
        ["a", "b"], ["c"], ["d", "c"],
    ]  # fmt: skip
    assert source.describe()["licence"] == "CC0"
    assert source.locate("test", 1) == f"{tmp_path}/dev.txt line 1"


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_objects_where_lines_of_text_were_expected(tmp_path, streaming, on_error):
    path = tmp_path / "a.txt"
    path.write_text('\n{"text": "a b"}\n{"text": "c"}\n')
    with pytest.raises(DataError, match=r"a\.txt line 2: a JSON object.* source\.format=jsonl, or"):
        list(FilesSource(train=str(path), streaming=streaming, on_error=on_error).load()["train"])
    for name, first in (("jsonl", "a b"), ("text", '{"text": "a b"}')):
        source = FilesSource(train=str(path), format=name, streaming=streaming, on_error=on_error)
        assert next(iter(source.load()["train"]))["text"] == first


RULES = [
    {"validation": 0.1, "test": 0.25, "seed": 3},
    {"by": "tail", "test": 0.1},
    {"by": "modulus", "modulus": 10, "validation": [3], "test": [1, 2]},
    {"by": "column", "column": "doc", "test": ["b"]},
    {"validation": 0.1, "test": 0.25, "stratify": "doc"},
]


@pytest.mark.parametrize("rule", RULES)
def test_one_file_is_divided_alike_in_memory_and_as_a_stream(csv_file, rule):
    source = FilesSource(path=csv_file, split=rule)
    data = source.load()
    streamed = FilesSource(path=csv_file, split=rule, streaming=True)
    stream = streamed.load()
    assert list(data) == list(stream)
    for split in data:
        assert texts(stream, split) == texts(data, split)
        for row in (0, len(data[split]) - 1):
            word = data[split][row]["text"]
            line = int(word[1:]) + 2
            assert source.locate(split, row) == f"{csv_file} line {line}"
            assert streamed.locate(split, row) == f"{csv_file} line {line}"
    every = [text for split in data for text in texts(data, split)]
    assert sorted(every) == sorted(f"w{n}" for n in range(40))
    assert source.describe() == streamed.describe()


def test_sizes_and_members_of_the_splits(csv_file):
    sizes = [
        {split: data.num_rows for split, data in FilesSource(path=csv_file, split=r).load().items()}
        for r in RULES
    ]
    assert sizes == [
        {"train": 26, "validation": 4, "test": 10},
        {"train": 36, "test": 4},
        {"train": 28, "validation": 4, "test": 8},
        {"train": 21, "test": 19},
        {"train": 26, "validation": 4, "test": 10},
    ]
    tail = FilesSource(path=csv_file, split=RULES[1]).load()
    assert texts(tail, "test") == ["w36", "w37", "w38", "w39"]
    other = FilesSource(path=csv_file, split={**RULES[0], "seed": 4}).load()
    assert texts(other, "test") != texts(FilesSource(path=csv_file, split=RULES[0]).load(), "test")


@pytest.mark.parametrize("streaming", [False, True])
def test_each_class_has_its_share_of_every_split(tmp_path, streaming):
    path = tmp_path / "rare.csv"
    labels = ["often"] * 80 + ["seldom"] * 20
    path.write_text("text,label\n" + "".join(f"w{n},{name}\n" for n, name in enumerate(labels)))

    def counts(seed):
        rule = {"validation": 0.1, "test": 0.2, "stratify": "label", "seed": seed}
        data = FilesSource(path=str(path), split=rule, streaming=streaming).load()
        found = {split: [row["label"] for row in data[split]] for split in data}
        return {split: (len(rows), rows.count("seldom")) for split, rows in found.items()}, data

    for seed in range(5):
        sizes, _ = counts(seed)
        assert sizes == {"train": (70, 14), "validation": (10, 2), "test": (20, 4)}
    first, other = (texts(counts(seed)[1], "test") for seed in (0, 1))
    assert first != other


def test_a_split_may_go_by_a_column_that_is_not_read_otherwise(csv_file):
    source = FilesSource(path=csv_file, split={"test": 0.1, "stratify": "doc"})
    source.use_columns({"text": "data.features.text.column"})
    assert source.load()["test"].num_rows == 4
    source = FilesSource(path=csv_file, split={"test": 0.1, "stratify": "dok"})
    with pytest.raises(DataError, match=r"'dok' .source.split.stratify. is missing"):
        source.load()


def test_listed_numbers_are_the_cells_that_say_them(csv_file):
    rule = {"by": "column", "column": "label", "test": [1]}
    test = FilesSource(path=csv_file, split=rule).load()["test"]
    assert set(test["label"]) == {"1"}


def test_rows_go_by_their_file(tmp_path):
    for name in ("a1", "a2", "b1"):
        (tmp_path / f"{name}.txt").write_text(f"from {name}\n")
    paths = [str(tmp_path / f"{name}.txt") for name in ("a1", "a2", "b1")]
    data = FilesSource(path=paths, split={"by": "member", "test": ["?2.txt"]}).load()
    assert texts(data, "train") == ["from a1", "from b1"]
    assert texts(data, "test") == ["from a2"]


def test_columns_are_chosen_and_the_rest_left(csv_file):
    data = FilesSource(train=csv_file, columns=["label", "text"]).load()
    assert data["train"].column_names == ["label", "text"]
    assert data["train"].num_rows == 40


def test_describe_names_rows_and_a_checksum(csv_file):
    source = FilesSource(train=csv_file, origin="the lab")
    source.load()
    described = source.describe()
    assert described["rows"] == {"train": 40}
    assert described["origin"] == "the lab"
    assert described["digest"].startswith("sha256:")
    json.dumps(described)


BAD = [
    (b"x,y\n1,2\n3\n", "a.csv", {}, "line 3: 1 cell, but the header has 2 columns (x, y)"),
    (b"x;y\n1,5;2\n", "a.csv", {}, 'source.format={name: csv, delimiter: ";"} reads it'),
    (b"x\ty\n1,5\t2\n", "a.csv", {}, "source.format=tsv reads it"),
    (
        b"x,y\n1,2\n",
        "a.csv",
        {"columns": ["z"]},
        "line 2: the column 'z' (source.columns) is missing: known: x, y",
    ),
    (b"x,y\n1,\xff\n", "a.csv", {}, "line 2: not UTF-8 text"),
    (b"x,y\n", "a.csv", {}, "no rows in it"),
    (b"", "a.jsonl", {}, "no rows in it"),
    (b'{"x": 1}\n{"x": []}\n', "a.jsonl", {}, "line 2: column 'x' holds a list, the rows"),
]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("case", BAD)
def test_bad_files_name_file_and_row(tmp_path, streaming, case):
    content, name, options, message = case
    path = make(tmp_path, content, name)
    source = FilesSource(train=path, streaming=streaming, **options)
    with pytest.raises(DataError) as caught:
        list(source.load()["train"])
    assert message in str(caught.value)
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there(tmp_path):
    path = str(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        FilesSource(train=path).load()
    with pytest.raises(DataError, match="is a folder, not a file"):
        FilesSource(train=str(tmp_path), format="csv").load()


def test_files_of_one_split_need_the_same_columns(tmp_path):
    paths = [make(tmp_path, b"x\n1\n"), make(tmp_path, b"y\n1\n", "b.csv")]
    with pytest.raises(DataError, match=r"b.csv line 2: columns y, but .*a.csv has x"):
        FilesSource(train=paths).load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give train .and validation, test., or path"),
        ({"path": "a.csv", "train": "b.csv"}, "either path or train/validation/test, not both"),
        ({"train": "a.csv", "split": {"test": 0.1}}, "divides the file of source.path"),
        ({"train": [3]}, "train: expected a string or a list or null"),
        ({"train": "a.csv", "columns": "x"}, "columns: expected a list or null"),
        ({"path": "a.csv", "split": {"tset": 0.1}}, "split.tset: unknown key, did you mean 'test'"),
        ({"path": "a.csv", "split": {"seed": 1}}, "give validation, test, or both"),
        ({"path": "a.csv", "split": {"test": 2}}, "split.test: expected a number in .* got 2"),
        ({"path": "a.csv", "split": {"test": 0.1, "seed": "x"}}, "source.split.seed: expected a"),
        ({"path": "a.csv", "split": {"by": "modulus", "modulus": 0, "test": [1]}}, "of at least 1"),
        ({"path": "a.csv", "split": {"by": "tail", "test": 0.1, "stratify": "x"}}, "unknown key"),
        (
            {"path": "a.csv", "split": {"by": "x", "test": 0.1}},
            "source.split.by: expected one of 'fraction', ",
        ),
        ({"path": "a.csv", "split": {"by": "member", "test": "x"}}, "split.test: expected a list"),
        (
            {"path": "a.csv", "split": {"by": "column", "test": ["x"]}},
            "column: no value was given",
        ),
        (
            {"path": "a.csv", "split": {"by": "modulus", "test": [1]}},
            "modulus: no value was given",
        ),
        ({"path": "a.csv", "split": {"test": 0.5, "validation": 0.5}}, "nothing to train on"),
        ({"path": "a.csv", "split": 0.1}, "split: expected a mapping or null, got 0.1"),
    ],
)
def test_options_that_are_wrong(options, message):
    with pytest.raises(ConfigError, match=message):
        FilesSource(**options)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"test": 0.99}, "leaves no rows for the split 'train' of 40 rows"),
        (
            {"by": "column", "column": "dok", "test": ["b"]},
            "'dok' .source.split.column. is missing: did you mean 'doc'",
        ),
        ({"by": "column", "column": "doc", "test": ["z"]}, "leaves no rows for the split 'test'"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_rules_that_do_not_fit_the_file(csv_file, rule, message, streaming):
    with pytest.raises(DataError, match=message):
        FilesSource(path=csv_file, split=rule, streaming=streaming).load()
