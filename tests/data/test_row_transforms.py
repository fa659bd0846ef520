"""Transforms in a data module, a processor and a bundle's answers."""

from __future__ import annotations

import json

import datasets
import pytest
from seqlab import ConfigError, DataError, Source, Transform, register
from seqlab.data.data_spec import DataSpec
from seqlab.data.module import DataModule
from seqlab.data.processor import Processor, fit_processor
from seqlab.data.sources.files import FilesSource
from seqlab.errors import BundleError
from seqlab.registry import unregister

FORECAST = {
    "transforms": [
        {"name": "group", "by": "id", "order": "time"},
        {"name": "windows", "columns": "x", "context": 3},
    ],
    "features": {"x": {"kind": "numeric", "standardize": False}},
    "target": {"column": "x_next", "kind": "values"},
    "bucket": False,
}


def long_table(path, series=2, steps=10, bad=()):
    """Series a and b in turn, their times falling: series s has s * 100 + t at time t."""
    lines = ["id,time,x"]
    for time in reversed(range(steps)):
        lines += [f"{'ab'[s]},{time},{100 * s + time}" for s in range(series)]
    for line, text in bad:
        lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def of_file(path, spec=None, **options):
    source = FilesSource(path=path, **options)
    data = DataModule(source, spec or FORECAST, seed=0)
    data.prepare()
    return data


def values(data, split):
    """Context and next value of each row of a split."""
    return [([float(x) for x in row["x"]], float(row["x_next"])) for row in data.rows(split)]


def test_a_long_table_becomes_windows_of_each_series_in_time_order(tmp_path):
    data = of_file(long_table(tmp_path / "a.csv", steps=5))
    assert values(data, "train") == [
        ([0.0, 1.0, 2.0], 3.0),
        ([1.0, 2.0, 3.0], 4.0),
        ([100.0, 101.0, 102.0], 103.0),
        ([101.0, 102.0, 103.0], 104.0),
    ]
    batch = next(iter(data.loader("train")))
    first = batch.rows.tolist().index(0)
    assert batch.inputs["x"][first, :, 0].tolist() == [0.0, 1.0, 2.0]
    assert batch.target[first].tolist() == [3.0]
    assert list(data.rows("train")[0]) == ["x", "x_next"]


SPLIT = {"by": "tail", "order": "time", "each": "id", "test": 0.4}


@pytest.mark.parametrize("split", [SPLIT, {**SPLIT, "each": None}])
def test_no_window_crosses_from_training_into_the_test(tmp_path, split):
    data = of_file(long_table(tmp_path / "a.csv"), split=split)
    seen = {x % 100 for context, after in values(data, "train") for x in [*context, after]}
    tested = {x % 100 for context, after in values(data, "test") for x in [*context, after]}
    assert (seen, tested) == ({0, 1, 2, 3, 4, 5}, {6, 7, 8, 9})
    assert len(data.rows("test")) == 2


def test_rows_of_one_time_are_on_one_side_and_wrong_times_are_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,x,id\n" + "".join(f"{t // 3},{t},q\n" for t in range(12)))
    source = FilesSource(path=str(path), split={"by": "tail", "order": "time", "test": 0.1})
    assert source.load()["test"]["x"][:] == ["9", "10", "11"]
    path.write_text("time,x\n1,1\nsoon,2\n")
    source = FilesSource(path=str(path), split={"by": "tail", "order": "time", "test": 0.5})
    with pytest.raises(DataError, match=r"a\.csv line 3: column 'time': expected a number or an I"):
        source.load()


@pytest.mark.parametrize("streaming", [False, True])
def test_groups_of_rows_are_on_one_side(tmp_path, streaming):
    path = tmp_path / "a.csv"
    path.write_text("who,x\n" + "".join(f"p{n % 10},{n}\n" for n in range(100)))
    split = {"group": "who", "validation": 0.2, "test": 0.3}
    loaded = FilesSource(path=str(path), split=split, streaming=streaming).load()
    who = {name: {row["who"] for row in rows} for name, rows in loaded.items()}
    assert {name: len(people) for name, people in who.items()} == {
        "train": 5,
        "validation": 2,
        "test": 3,
    }
    assert set.union(*who.values()) == {f"p{n}" for n in range(10)}
    with pytest.raises(ConfigError, match="stratify and group do not go together"):
        FilesSource(path=str(path), split={**split, "stratify": "who"})


def series_rows(count=10, length=8):
    return [
        {"x": [100.0 * n + t for t in range(length)], "label": "rs"[n % 2]} for n in range(count)
    ]


def each(rows):
    yield from rows


class Series(Source):
    """Rows in memory or as a stream."""

    def __init__(self, rows, *, streaming=False):
        self.rows, self.streaming = rows, streaming

    def load(self):
        if not self.streaming:
            return datasets.DatasetDict(train=datasets.Dataset.from_list(self.rows))
        stream = datasets.IterableDataset.from_generator(
            each, gen_kwargs={"rows": tuple(self.rows)}
        )
        return datasets.IterableDatasetDict(train=stream)

    def describe(self):
        return {"name": "series"}


WINDOWS = {**FORECAST, "transforms": FORECAST["transforms"][1:]}


@pytest.mark.parametrize("streaming", [False, True])
def test_validation_rows_are_whole_series(streaming):
    spec = {**WINDOWS, "validation": 0.3}
    data = DataModule(Series(series_rows(), streaming=streaming), spec, seed=0)
    data.prepare()
    of = {s: {int(row["x"][0]) // 100 for row in data.rows(s)} for s in ("train", "validation")}
    assert (len(of["train"]), len(of["validation"])) == (7, 3)
    assert not of["train"] & of["validation"]
    assert data.sizes == {"train": 35, "validation": 15}


@pytest.mark.parametrize("streaming", [False, True])
def test_every_class_is_known_though_its_only_series_is_held_out(streaming):
    rows = [{**row, "label": f"c{n}"} for n, row in enumerate(series_rows())]
    spec = {**WINDOWS, "target": {"column": "label", "kind": "label"}, "validation": 0.3}
    data = DataModule(Series(rows, streaming=streaming), spec, seed=0)
    data.prepare()
    assert data.info.target.names == tuple(f"c{n}" for n in range(10))


def test_a_stream_gives_the_same_batches_as_rows_in_memory():
    batches = []
    for streaming in (False, True):
        data = DataModule(Series(series_rows(), streaming=streaming), WINDOWS, seed=0)
        data.prepare()
        made = {tuple(x.flatten().tolist()) for b in data.loader("train") for x in b.inputs["x"]}
        batches.append((data.sizes, made))
    assert batches[0] == batches[1]
    assert len(batches[0][1]) == 50


def test_digests_and_order_depend_on_the_rows_made():
    def digest(stride):
        windows = {**WINDOWS["transforms"][0], "stride": stride}
        data = DataModule(Series(series_rows()), {**WINDOWS, "transforms": [windows]}, seed=0)
        return data, data.digests() if data.prepare() is None else None

    (_, one), (_, again), (_, other) = digest(1), digest(1), digest(2)
    assert one == again != other
    assert one["train"]["rows"] == 50


def error(spec, rows, **options):
    data = DataModule(Series(rows, **options), spec, seed=0)
    with pytest.raises((DataError, ConfigError)) as caught:
        data.prepare()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_row_that_does_not_fit_is_named(tmp_path):
    rows = series_rows()
    rows[6]["x"] = [1.0, 2.0]
    said = error(WINDOWS, rows)
    assert said.startswith(
        "train row 7: data.transforms[0]: column 'x': a window takes 3 steps and"
    )
    assert "found 2" in said
    path = long_table(tmp_path / "a.csv", bad=[(5, "a,soon,1")])
    with pytest.raises(
        DataError, match=r"a\.csv line 5: data\.transforms\[0\]: column 'time': exp"
    ):
        of_file(path)
    path = long_table(tmp_path / "a.csv", bad=[(5, "b,9,1")])
    with pytest.raises(DataError, match=r"a\.csv line 5: .* '9' is there twice in one series"):
        of_file(path)
    path = long_table(tmp_path / "a.csv", bad=[(8, "a,6,much")])
    with pytest.raises(DataError, match=r"a\.csv line 2 steps 5-7: column 'x': expected a series"):
        of_file(path)
    path = long_table(tmp_path / "a.csv", bad=[(1, "id,time,y")])
    with pytest.raises(DataError, match=r"the column 'x' \(data.features.x.column\) is missing"):
        of_file(path)
    path = long_table(tmp_path / "a.csv", bad=[(1, "id,when,x")])
    with pytest.raises(DataError, match=r"the column 'time' \(data.transforms\[0\]\) is missing"):
        of_file(path)


def test_what_cannot_work_is_said_before_it_is_tried():
    grouped = {**FORECAST, "validation": 0.3}
    rows = [{"id": n % 4, "time": n, "x": float(n)} for n in range(80)]
    assert error(grouped, rows, streaming=True) == (
        "data.transforms[0]: it looks at all rows of a split together, and the source is a stream; "
        "set source.streaming=false"
    )
    fill = {"name": "fill", "columns": "x"}
    said = error({**grouped, "transforms": [fill, *grouped["transforms"]]}, rows)
    assert said.startswith("data.transforms[0]: it learns from the training rows, and data.valid")
    one = [{**row, "id": 0} for row in rows]
    assert "leaves no training row of 1" in error(grouped, one)
    short = {"name": "filter", "column": "x", "max_length": 2}
    said = error({**WINDOWS, "transforms": [short, *WINDOWS["transforms"]]}, series_rows())
    assert said == "data.transforms leave no row of the split 'train', which has 10"
    said = error({**WINDOWS, "target": {"column": "y", "kind": "values"}}, series_rows())
    assert "the column 'y' (data.target.column) is missing" in said


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([{"name": "window"}], r"data\.transforms\[0\]\.name: unknown transform 'window': did you"),
        (
            ["group", {"name": "windows", "columns": "x"}],
            r"data\.transforms\[1\]: .* needs context",
        ),
        (
            [{"name": "windows", "columns": "x", "context": 0}],
            r"data\.transforms\[0\]\.context: expected an int of at least 1, got 0",
        ),
        ([{"name": "group", "bye": "x"}], r"has no option 'bye': did you mean 'by'"),
        ([{"name": "filter", "column": "x"}], r"data\.transforms\[0\].*min_length: give it, max_l"),
        (
            [7],
            r"data\.transforms\[0\]: expected a transform's name or a mapping with 'name', got 7",
        ),
        ("group", r"data\.transforms: expected a list"),
    ],
)
def test_wrong_options_are_one_line(transforms, message):
    with pytest.raises(ConfigError, match=message) as caught:
        DataSpec.from_mapping({**FORECAST, "transforms": transforms})
    assert "\n" not in str(caught.value)


def test_the_spec_has_all_options_and_reads_itself_back():
    spec = DataSpec.from_mapping(FORECAST)
    assert spec.to_dict()["transforms"][0] == {
        "name": "group",
        "by": "id",
        "order": "time",
        "constant": (),
    }
    assert DataSpec.from_mapping(json.loads(json.dumps(spec.to_dict()))).to_dict()["transforms"][
        1
    ] == {
        "name": "windows",
        "columns": "x",
        "context": 3,
        "horizon": 1,
        "stride": 1,
        "known": [],
        "predict": None,
    }
    assert spec.given_columns == ("x", "id", "time")


def test_what_is_learnt_comes_from_training_rows_and_is_kept(tmp_path):
    fill = {"name": "fill", "columns": "x", "by": "mean"}
    spec = {**WINDOWS, "transforms": [fill, *WINDOWS["transforms"]]}
    fit_processor(spec, [{"x": [1.0, None, 3.0, 5.0]}]).save(tmp_path)
    processor = Processor.load(tmp_path)
    rows = processor.transform_inputs([[None, 2.0, float("nan")]], str)
    assert [dict(row) for row in rows] == [{"x": [3.0, 2.0, 3.0]}]
    kept = json.loads((tmp_path / "processor.json").read_text())
    assert kept["transforms"] == [{"x": 3.0}, {}]
    for states in ([], [{"x": "3"}, {}], [{"x": None}, {}], [{"y": 1.0}, {}], None):
        (tmp_path / "processor.json").write_text(json.dumps({**kept, "transforms": states}))
        with pytest.raises(BundleError, match=r"processor\.json"):
            Processor.load(tmp_path)


def test_held_out_rows_teach_a_transform_nothing():
    rows = [{"x": [float(n), None, 1.0, 1.0]} for n in range(10)]
    fill = {"name": "fill", "columns": "x", "by": "mean"}
    spec = {**WINDOWS, "transforms": [fill, *WINDOWS["transforms"]], "validation": 0.5}
    data = DataModule(Series(rows), spec, seed=0)
    firsts = [row["x"][0] for row in data.rows("train")]
    known = [*firsts, *[1.0] * 2 * len(firsts)]
    mean = sum(known) / len(known)
    assert data.rows("validation")[0]["x"][1] == pytest.approx(mean)
    again = DataModule(Series(rows), spec, seed=0, processor=data.processor)
    again.prepare(["validation"])
    assert again.rows("validation")[0]["x"][1] == pytest.approx(mean)


def test_filter_says_once_how_many_rows_it_left_out(caplog):
    keep = {"name": "filter", "column": "x", "min_length": 4, "splits": ["train"]}
    rows = [{"x": [1.0] * (3 + n % 3), "x_next": 1.0} for n in range(9)]
    data = DataModule(Series(rows, streaming=True), {**WINDOWS, "transforms": [keep]}, seed=0)
    data.prepare()
    assert data.sizes == {"train": 6}
    list(data.loader("train"))
    said = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert len(said) == 1
    assert said[0].startswith(
        "data.transforms: filter left out 3 of 9 rows of train: column 'x' was"
    )
    assert said[0].endswith("too short in 3 and too long in 0")
    assert len(data.processor.transform_inputs([[1.0]], str)) == 1


def test_a_transform_that_fails_on_a_row_or_loses_a_column_is_one_line():
    class Odd(Transform):
        """Loses a column of the second row."""

        reads = ("x",)

        def apply(self, rows, split):
            del split
            for row in rows:
                yield row.made(dict(row) if row.number != 1 else {"x": row["x"]})

    register("transform", "odd")(Odd)
    try:
        rows = [{"x": [1.0], "x_next": 2.0} for _ in range(3)]
        said = error({**WINDOWS, "transforms": ["odd"]}, rows)
    finally:
        unregister("transform", "odd")
    assert said.startswith("train row 2: data.transforms: a row with the columns x, and the first")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_pass_goes_on_where_it_was_left(streaming):
    data = DataModule(Series(series_rows(), streaming=streaming), WINDOWS, seed=4)
    data.prepare()
    whole = [batch.rows.tolist() for batch in data.loader("train", epoch=2)]
    assert [b.rows.tolist() for b in data.loader("train", epoch=2, start_batch=1)] == whole[1:]
    assert sorted(row for batch in whole for row in batch) == list(range(50))
    row = data.rows("train")[whole[1][0]]
    batch = next(iter(data.loader("train", epoch=2, start_batch=1)))
    assert batch.inputs["x"][0, :, 0].tolist() == row["x"]
